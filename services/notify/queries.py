"""Reads of notify."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.notify.models import Inbox, Notification


def notifications_of(user: UUID) -> Select[Notification]:
    return select(Notification).where(Notification.user == user, Notification.deleted_at.is_(None))


async def unread_count(session: AsyncSession, user: UUID) -> int:
    """Counted, never kept."""
    query = select(func.count()).select_from(Notification).where(
        Notification.user == user, Notification.is_read.is_(False), Notification.deleted_at.is_(None)
    )  # fmt: skip
    return await session.scalar(query) or 0


async def newest_seq(session: AsyncSession, user: UUID) -> int:
    return await session.scalar(select(Inbox.last_seq).where(Inbox.user == user)) or 0


async def notifications_after(
    session: AsyncSession, user: UUID, seq: int, most: int
) -> Sequence[Notification]:
    """Numbered frames after `seq`, deleted ones left out."""
    query = notifications_of(user).where(Notification.seq > seq).order_by(Notification.seq).limit(most)
    return (await session.scalars(query)).all()
