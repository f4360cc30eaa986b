"""Times at which something is open, over or to be seen, for everybody or for one learner."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import Unprocessable
from services.learning.models import User

GRACE = timedelta(seconds=5)
"""What comes so late after a deadline still counts."""


def is_over(deadline: datetime | None, now: datetime) -> bool:
    """Whether a save or a submit comes too late to count."""
    return deadline is not None and now > deadline + GRACE


def is_visible(when: str, closes_at: datetime | None, now: datetime) -> bool:
    """Whether a feedback policy shows something of a submitted attempt by now.

    After the close means after its grace, too: somebody may still be writing.
    """
    if when == "after_close":
        return closes_at is not None and is_over(closes_at, now)
    return when == "immediately"


def latest_close(closes_at: datetime | None, extended: datetime | None) -> datetime | None:
    """When the window ends for a learner: an extension never shortens it. None: never."""
    if closes_at is None or extended is None:
        return closes_at
    return max(closes_at, extended)


def check_order(first: datetime | None, closes_at: datetime | None, message: str, *, strict: bool) -> None:
    """Raises Unprocessable where the close comes before the other date (`strict`: or with it)."""
    if first is None or closes_at is None:
        return
    if closes_at < first or (strict and closes_at == first):
        raise Unprocessable.field("closes_at", message)


async def zone_of(session: AsyncSession, user: UUID) -> str:
    """The time zone of a user, in which the dates that they enter are set."""
    return await session.scalar(select(User.time_zone).where(User.uuid == user)) or "UTC"
