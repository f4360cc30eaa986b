"""Pure decisions about quizzes: scores, attempts, deadlines. What differs between kinds lies in `kinds`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from statistics import StatisticsError, correlation

from services.learning.rules import SHOWN

STORED = Decimal("1e-10")


def stored(value: Fraction) -> Decimal:
    """A score as its column keeps it."""
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(STORED, ROUND_HALF_UP)


def quiz_result(scoring: str, percentages: Sequence[Decimal]) -> Decimal | None:
    """A learner's result in a quiz from those of their graded attempts, oldest first."""
    if not percentages:
        return None
    if scoring == "first":
        return percentages[0]
    if scoring == "latest":
        return percentages[-1]
    if scoring == "average":
        return sum(percentages, Decimal(0)) / len(percentages)
    return max(percentages)


def is_passing(percentage: Decimal | None, pass_mark: Decimal) -> bool:
    """What is shown decides: 66.666… is shown as 66.67, and passes a mark of 66.67."""
    return percentage is not None and percentage.quantize(SHOWN, ROUND_HALF_UP) >= pass_mark


def attempt_deadline(
    started_at: datetime, limit: int | None, closes_at: datetime | None, extra: int = 0
) -> datetime | None:
    """The end of the time limit with its `extra` seconds or of the window, whichever comes first."""
    ends = [closes_at] if closes_at else []
    if limit is not None:
        ends.append(started_at + timedelta(seconds=limit + extra))
    return min(ends, default=None)


def attempts_allowed(allowed: int | None, extra: int) -> int | None:
    """None: any number."""
    return None if allowed is None else allowed + extra


def discrimination(points: Sequence[float], rest: Sequence[float]) -> float | None:
    """How well a question tells strong attempts from weak ones: its correlation with the rest of the attempt.

    None below three attempts, or where all are alike.
    """
    if len(points) < 3:
        return None
    try:
        return round(correlation(points, rest), 4)
    except StatisticsError:
        return None
