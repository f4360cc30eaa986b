"""What people do with their accounts: one function per intent, each a part of the request's transaction."""

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.db import Database
from libs.common.data.outbox import record
from libs.common.events.base import Event
from libs.common.events.identity import (
    AccessChanged,
    PasswordChanged,
    ProfileUpdated,
    RoleChanged,
    UserDisabled,
    UserEnabled,
)
from libs.common.runtime.errors import Unprocessable
from libs.common.runtime.networks import network_of
from libs.common.security.tokens import Principal
from services.identity.access import access_self, access_session, access_user
from services.identity.codes import end_codes, mail_notice
from services.identity.errors import (
    AccountDisabled,
    AddressNotVerified,
    BadCredentials,
    EmailNotVerified,
    InvalidOtp,
    OtpRequired,
    WrongPassword,
)
from services.identity.mfa.factors import forget_factors, use_second_factor
from services.identity.models import Session, User
from services.identity.passwords import COMMON
from services.identity.queries import user_answer, user_by_email, user_state
from services.identity.rules import PROFILE_FIELDS, check_password, check_role_change
from services.identity.schemas import (
    LoginRequest,
    PasswordUpdate,
    ProfileUpdate,
    UserUpdate,
)
from services.identity.sessions import (
    Caller,
    Identity,
    end_session,
    end_sessions,
    note,
    note_failed_login,
    rename_note,
    start_session,
)
from services.identity.throttle import throttled


def publish(session: AsyncSession, user: User, event: Event) -> None:
    """The next version of a user: the fact, and the whole state beside it. The caller holds the row lock."""
    record(session, event, user.version)
    record(session, user_state(user), user.version)


async def change_password(
    session: AsyncSession,
    db: Database,
    identity: Identity,
    who: Principal,
    body: PasswordUpdate,
    caller: Caller,
) -> None:
    """Set a new password, knowing the old one. Ends all other sessions; the calling one stays."""
    user = await confirm_password(db, identity, who, body.current_password, "current_password")
    check_password(body.new_password, COMMON, email=user.email, field="new_password")
    password_hash = await identity.passwords.hash(body.new_password)
    user = await access_self(session, who, lock=True)
    user.password_hash = password_hash
    mail_notice(session, identity, user, "password_changed")
    user.version += 1
    publish(session, user, PasswordChanged(user=user.uuid, by_reset=False))
    await end_codes(session, user.uuid)
    await end_sessions(session, user.uuid, "password_changed", identity.clock(), keep=who.session)
    note(session, user.uuid, "password_changed", caller)


async def login(
    session: AsyncSession, db: Database, identity: Identity, body: LoginRequest, caller: Caller
) -> dict[str, Any]:
    """Start a session.

    Raises BadCredentials, TooManyAttempts, AccountDisabled, EmailNotVerified, OtpRequired or InvalidOtp; all
    but the first two only after the right password. An unknown address costs the same statements and the same
    time as a wrong password. No connection is held while it is hashed.
    """
    known: User | None = None
    attempt = uuid4()

    async def look_up(counting: AsyncSession) -> None:
        nonlocal known
        known = await user_by_email(counting, body.email)
        await note_failed_login(counting, attempt, body.email, caller)

    key = (identity.crypto.account_hmac(body.email), network_of(caller.ip))
    async with throttled(db, identity.turns, identity.clock, key, look_up) as counted:
        fits, renewed = await identity.passwords.verify(body.password, known.password_hash if known else None)
        if known is None or not fits:
            raise BadCredentials
        check_may_log_in(known)
        otp = body.otp or ""
        if known.mfa_enabled and not otp:
            async with db.session() as settling:
                await rename_note(settling, attempt, "otp_required")
                await counted.take_back(settling)
            raise OtpRequired
        if known.mfa_enabled and not await use_second_factor(db, identity, known.uuid, otp):
            raise InvalidOtp
    user = await access_user(session, known.uuid, lock=True)
    check_may_log_in(user)
    # What was changed while this login was under way counts.
    if user.mfa_enabled and not known.mfa_enabled:
        raise OtpRequired
    if user.password_hash != known.password_hash:
        fits, renewed = await identity.passwords.verify(body.password, user.password_hash)
        if not fits:
            raise BadCredentials
    if renewed:
        user.password_hash = renewed
    await rename_note(session, attempt, "login")
    access, refresh = await start_session(session, identity, user, caller)
    await session.flush()
    return {"access": access, "refresh": refresh, "user": user_answer(user)}


def check_may_log_in(user: User) -> None:
    """Raises AccountDisabled or EmailNotVerified."""
    if not user.is_active:
        raise AccountDisabled
    if not user.is_verified:
        raise EmailNotVerified


