"""Pure decisions about handed-in work."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID


def late_seconds(submitted_at: datetime, due_at: datetime | None) -> int:
    """How much too late, a second begun is one; 0 in time or without a due time."""
    if due_at is None or submitted_at <= due_at:
        return 0
    return -((due_at - submitted_at) // timedelta(seconds=1))


def may_submit(handed_in: int, most: int | None) -> bool:
    return most is None or handed_in < most


def is_closed(now: datetime, closes_at: datetime | None) -> bool:
    return closes_at is not None and now > closes_at


def score_by_rubric(most: Mapping[str, Decimal], given: Mapping[str, Decimal], points: Decimal) -> Decimal:
    """The share of the rubric's points that was given, of the assignment's points; four places, half up."""
    total = sum(most.values(), Decimal(0))
    earned = sum(given.values(), Decimal(0))
    return (earned * points / total).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def rescaled(score: Decimal, before: Decimal, points: Decimal) -> Decimal:
    """The same share of other points; ten places, as scores are kept."""
    return (score * points / before).quantize(Decimal("1e-10"), ROUND_HALF_UP)


def team_of(teams: Sequence[Mapping[str, Any]], student: UUID) -> Mapping[str, Any] | None:
    """The group of an assignment that somebody is in; who is in none works alone."""
    return next((team for team in teams if str(student) in team["members"]), None)
