"""What proves an address, one function per intent: registering, verifying, resetting the password.

A code proves the registration that asked for it. Whatever else was said about the address before, by anybody,
ends with the first proof (docs/adr/032).
"""

from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.events.identity import EmailVerified, PasswordChanged, UserRegistered
from libs.common.runtime.networks import network_of
from libs.common.runtime.roles import Role
from services.identity.codes import end_codes, mail_code, mail_notice, use_code
from services.identity.errors import AccountDisabled, InvalidCode
from services.identity.mfa.factors import forget_factors
from services.identity.models import Activity, CodeTry, Registration, User
from services.identity.passwords import COMMON
from services.identity.queries import user_answer, user_by_email
from services.identity.rules import check_password, name_of_address
from services.identity.schemas import PasswordResetRequest, RegisterRequest, VerifyEmailRequest
from services.identity.service import end_access, publish
from services.identity.sessions import Caller, Identity, end_sessions, note, start_session
from services.identity.throttle import forget_failures


async def register(session: AsyncSession, identity: Identity, body: RegisterRequest, caller: Caller) -> None:
    """Keep a registration and mail its code. A known address gets a different mail and nothing else happens.

    Within a minute of another one's mail its own goes out when that is over; where others wait already,
    nothing is kept, for no code would be its own.
    """
    check_password(body.password, COMMON, email=body.email)
    password_hash = await identity.passwords.hash(body.password)
    now = identity.clock()
    said = {
        "password_hash": password_hash, "first_name": body.first_name, "last_name": body.last_name,
        "role": body.role, "phone_number": body.phone_number, "date_of_birth": body.date_of_birth,
    }  # fmt: skip
    made = await session.scalar(
        insert(User)
        .values(uuid=uuid4(), version=1, email=body.email, profile={}, date_joined=now, **said)
        .on_conflict_do_nothing(index_elements=["email"])
        .returning(User)
    )
    if made is not None:
        publish(session, made, UserRegistered(user=made.uuid, role=made.role))
    user = made or await user_by_email(session, body.email, lock=True)
    if user is None:
        return
    if user.is_verified:
        await mail_code(session, identity, user, "known_address")
    elif user.is_active:
        registration = Registration(
            uuid=uuid4(), user_uuid=user.uuid, ip=caller.ip, device=caller.device, created_at=now, **said
        )
        if await mail_code(session, identity, user, "verify", registration, may_wait=True):
            user.password_hash = password_hash


async def resend_verification(session: AsyncSession, identity: Identity, email: str, caller: Caller) -> None:
    """Mail another code to an unverified address; do nothing for any other, with the same answer.

    It is for the last registration made from the caller's network, else for the last one.
    """
    user = await user_by_email(session, email, lock=True)
    if user is None or user.is_verified or not user.is_active:
        return
    kept = await session.scalars(select(Registration).where(Registration.user_uuid == user.uuid))
    place = network_of(caller.ip)
    last = max(kept, key=lambda row: (network_of(row.ip) == place, row.created_at), default=None)
    if last is not None:
        await mail_code(session, identity, user, "verify", last)


async def verify_email(
    session: AsyncSession, db: Database, identity: Identity, body: VerifyEmailRequest, caller: Caller
) -> dict[str, Any]:
    """Prove the address and log in as the one who registered. Raises InvalidCode or AccountDisabled."""
    user, mail = await use_code(session, db, identity, body.email, "verify", body.verification_code)
    if not user.is_active:
        raise AccountDisabled
    if user.is_verified or mail.registration is None:  # a mailed code is no way to log in
        raise InvalidCode
    registration = await session.get(Registration, mail.registration)
    if registration is None:
        raise InvalidCode
    await take_over(session, user, registration, identity.clock())
    note(session, user.uuid, "email_verified", caller)
    access, refresh = await start_session(session, identity, user, caller)
    await session.flush()
    return {"tokens": {"access": access, "refresh": refresh}, "user": user_answer(user)}


async def take_over(
    session: AsyncSession,
    user: User,
    said: Registration,
    now: datetime,
    role: Role | None = None,
    profile: dict[str, str] | None = None,
) -> None:
    """Give an unverified account to whoever has proved its address: nothing stays of what was there before.

    The caller holds the user's lock. `said` need not be stored.
    """
    user.password_hash = said.password_hash
    user.first_name, user.last_name = said.first_name, said.last_name
    user.role = role or said.role
    user.phone_number, user.date_of_birth = said.phone_number, said.date_of_birth
    user.date_joined = said.created_at
    user.avatar = user.last_login = None
    user.profile = profile or {}
    user.mfa_enabled = False
    user.is_verified = True
    user.version += 1
    publish(session, user, EmailVerified(user=user.uuid))
    await end_sessions(session, user.uuid, "revoked", now)
    await end_codes(session, user.uuid)
    await forget_factors(session, user.uuid)
    for table in (CodeTry, Activity, Registration):
        await session.execute(delete(table).where(table.user_uuid == user.uuid))
    session.add(
        Activity(
            user_uuid=user.uuid, kind="registered", ip=said.ip, device=said.device, created_at=said.created_at
        )
    )


async def ask_for_reset(session: AsyncSession, identity: Identity, email: str) -> None:
    """Mail a code to a known address; do nothing for any other, with the same answer."""
    user = await user_by_email(session, email, lock=True)
    if user is not None and user.is_active:
        await mail_code(session, identity, user, "reset")


async def reset_password(
    session: AsyncSession, db: Database, identity: Identity, body: PasswordResetRequest, caller: Caller
) -> None:
    """Set a new password by mailed code. Ends every session; older tokens die. Raises InvalidCode.

    The code proves the address too: of an account that was not verified nothing stays but the address, for
    nobody can tell who said the rest.
    """
    check_password(body.new_password, COMMON, email=body.email, field="new_password")
    user, _ = await use_code(session, db, identity, body.email, "reset", body.reset_code)
    if not user.is_active:
        raise InvalidCode
    password_hash = await identity.passwords.hash(body.new_password)
    now = identity.clock()
    if user.is_verified:
        user.password_hash = password_hash
    else:
        await take_over(session, user, only_address(user.email, password_hash, caller, now), now)
    mail_notice(session, identity, user, "password_changed")
    user.version += 1
    publish(session, user, PasswordChanged(user=user.uuid, by_reset=True))
    await end_access(session, user, "password_changed")
    await end_sessions(session, user.uuid, "password_changed", now)
    note(session, user.uuid, "password_reset", caller)
    await forget_failures(session, (identity.crypto.account_hmac(body.email), network_of(caller.ip)))


def only_address(email: str, password_hash: str, caller: Caller, now: datetime) -> Registration:
    """What is known of somebody who has proved an address and said nothing else; not stored."""
    return Registration(
        password_hash=password_hash, first_name=name_of_address(email), last_name="", role="student",
        phone_number="", date_of_birth=None, ip=caller.ip, device=caller.device, created_at=now,
    )  # fmt: skip
