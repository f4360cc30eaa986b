"""Second factors: enrolling an authenticator, confirming it, using it, giving it up."""

from secrets import choice
from typing import NamedTuple
from uuid import UUID

import pyotp
import segno
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.security.tokens import Principal
from services.identity.access import access_self
from services.identity.codes import mail_notice
from services.identity.crypto import Crypto
from services.identity.errors import MfaAlreadyEnabled, MfaNotEnabled, MfaNotEnrolled, WrongOtp
from services.identity.mfa.factors import use_otp, use_second_factor
from services.identity.mfa.rules import (
    RECOVERY_ALPHABET,
    RECOVERY_CODES,
    RECOVERY_LENGTH,
    is_totp,
    normal_otp,
    readable,
)
from services.identity.mfa.schemas import SecondFactorRequest
from services.identity.models import RecoveryCode, TotpSecret
from services.identity.service import confirm_password, remove_second_factor, switch_second_factor
from services.identity.sessions import Caller, Identity, note

ISSUER = "Lectern"


class Enrolled(NamedTuple):
    """What an authenticator is set up with."""

    secret: str
    otpauth_url: str
    qr_svg: str


async def enrol(session: AsyncSession, identity: Identity, who: Principal) -> Enrolled:
    """Draw a secret; a later one replaces it until one is confirmed. Raises MfaAlreadyEnabled."""
    user = await access_self(session, who, lock=True)
    if user.mfa_enabled:
        raise MfaAlreadyEnabled
    secret = pyotp.random_base32()
    values = {
        "secret": identity.crypto.encrypt(secret.encode()),
        "last_step": 0,
        "created_at": identity.clock(),
    }
    await session.execute(
        insert(TotpSecret)
        .values(user_uuid=user.uuid, **values)
        .on_conflict_do_update(index_elements=["user_uuid"], set_=values)
    )
    url = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER)
    return Enrolled(secret, url, segno.make(url, error="m").svg_inline(scale=4, border=2))


async def confirm(
    session: AsyncSession, identity: Identity, who: Principal, caller: Caller, otp: str
) -> list[str]:
    """Ask for a second factor from now on; returns recovery codes, which nobody can read again.

    Raises MfaNotEnrolled, MfaAlreadyEnabled or WrongOtp.
    """
    user = await access_self(session, who, lock=True)
    if user.mfa_enabled:
        raise MfaAlreadyEnabled
    if await session.get(TotpSecret, user.uuid) is None:
        raise MfaNotEnrolled
    if not is_totp(normal_otp(otp)) or not await use_otp(
        session, identity.crypto, identity.clock(), user.uuid, otp
    ):
        raise WrongOtp
    switch_second_factor(session, identity, user, caller, on=True)
    return await _new_recovery_codes(session, identity.crypto, user.uuid)


async def disable(
    session: AsyncSession,
    db: Database,
    identity: Identity,
    who: Principal,
    caller: Caller,
    proof: SecondFactorRequest,
) -> None:
    """Ask for the password alone again.

    Raises MfaNotEnabled, WrongPassword, WrongOtp or TooManyAttempts.
    """
    await _prove(db, identity, who, proof)
    user = await access_self(session, who, lock=True)
    if not user.mfa_enabled:
        raise MfaNotEnabled
    await remove_second_factor(session, identity, user, caller)


async def renew_recovery_codes(
    session: AsyncSession,
    db: Database,
    identity: Identity,
    who: Principal,
    caller: Caller,
    proof: SecondFactorRequest,
) -> list[str]:
    """New recovery codes; the older ones are void.

    Raises MfaNotEnabled, WrongPassword, WrongOtp or TooManyAttempts.
    """
    await _prove(db, identity, who, proof)
    user = await access_self(session, who, lock=True)
    if not user.mfa_enabled:
        raise MfaNotEnabled
    note(session, user.uuid, "recovery_codes_renewed", caller)
    mail_notice(session, identity, user, "recovery_codes_renewed")
    return await _new_recovery_codes(session, identity.crypto, user.uuid)


async def _prove(db: Database, identity: Identity, who: Principal, proof: SecondFactorRequest) -> None:
    user = await confirm_password(db, identity, who, proof.password)
    if not user.mfa_enabled:
        raise MfaNotEnabled
    if not await use_second_factor(db, identity, user.uuid, proof.otp):
        raise WrongOtp


async def _new_recovery_codes(session: AsyncSession, crypto: Crypto, user: UUID) -> list[str]:
    codes = [
        "".join(choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_LENGTH)) for _ in range(RECOVERY_CODES)
    ]
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_uuid == user))
    session.add_all(
        RecoveryCode(user_uuid=user, code_hmac=crypto.recovery_hmac(user, code)) for code in codes
    )
    return [readable(code) for code in codes]
