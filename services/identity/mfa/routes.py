"""HTTP of second factors (api.md §2)."""

from typing import Any

from fastapi import APIRouter

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser
from libs.common.web.openapi import raises
from services.identity.access import CallerDep, DatabaseDep, IdentityDep
from services.identity.errors import (
    MfaAlreadyEnabled,
    MfaNotEnabled,
    MfaNotEnrolled,
    TooManyAttempts,
    WrongOtp,
    WrongPassword,
)
from services.identity.mfa import service
from services.identity.mfa.schemas import OtpRequest, RecoveryCodesRead, SecondFactorRead, SecondFactorRequest
from services.identity.schemas import DetailRead

router = APIRouter(prefix="/api/accounts/users/me/mfa", tags=["accounts"])
PROVED = raises(MfaNotEnabled, WrongPassword, WrongOtp, TooManyAttempts)


@router.post("/enrol/", response_model=SecondFactorRead, responses=raises(MfaAlreadyEnabled))
async def enrol_authenticator(session: SessionDep, identity: IdentityDep, who: CurrentUser) -> Any:
    """Draw a secret for an authenticator; it counts once a code of it is confirmed."""
    return (await service.enrol(session, identity, who))._asdict()


@router.post(
    "/confirm/",
    response_model=RecoveryCodesRead,
    responses=raises(MfaAlreadyEnabled, MfaNotEnrolled, WrongOtp),
)
async def confirm_authenticator(
    body: OtpRequest, session: SessionDep, identity: IdentityDep, who: CurrentUser, caller: CallerDep
) -> Any:
    """Ask for a second factor from now on; answers ten recovery codes, this once."""
    return {"recovery_codes": await service.confirm(session, identity, who, caller, body.otp)}


@router.post("/disable/", response_model=DetailRead, responses=PROVED)
async def disable_second_factor(
    body: SecondFactorRequest,
    session: SessionDep,
    db: DatabaseDep,
    identity: IdentityDep,
    who: CurrentUser,
    caller: CallerDep,
) -> Any:
    """Ask for the password alone again; takes the password and a code."""
    await service.disable(session, db, identity, who, caller, body)
    return {"detail": "The second factor is off."}


@router.post("/recovery-codes/", response_model=RecoveryCodesRead, responses=PROVED)
async def renew_recovery_codes(
    body: SecondFactorRequest,
    session: SessionDep,
    db: DatabaseDep,
    identity: IdentityDep,
    who: CurrentUser,
    caller: CallerDep,
) -> Any:
    """Ten new recovery codes; the older ones are void."""
    return {"recovery_codes": await service.renew_recovery_codes(session, db, identity, who, caller, body)}
