"""What people do with their accounts: one function per intent, each a part of the request's transaction."""

from hmac import compare_digest
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.db import Database, enqueue
from libs.common.errors import Unprocessable
from libs.common.events.base import Event
from libs.common.events.identity import (
    AccessChanged,
    EmailVerified,
    PasswordChanged,
    ProfileUpdated,
    RoleChanged,
    UserDisabled,
    UserEnabled,
    UserRegistered,
)
from libs.common.outbox import record
from libs.common.tokens import Principal
from libs.common.trace import current_trace
from services.identity.access import access_self, access_session, access_user
from services.identity.errors import (
    AccountDisabled,
    BadCredentials,
    EmailNotVerified,
    InvalidCode,
    WrongPassword,
)
from services.identity.models import CodeMail, Session, User
from services.identity.queries import user_answer, user_by_email, user_state
from services.identity.rules import PROFILE_FIELDS, check_password, check_role_change, may_mail_again
from services.identity.schemas import (
    Login,
    PasswordChange,
    PasswordReset,
    ProfileChange,
    Registration,
    UserChange,
    Verification,
)
from services.identity.sessions import Caller, Identity, end_session, end_sessions, note, start_session


def publish(session: AsyncSession, user: User, event: Event) -> None:
    """The next version of a user: the fact, and the whole state beside it. The caller holds the row lock."""
    record(session, event, user.version)
    record(session, user_state(user), user.version)


async def register(session: AsyncSession, parts: Identity, body: Registration, caller: Caller) -> None:
    """Make an account and mail a code. A known address gets a different mail and nothing else happens."""
    check_password(body.password, email=body.email)
    password_hash = await parts.passwords.hash(body.password)
    now = parts.clock()
    made = await session.scalar(
        insert(User)
        .values(
            uuid=uuid4(),
            version=1,
            email=body.email,
            password_hash=password_hash,
            first_name=body.first_name,
            last_name=body.last_name,
            role=body.role,
            phone_number=body.phone_number,
            date_of_birth=body.date_of_birth,
            profile={},
            date_joined=now,
        )
        .on_conflict_do_nothing(index_elements=["email"])
        .returning(User)
    )
    if made is not None:
        publish(session, made, UserRegistered(user=made.uuid, role=made.role))
        note(session, made.uuid, "registered", caller)
    user = made or await user_by_email(session, body.email)
    if user is not None:
        await _mail_code(session, parts, user, "known_address" if user.is_verified else "verify")


async def _mail_code(session: AsyncSession, parts: Identity, user: User, purpose: str) -> None:
    """Have the task make and mail a code, unless one went out within the last minute."""
    await session.execute(select(User.uuid).where(User.uuid == user.uuid).with_for_update())
    last = await session.scalar(
        select(func.max(CodeMail.created_at)).where(
            CodeMail.user_uuid == user.uuid, CodeMail.purpose == purpose
        )
    )
    now = parts.clock()
    if not may_mail_again(last, now, parts.settings.mail_interval):
        return
    trace = current_trace()
    mail = CodeMail(
        uuid=uuid4(),
        user_uuid=user.uuid,
        purpose=purpose,
        created_at=now,
        request_id=trace.request_id,
        traceparent=trace.traceparent,
    )
    session.add(mail)
    enqueue(session, "identity.send_code", str(mail.uuid))


async def resend_verification(session: AsyncSession, parts: Identity, email: str) -> None:
    """Mail another code to an unverified address; do nothing for any other, with the same answer."""
    user = await user_by_email(session, email)
    if user is not None and not user.is_verified:
        await _mail_code(session, parts, user, "verify")


async def ask_for_reset(session: AsyncSession, parts: Identity, email: str) -> None:
    """Mail a code to a known address; do nothing for any other, with the same answer."""
    user = await user_by_email(session, email)
    if user is not None and user.is_active:
        await _mail_code(session, parts, user, "reset")


async def reset_password(
    session: AsyncSession, db: Database, parts: Identity, body: PasswordReset, caller: Caller
) -> None:
    """Set a new password by mailed code. Ends every session; older tokens die. Raises InvalidCode."""
    check_password(body.new_password, email=body.email)
    uuid = await use_code(session, db, parts, body.email, "reset", body.reset_code)
    password_hash = await parts.passwords.hash(body.new_password)
    user = await access_user(session, uuid, lock=True)
    user.password_hash = password_hash
    user.version += 1
    publish(session, user, PasswordChanged(user=uuid, by_reset=True))
    end_access(session, user, "password_changed")
    await end_sessions(session, uuid, "password_changed", parts.clock())
    note(session, uuid, "password_reset", caller)


async def change_password(
    session: AsyncSession, db: Database, parts: Identity, who: Principal, body: PasswordChange, caller: Caller
) -> None:
    """Set a new password, knowing the old one. Ends all other sessions; the calling one stays."""
    async with db.session() as looking:
        user = await access_self(looking, who)
    check_password(body.new_password, email=user.email)
    fits, _ = await parts.passwords.verify(body.current_password, user.password_hash)
    if not fits:
        raise WrongPassword(errors=[{"field": "current_password", "message": "is not your password"}])
    password_hash = await parts.passwords.hash(body.new_password)
    user = await access_self(session, who, lock=True)
    user.password_hash = password_hash
    user.version += 1
    publish(session, user, PasswordChanged(user=user.uuid, by_reset=False))
    await end_sessions(session, user.uuid, "password_changed", parts.clock(), keep=who.session)
    note(session, user.uuid, "password_changed", caller)


