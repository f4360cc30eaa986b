"""Proving once more who one is, before what cannot be taken back."""

from libs.common.data.db import Database
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from services.identity.errors import WrongOtp
from services.identity.mfa.factors import use_second_factor
from services.identity.privacy.schemas import ErasureRequest
from services.identity.service import confirm_password
from services.identity.sessions import Identity


async def confirm_owner(db: Database, identity: Identity, who: Principal, body: ErasureRequest) -> None:
    """The password, and where a second factor is asked for its code; both throttled.

    Raises WrongPassword, WrongOtp, TooManyAttempts, or Unprocessable when the code is missing.
    """
    user = await confirm_password(db, identity, who, body.password)
    if user.mfa_enabled:
        if not body.otp:
            raise Unprocessable.field("otp", "is needed: a code of the authenticator, or a recovery code")
        if not await use_second_factor(db, identity, user.uuid, body.otp):
            raise WrongOtp
