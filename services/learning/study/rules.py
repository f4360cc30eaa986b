"""The streak: days in a row on which a learner learnt something, with freezes for missed ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

DAYS_PER_FREEZE = 7
MOST_FREEZES = 2


@dataclass(frozen=True, slots=True)
class Streak:
    current: int
    longest: int
    active_today: bool
    freezes: int


def streak(days: Iterable[date], today: date) -> Streak:
    """Every seventh active day of a streak earns a freeze (two at most); a missed day uses one up.

    Frozen days do not count, and today is not missed before it is over.
    """
    current = longest = freezes = 0
    last: date | None = None
    for day in sorted(day for day in set(days) if day <= today):
        missed = (day - last).days - 1 if last else 0
        if missed > freezes:
            current = freezes = 0
        else:
            freezes -= missed
        current += 1
        if current % DAYS_PER_FREEZE == 0:
            freezes = min(freezes + 1, MOST_FREEZES)
        longest = max(longest, current)
        last = day
    if last is None:
        return Streak(0, 0, False, 0)
    missed = (today - last).days - 1
    if missed > freezes:
        current = freezes = 0
    elif missed > 0:
        freezes -= missed
    return Streak(current, longest, last == today, freezes)
