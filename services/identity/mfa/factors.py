"""Using up codes of an authenticator (RFC 6238) and recovery codes: each works once."""

from datetime import datetime
from hmac import compare_digest
from uuid import UUID

import pyotp
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from services.identity.crypto import Crypto
from services.identity.errors import WrongOtp
from services.identity.mfa.rules import is_totp, normal_otp, steps_to_try
from services.identity.models import RecoveryCode, TotpSecret
from services.identity.sessions import Identity
from services.identity.throttle import throttled


async def use_second_factor(db: Database, identity: Identity, user: UUID, otp: str) -> bool:
    """Use up a code of the authenticator or a recovery code; false when it is wrong or was used.

    In a transaction of its own: what was used stays used. Wrong ones are throttled per user wherever they
    come from, because whoever tries them has the password. Raises TooManyAttempts.
    """
    key = (identity.crypto.account_hmac(f"otp {user}"), "")
    try:
        async with throttled(db, identity.turns, identity.clock, key), db.session() as using:
            if not await use_otp(using, identity.crypto, identity.clock(), user, otp):
                raise WrongOtp
    except WrongOtp:
        return False
    return True


async def use_otp(session: AsyncSession, crypto: Crypto, now: datetime, user: UUID, otp: str) -> bool:
    """Whether the code is right and was not used; then it is, if this transaction commits."""
    otp = normal_otp(otp)
    if not is_totp(otp):
        used = delete(RecoveryCode).where(
            RecoveryCode.user_uuid == user, RecoveryCode.code_hmac == crypto.recovery_hmac(user, otp)
        )
        return await session.scalar(used.returning(RecoveryCode.user_uuid)) is not None
    row = await session.get(TotpSecret, user, with_for_update=True, populate_existing=True)
    if row is None:
        return False
    totp = pyotp.TOTP(crypto.decrypt(row.secret).decode())
    for step in steps_to_try(now.timestamp(), row.last_step):
        if compare_digest(totp.generate_otp(step), otp):
            row.last_step = step
            return True
    return False


async def forget_factors(session: AsyncSession, user: UUID) -> None:
    """Delete the authenticator's secret and the recovery codes."""
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_uuid == user))
    await session.execute(delete(TotpSecret).where(TotpSecret.user_uuid == user))