async def confirm_password(
    db: Database, identity: Identity, who: Principal, password: str, field: str = "password"
) -> User:
    """The caller's account, unlocked, once the password is theirs. Wrong ones are throttled per session.

    Raises WrongPassword for `field`, or TooManyAttempts. No connection is held while it is hashed.
    """
    async with db.session() as looking:
        user = await access_self(looking, who)
    key = (identity.crypto.account_hmac(str(who.user)), str(who.session))
    async with throttled(db, identity.turns, identity.clock, key):
        fits, _ = await identity.passwords.verify(password, user.password_hash)
        if not fits:
            raise WrongPassword(field)
    return user


async def logout(
    session: AsyncSession, identity: Identity, who: Principal, caller: Caller, *, everywhere: bool
) -> None:
    """End the calling session, or every one of the caller's."""
    now = identity.clock()
    if everywhere:
        await end_sessions(session, who.user, "logout_all", now)
    else:
        row = await session.get(Session, who.session, with_for_update=True)
        if row is not None and row.ended_at is None:
            end_session(session, row, "logout", now)
    note(session, who.user, "logout_all" if everywhere else "logout", caller)


async def end_own_session(session: AsyncSession, identity: Identity, who: Principal, uuid: UUID) -> None:
    end_session(session, await access_session(session, who, uuid), "revoked", identity.clock())


async def change_profile(session: AsyncSession, who: Principal, body: ProfileUpdate, caller: Caller) -> User:
    """Change what is given. Raises Unprocessable when the address would change."""
    user = await access_self(session, who, lock=True)
    given = body.model_dump(exclude_unset=True)
    email = given.pop("email", None)
    if email is not None and email != user.email.lower():
        raise Unprocessable.field("email", "cannot be changed here")
    changed: list[str] = []
    profile = dict(user.profile)
    for name, value in given.items():
        if name in PROFILE_FIELDS:
            if value is not None and profile.get(name, "") != value:
                profile[name] = value
                changed.append(name)
        elif (value is not None or name == "date_of_birth") and getattr(user, name) != value:
            setattr(user, name, value)
            changed.append(name)
    if changed:
        user.profile = profile
        user.version += 1
        publish(session, user, ProfileUpdated(user=user.uuid, changed=tuple(sorted(changed))))
        note(session, user.uuid, "profile_changed", caller)
    return user


async def change_user(
    session: AsyncSession, identity: Identity, who: Principal, uuid: UUID, body: UserUpdate, caller: Caller
) -> User:
    """Change role or activity, or take a lost second factor off. Raises AddressNotVerified for a role of an
    account that nobody has proved to be theirs yet.

    With another role or disabled, older tokens of that user die within seconds; disabling ends the sessions.
    """
    user = await access_user(session, uuid, lock=True)
    check_role_change(who.role, user.role, body.role or user.role)
    if body.role is not None and body.role != user.role:
        if not user.is_verified:
            raise AddressNotVerified
        previous, user.role = user.role, body.role
        user.version += 1
        publish(session, user, RoleChanged(user=uuid, role=body.role, previous=previous, actor=who.user))
        await end_access(session, user, "role_changed")
        note(session, uuid, "role_changed", caller)
        details = {"from": previous, "to": body.role}
        await write_entry(session, "role_changed", uuid, actor=who.user, details=details)
    if body.is_active is not None and body.is_active != user.is_active:
        user.is_active = body.is_active
        user.version += 1
        if body.is_active:
            publish(session, user, UserEnabled(user=uuid, actor=who.user))
            await end_codes(session, uuid)
        else:
            publish(session, user, UserDisabled(user=uuid, actor=who.user))
            await end_access(session, user, "disabled")
            await end_sessions(session, uuid, "disabled", identity.clock())
        became = "enabled" if body.is_active else "disabled"
        note(session, uuid, became, caller)
        await write_entry(session, became, uuid, actor=who.user)
    if body.mfa_enabled is False and user.mfa_enabled:
        await remove_second_factor(session, identity, user, caller)
        await write_entry(session, "second_factor_removed", uuid, actor=who.user)
    return user


async def remove_second_factor(session: AsyncSession, identity: Identity, user: User, caller: Caller) -> None:
    """Ask for the password alone again. The caller holds the row lock and knows that it is on."""
    await forget_factors(session, user.uuid)
    switch_second_factor(session, identity, user, caller, on=False)


def switch_second_factor(
    session: AsyncSession, identity: Identity, user: User, caller: Caller, *, on: bool
) -> None:
    """Say so in the state, the activity log and a mail to its owner. The caller holds the row lock."""
    user.mfa_enabled = on
    user.version += 1
    publish(session, user, ProfileUpdated(user=user.uuid, changed=("mfa_enabled",)))
    kind = "mfa_enabled" if on else "mfa_disabled"
    note(session, user.uuid, kind, caller)
    mail_notice(session, identity, user, kind)


async def end_access(session: AsyncSession, user: User, reason: Any) -> None:
    """Kill every token that was issued and every code that was asked for before now. The caller holds the row
    lock."""
    await end_codes(session, user.uuid)
    user.version += 1
    publish(session, user, AccessChanged(user=user.uuid, ver=user.version, reason=reason))
