"""Pure decisions about seats and progress."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import floor
from uuid import UUID

HEARTBEAT_LIMIT = 60
ALMOST = Decimal("99.99")
ENROLLED = frozenset({"enrolled", "in_progress", "completed"})


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the published revision a learner has completed."""

    done: int
    total: int

    @property
    def is_complete(self) -> bool:
        return self.total > 0 and self.done == self.total

    @property
    def percentage(self) -> Decimal:
        """0 to 100 with two places; 100 only when nothing is left."""
        if self.is_complete:
            return Decimal(100)
        if not self.total:
            return Decimal(0)
        share = Decimal(100) * self.done / self.total
        return min(share.quantize(Decimal("0.01"), ROUND_HALF_UP), ALMOST)


def progress(completed: Iterable[UUID], lessons: Collection[UUID]) -> Progress:
    """The completed lessons that the revision still has, of all that it has."""
    wanted = set(lessons)
    return Progress(len(wanted.intersection(completed)), len(wanted))


def next_lesson(completed: Iterable[UUID], lessons: Sequence[UUID]) -> UUID | None:
    """The first lesson of the revision, in its order, that is not completed."""
    done = set(completed)
    return next((lesson for lesson in lessons if lesson not in done), None)


def has_seat(limit: int | None, taken: int) -> bool:
    return limit is None or taken < limit


def count_study_time(
    counted_until: datetime, seated_at: datetime, now: datetime, spent: int
) -> tuple[int, datetime]:
    """Seconds of a heartbeat that count, and up to when the learner's time is then counted.

    Only what the clock here confirms: the time since what was counted last, and for the first heartbeat since
    the learner took the seat. The spans never overlap and never lie in the future, so their sum never passes
    wall clock.
    """
    counted_until = max(counted_until, seated_at)
    spent = min(spent, HEARTBEAT_LIMIT)
    seconds = max(0, min(spent, floor((now - counted_until).total_seconds())))
    return seconds, max(counted_until, now - timedelta(seconds=spent)) + timedelta(seconds=seconds)
