"""Pure decisions about handed-in work."""

from datetime import datetime


def late_seconds(submitted_at: datetime, due_at: datetime | None) -> int:
    """How much too late; 0 in time or without a due time."""
    if due_at is None or submitted_at <= due_at:
        return 0
    return int((submitted_at - due_at).total_seconds())


def may_submit(handed_in: int, most: int | None) -> bool:
    return most is None or handed_in < most


def is_closed(now: datetime, closes_at: datetime | None) -> bool:
    return closes_at is not None and now > closes_at
