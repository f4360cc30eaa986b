"""HTTP of identity (api.md §2)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from libs.common.data.db import SessionDep
from libs.common.runtime.roles import ROLES
from libs.common.security.auth import CurrentUser, Manager, OptionalUser
from libs.common.web import etags
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_bool, paginate, paginate_by_cursor
from services.identity import proofs, service
from services.identity.access import EVEN_TIME, CallerDep, DatabaseDep, IdentityDep, access_card, access_self
from services.identity.avatars.routes import router as avatars
from services.identity.errors import (
    AccountDisabled,
    AddressNotVerified,
    BadCredentials,
    EmailNotVerified,
    InvalidCode,
    InvalidOtp,
    InvalidRefreshToken,
    OtpRequired,
    PasswordRefused,
    RoleNotAllowed,
    TooManyAttempts,
    WrongPassword,
)
from services.identity.mfa.routes import router as mfa
from services.identity.models import Activity, User
from services.identity.queries import STATUSES, card_answer, find_users, live_sessions, user_answer, user_tag
from services.identity.schemas import (
    ActivityRead,
    DetailRead,
    EmailRequest,
    Jwks,
    LoginRead,
    LoginRequest,
    LogoutRequest,
    PasswordResetRequest,
    PasswordUpdate,
    ProfileUpdate,
    RefreshRequest,
    RegisterRead,
    RegisterRequest,
    SessionRead,
    TokensRead,
    UserRead,
    UserSummary,
    UserUpdate,
    VerifyEmailRead,
    VerifyEmailRequest,
)
from services.identity.sessions import refresh_session

router = APIRouter(prefix="/api/accounts", tags=["accounts"])
well_known = APIRouter(tags=["accounts"])
ROUTERS = [router, avatars, mfa, well_known]
# Their answers hold tokens or secrets, which an Idempotency-Key must not store.
EXEMPT = {
    f"/api/accounts/{name}/"
    for name in (
        "change-password", "login", "logout", "refresh", "verify-email",
        "users/me/mfa/confirm", "users/me/mfa/disable", "users/me/mfa/enrol", "users/me/mfa/recovery-codes",
    )
}  # fmt: skip

SENT = "If the address can be used, a mail with a code is on its way."


@well_known.get("/.well-known/jwks.json", response_model=Jwks)
async def get_jwks(identity: IdentityDep, response: Response) -> Any:
    """Public keys of access tokens (RFC 7517)."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return identity.ring.jwks


@router.post(
    "/register/",
    status_code=201,
    response_model=RegisterRead,
    dependencies=EVEN_TIME,
    responses=raises(PasswordRefused),
)
async def register(
    body: RegisterRequest, session: SessionDep, identity: IdentityDep, caller: CallerDep, request: Request
) -> Any:
    """Make an account as student or teacher; a code is mailed. A known address gets the same answer."""
    await proofs.register(session, identity, body, caller)
    return {"detail": SENT, "email": body.email}


@router.post(
    "/verify-email/",
    response_model=VerifyEmailRead,
    dependencies=EVEN_TIME,
    responses=raises(InvalidCode, AccountDisabled),
)
async def verify_email(
    body: VerifyEmailRequest, session: SessionDep, db: DatabaseDep, identity: IdentityDep, caller: CallerDep
) -> Any:
    """Prove the address with the mailed code, and be logged in."""
    return await proofs.verify_email(session, db, identity, body, caller)


@router.post("/resend-verification/", response_model=DetailRead, dependencies=EVEN_TIME)
async def resend_verification(
    body: EmailRequest, session: SessionDep, identity: IdentityDep, caller: CallerDep
) -> Any:
    """Mail another code, at most one a minute."""
    await proofs.resend_verification(session, identity, body.email, caller)
    return {"detail": SENT}


@router.post("/password-reset/", response_model=DetailRead, dependencies=EVEN_TIME)
async def ask_for_password_reset(body: EmailRequest, session: SessionDep, identity: IdentityDep) -> Any:
    """Mail a code for a new password; the same answer for every address."""
    await proofs.ask_for_reset(session, identity, body.email)
    return {"detail": SENT}


@router.post(
    "/password-reset-confirm/",
    response_model=DetailRead,
    dependencies=EVEN_TIME,
    responses=raises(InvalidCode, PasswordRefused),
)
async def reset_password(
    body: PasswordResetRequest, session: SessionDep, db: DatabaseDep, identity: IdentityDep, caller: CallerDep
) -> Any:
    """Set a new password with the mailed code; ends every session."""
    await proofs.reset_password(session, db, identity, body, caller)
    return {"detail": "The password is changed: log in with the new one."}


@router.post(
    "/change-password/",
    response_model=DetailRead,
    responses=raises(WrongPassword, PasswordRefused, TooManyAttempts),
)
async def change_password(
    body: PasswordUpdate,
    session: SessionDep,
    db: DatabaseDep,
    identity: IdentityDep,
    who: CurrentUser,
    caller: CallerDep,
) -> Any:
    """Set a new password, knowing the old one; ends all other sessions."""
    await service.change_password(session, db, identity, who, body, caller)
    return {"detail": "The password is changed."}


