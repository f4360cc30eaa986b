"""Sessions and their tokens: login, refresh with rotation on acknowledgement, ending."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Literal
from uuid import UUID, uuid4

from sqlalchemy import literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.identity import SessionEnded, SessionStarted
from libs.common.files.storage import Storage
from libs.common.runtime.clock import Clock
from libs.common.security.tokens import mint
from services.identity.avatars.pictures import Pictures
from services.identity.crypto import Crypto, digest, new_refresh_token
from services.identity.errors import AccountDisabled, InvalidRefreshToken
from services.identity.keys import KeyRing
from services.identity.models import Activity, RefreshToken, Session, User
from services.identity.passwords import Passwords
from services.identity.settings import Settings
from services.identity.throttle import Turns

EndReason = Literal[
    "logout", "logout_all", "revoked", "refresh_reused", "expired", "password_changed", "role_changed",
    "disabled", "erased",
]  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """What identity's functions work with besides the session."""

    settings: Settings
    crypto: Crypto
    ring: KeyRing
    passwords: Passwords
    storage: Storage
    pictures: Pictures
    clock: Clock
    turns: Turns = field(default_factory=Turns)


@dataclass(frozen=True)
class Caller:
    """Where a request comes from, as the owner of the account will see it."""

    ip: str
    device: str


def note(session: AsyncSession, user: UUID, kind: str, caller: Caller) -> None:
    """Write to the owner's activity log."""
    session.add(Activity(user_uuid=user, kind=kind, ip=caller.ip, device=caller.device))


async def note_failed_login(session: AsyncSession, uuid: UUID, email: str, caller: Caller) -> None:
    """Note a login as failed before it is tried; one that succeeds changes the note.

    One statement whether the address is known or not, so that both take as long.
    """
    values = (literal(uuid), User.uuid, literal("login_failed"), literal(caller.ip), literal(caller.device))
    await session.execute(
        insert(Activity).from_select(
            ["uuid", "user_uuid", "kind", "ip", "device"],
            select(*values).where(User.email == email, User.erased_at.is_(None)),
        )
    )


async def rename_note(session: AsyncSession, uuid: UUID, kind: str) -> None:
    """How the login that was noted as failed went on."""
    await session.execute(update(Activity).where(Activity.uuid == uuid).values(kind=kind))


async def start_session(
    session: AsyncSession, identity: Identity, user: User, caller: Caller
) -> tuple[str, str]:
    """Begin a session; returns access and refresh token. The caller holds the user's row lock."""
    now = identity.clock()
    row = Session(
        uuid=uuid4(),
        version=1,
        user_uuid=user.uuid,
        salt=token_bytes(16),
        device=caller.device,
        ip=caller.ip,
        created_at=now,
        last_seen=now,
        expires_at=now + timedelta(days=identity.settings.session_days),
    )
    session.add(row)
    await session.flush()
    refresh = new_refresh_token()
    session.add(RefreshToken(digest=digest(refresh), session_uuid=row.uuid, created_at=now))
    record(session, SessionStarted(session=row.uuid, user=user.uuid), row.version)
    user.last_login = now
    return access_token(identity, user, row), refresh


def access_token(identity: Identity, user: User, row: Session) -> str:
    return mint(
        identity.ring.signing_key(),
        issuer=identity.settings.token_issuer,
        audience=identity.settings.token_audience,
        user=user.uuid,
        session=row.uuid,
        role=user.role,
        version=user.version,
        clock=identity.clock,
        lifetime=identity.settings.access_seconds,
    )


async def refresh_session(
    session: AsyncSession, identity: Identity, token: str, caller: Caller
) -> tuple[str, str] | type[InvalidRefreshToken]:
    """Give the successor of `token`, always the same one; using it acknowledges it and retires `token`.

    A token whose successor has been used is stolen or replayed: the whole family dies. That must be kept,
    so this refusal is returned, not raised. Everything happens under the lock of the session's row.
    """
    found = await session.get(RefreshToken, digest(token))
    if found is None:
        raise InvalidRefreshToken
    row = await session.get_one(Session, found.session_uuid, with_for_update=True)
    await session.refresh(found)
    now = identity.clock()
    if row.ended_at is not None:
        raise InvalidRefreshToken
    if row.expires_at <= now:
        end_session(session, row, "expired", now)
        return InvalidRefreshToken
    if found.retired_at is not None:
        end_session(session, row, "refresh_reused", now)
        return InvalidRefreshToken
    user = await session.get_one(User, row.user_uuid)
    if not user.is_active:
        raise AccountDisabled
    if found.predecessor is not None:
        await session.execute(
            update(RefreshToken)
            .where(RefreshToken.digest == found.predecessor, RefreshToken.retired_at.is_(None))
            .values(retired_at=now)
        )
    successor = identity.crypto.successor(row.salt, token)
    await session.execute(
        insert(RefreshToken)
        .values(digest=digest(successor), session_uuid=row.uuid, predecessor=found.digest, created_at=now)
        .on_conflict_do_nothing()
    )
    row.last_seen = now
    row.ip = caller.ip
    return access_token(identity, user, row), successor


def end_session(session: AsyncSession, row: Session, reason: EndReason, now: datetime) -> None:
    """End one live session. The caller holds its row lock."""
    row.ended_at = now
    row.end_reason = reason
    row.version += 1
    record(session, SessionEnded(session=row.uuid, user=row.user_uuid, reason=reason), row.version)


async def end_sessions(
    session: AsyncSession, user: UUID, reason: EndReason, now: datetime, *, keep: UUID | None = None
) -> int:
    """End every live session of somebody but `keep`; returns how many there were."""
    rows = await session.scalars(
        select(Session)
        .where(Session.user_uuid == user, Session.ended_at.is_(None))
        .order_by(Session.uuid)
        .with_for_update()
    )
    count = 0
    for row in rows:
        if row.uuid != keep:
            end_session(session, row, reason, now)
            count += 1
    return count
