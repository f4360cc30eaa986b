"""Loading and authorising in one step: hidden and missing answer alike."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import NotFound
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from services.identity.models import Session, User
from services.identity.rules import shows_card

# Whoever writes a row that refers to a user shares its key, and need not wait: keys never change.
LOCK = {"key_share": True}


async def access_self(session: AsyncSession, who: Principal, *, lock: bool = False) -> User:
    """The caller's own account. Raises NotFound when it is gone."""
    user = await session.get(User, who.user, with_for_update=LOCK if lock else None)
    if user is None or user.erased_at is not None:
        raise NotFound
    return user


async def access_user(session: AsyncSession, uuid: UUID, *, lock: bool = False) -> User:
    """Somebody's account, for managers. Raises NotFound."""
    user = await session.get(User, uuid, with_for_update=LOCK if lock else None)
    if user is None or user.erased_at is not None:
        raise NotFound
    return user


async def access_card(session: AsyncSession, who: Principal | None, uuid: UUID) -> tuple[User, bool]:
    """Somebody and whether the caller sees all of them. Raises NotFound where not even the card is shown."""
    user = await session.get(User, uuid)
    if user is None or user.erased_at is not None:
        raise NotFound
    full = who is not None and (who.user == uuid or at_least(who, "manager"))
    if not full and not (
        user.is_active and user.is_verified and shows_card(user.role, signed_in=who is not None)
    ):
        raise NotFound
    return user, full


async def access_session(session: AsyncSession, who: Principal, uuid: UUID) -> Session:
    """One of the caller's own live sessions, locked. Raises NotFound."""
    row = await session.get(Session, uuid, with_for_update=True)
    if row is None or row.user_uuid != who.user or row.ended_at is not None:
        raise NotFound
    return row