@router.post(
    "/login/",
    response_model=LoginRead,
    responses=raises(
        BadCredentials, OtpRequired, InvalidOtp, EmailNotVerified, AccountDisabled, TooManyAttempts
    ),
)
async def login(
    body: LoginRequest, session: SessionDep, db: DatabaseDep, identity: IdentityDep, caller: CallerDep
) -> Any:
    """Start a session: an access token for ten minutes and a refresh token."""
    return await service.login(session, db, identity, body, caller)


@router.post("/refresh/", response_model=TokensRead, responses=raises(InvalidRefreshToken, AccountDisabled))
async def refresh_tokens(
    body: RefreshRequest, session: SessionDep, identity: IdentityDep, caller: CallerDep
) -> Any:
    """A new pair; the old refresh token stays valid until its successor is first used."""
    result = await refresh_session(session, identity, body.refresh, caller)
    if isinstance(result, type):
        await session.commit()  # the end of the family must outlive the refusal
        raise result
    return {"access": result[0], "refresh": result[1]}


@router.post("/logout/", response_model=DetailRead)
async def logout(
    session: SessionDep,
    identity: IdentityDep,
    who: CurrentUser,
    caller: CallerDep,
    body: LogoutRequest | None = None,
) -> Any:
    """End this session, or all with `{"all": true}`; its tokens and sockets die within seconds."""
    await service.logout(session, identity, who, caller, everywhere=body is not None and body.all)
    return {"detail": "Logged out."}


@router.get("/users/me/", response_model=UserRead)
async def get_me(session: SessionDep, who: CurrentUser, request: Request, response: Response) -> Any:
    """The caller's own account."""
    user = await access_self(session, who)
    return etags.answer(request, response, user_tag(user)) or user_answer(user)


@router.patch("/users/me/", response_model=UserRead)
async def change_me(
    body: ProfileUpdate,
    session: SessionDep,
    who: CurrentUser,
    caller: CallerDep,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Change own fields, flat; `email` is accepted while it does not change."""
    if_match.check((await access_self(session, who, lock=True)).version)
    user = await service.change_profile(session, who, body, caller)
    response.headers["ETag"] = user_tag(user)
    return user_answer(user)


@router.get("/users/me/sessions/", response_model=Page[SessionRead])
async def list_my_sessions(session: SessionDep, who: CurrentUser, page: PagingDep) -> Any:
    """Own live sessions, the last used first."""
    count, rows = await paginate(session, live_sessions(who.user), page)
    fields = ("uuid", "device", "ip", "created_at", "last_seen", "expires_at")
    results = [
        {name: getattr(row, name) for name in fields} | {"is_current": row.uuid == who.session}
        for row in rows
    ]
    return page.answer(count, results)


@router.delete("/users/me/sessions/{uuid}/", response_model=DetailRead)
async def end_my_session(uuid: UUID, session: SessionDep, identity: IdentityDep, who: CurrentUser) -> Any:
    """End one of the own sessions, on whichever device."""
    await service.end_own_session(session, identity, who, uuid)
    return {"detail": "The session has ended."}


@router.get("/users/me/activity/", response_model=Page[ActivityRead])
async def list_my_activity(session: SessionDep, who: CurrentUser, page: PagingDep) -> Any:
    """Logins, failures and changes of the own account, newest first."""
    query = select(Activity).where(Activity.user_uuid == who.user)
    return await paginate_by_cursor(session, query, page, [Activity.created_at, Activity.uuid])


@router.get("/users/", response_model=Page[UserRead])
async def list_users(
    session: SessionDep,
    who: Manager,
    page: PagingDep,
    search: str | None = None,
    role: str | None = None,
    status: str | None = None,
    is_active: str | None = None,
    is_verified: str | None = None,
    ordering: str | None = None,
) -> Any:
    """Accounts, for managers and admins."""
    columns = {"date_joined": User.date_joined, "email": User.email, "last_name": User.last_name}
    order = choose("ordering", ordering, [*columns, *(f"-{name}" for name in columns)]) or "-date_joined"
    column = columns[order.removeprefix("-")]
    query = find_users(
        search, choose("role", role, ROLES), choose("status", status, STATUSES),
        choose_bool("is_active", is_active), choose_bool("is_verified", is_verified),
    ).order_by(column.desc() if order.startswith("-") else column.asc(), User.uuid)  # fmt: skip
    count, rows = await paginate(session, query, page)
    return page.answer(count, [user_answer(user) for user in rows])


@router.get("/users/{uuid}/", response_model=UserRead | UserSummary)
async def get_user(
    uuid: UUID, session: SessionDep, who: OptionalUser, request: Request, response: Response
) -> Any:
    """All of a user for managers and the owner; the public card for others."""
    user, full = await access_card(session, who, uuid)
    tag = user_tag(user, full=full)
    return etags.answer(request, response, tag) or (user_answer(user) if full else card_answer(user))


@router.patch("/users/{uuid}/", response_model=UserRead, responses=raises(RoleNotAllowed, AddressNotVerified))
async def change_user(
    uuid: UUID,
    body: UserUpdate,
    session: SessionDep,
    identity: IdentityDep,
    who: Manager,
    caller: CallerDep,
    response: Response,
) -> Any:
    """Change a role (neither from nor to above one's own) or `is_active`; older tokens die within seconds.

    `mfa_enabled: false` helps who has lost the second factor and the recovery codes; they get a mail.
    """
    user = await service.change_user(session, identity, who, uuid, body, caller)
    response.headers["ETag"] = user_tag(user)
    return user_answer(user)