async def verify_email(
    session: AsyncSession, db: Database, parts: Identity, body: Verification, caller: Caller
) -> dict[str, Any]:
    """Prove the address and log in. Raises InvalidCode."""
    uuid = await use_code(session, db, parts, body.email, "verify", body.verification_code)
    user = await access_user(session, uuid, lock=True)
    if not user.is_active:
        raise AccountDisabled
    if not user.is_verified:
        user.is_verified = True
        user.version += 1
        publish(session, user, EmailVerified(user=user.uuid))
    note(session, user.uuid, "email_verified", caller)
    access, refresh = await start_session(session, parts, user, caller)
    await session.flush()
    return {"tokens": {"access": access, "refresh": refresh}, "user": user_answer(user)}


async def use_code(
    session: AsyncSession, db: Database, parts: Identity, email: str, purpose: str, code: str
) -> UUID:
    """Use up the newest code; returns whose it was.

    The try is counted in a transaction of its own, before the code is looked at and before `session` takes a
    connection. Raises InvalidCode for a wrong, used, expired or exhausted one.
    """
    now = parts.clock()
    newest = (
        select(CodeMail.uuid)
        .join(User, User.uuid == CodeMail.user_uuid)
        .where(User.email == email, CodeMail.purpose == purpose, CodeMail.code_hmac.is_not(None))
        .order_by(CodeMail.created_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    async with db.session() as counting:
        mail = await counting.scalar(
            update(CodeMail)
            .where(
                CodeMail.uuid == newest,
                CodeMail.tries < parts.settings.code_tries,
                CodeMail.used_at.is_(None),
                CodeMail.expires_at > now,
            )
            .values(tries=CodeMail.tries + 1)
            .returning(CodeMail)
        )
    if mail is None or not compare_digest(
        mail.code_hmac, parts.vault.code_hmac(mail.uuid, purpose, email, code)
    ):
        raise InvalidCode
    used = await session.scalar(
        update(CodeMail)
        .where(CodeMail.uuid == mail.uuid, CodeMail.used_at.is_(None))
        .values(used_at=now)
        .returning(CodeMail.uuid)
    )
    if used is None:
        raise InvalidCode
    user: UUID = mail.user_uuid
    return user


async def login(
    session: AsyncSession, db: Database, parts: Identity, body: Login, caller: Caller
) -> dict[str, Any]:
    """Start a session. Raises BadCredentials, EmailNotVerified or AccountDisabled.

    An unknown address costs as much time as a wrong password. No connection is held while it is hashed.
    """
    async with db.session() as looking:
        user = await user_by_email(looking, body.email)
    fits, renewed = await parts.passwords.verify(body.password, user.password_hash if user else None)
    if user is None or not fits:
        if user is not None:
            async with db.session() as noting:  # kept although this request is refused
                note(noting, user.uuid, "login_failed", caller)
        raise BadCredentials
    user = await access_user(session, user.uuid, lock=True)
    if not user.is_active:
        raise AccountDisabled
    if not user.is_verified:
        raise EmailNotVerified
    if renewed:
        user.password_hash = renewed
    note(session, user.uuid, "login", caller)
    access, refresh = await start_session(session, parts, user, caller)
    await session.flush()
    return {"access": access, "refresh": refresh, "user": user_answer(user)}


async def logout(
    session: AsyncSession, parts: Identity, who: Principal, caller: Caller, *, everywhere: bool
) -> None:
    """End the calling session, or every one of the caller's."""
    now = parts.clock()
    if everywhere:
        await end_sessions(session, who.user, "logout_all", now)
    else:
        row = await session.get(Session, who.session, with_for_update=True)
        if row is not None and row.ended_at is None:
            end_session(session, row, "logout", now)
    note(session, who.user, "logout_all" if everywhere else "logout", caller)


async def end_own_session(session: AsyncSession, parts: Identity, who: Principal, uuid: UUID) -> None:
    end_session(session, await access_session(session, who, uuid), "revoked", parts.clock())


async def change_profile(session: AsyncSession, who: Principal, body: ProfileChange) -> User:
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
    return user


async def change_user(
    session: AsyncSession, parts: Identity, who: Principal, uuid: UUID, body: UserChange, caller: Caller
) -> User:
    """Change role or activity. Older tokens of that user die within seconds; disabling ends the sessions."""
    user = await access_user(session, uuid, lock=True)
    check_role_change(who.role, user.role, body.role or user.role)
    if body.role is not None and body.role != user.role:
        previous, user.role = user.role, body.role
        user.version += 1
        publish(session, user, RoleChanged(user=uuid, role=body.role, previous=previous, actor=who.user))
        end_access(session, user, "role_changed")
        note(session, uuid, "role_changed", caller)
    if body.is_active is not None and body.is_active != user.is_active:
        user.is_active = body.is_active
        user.version += 1
        if body.is_active:
            publish(session, user, UserEnabled(user=uuid, actor=who.user))
        else:
            publish(session, user, UserDisabled(user=uuid, actor=who.user))
            end_access(session, user, "disabled")
            await end_sessions(session, uuid, "disabled", parts.clock())
        note(session, uuid, "enabled" if body.is_active else "disabled", caller)
    return user


def end_access(session: AsyncSession, user: User, reason: Any) -> None:
    """Kill every token that was issued before now. The caller holds the row lock."""
    user.version += 1
    publish(session, user, AccessChanged(user=user.uuid, ver=user.version, reason=reason))
