"""How numbers come about: rounding, streaks, scores. Percentages are 0 to 100."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta

# Enrolments that count: who waits for a seat or has left does not.
TAKING_PART = "status IN ('enrolled', 'in_progress', 'completed')"
STRETCH = 10
"""Seconds of a video that are counted together."""
SLICES = 20
POSTS_FOR_FULL_PARTICIPATION = 10
CONSISTENCY_DAYS = 14
DAYS_PER_FREEZE = 7
MOST_FREEZES = 2
AT_RISK_RULE = "progress below 100 % and nothing learned for 7 days, or an average quiz score below 50 %"
AT_RISK_IDLE_DAYS = 7
AT_RISK_SCORE = 50.0


def rounded(value: float | None, digits: int = 1) -> float:
    """A number to show; nothing counts as 0."""
    return round(float(value or 0), digits)


def share(part: float, whole: float) -> float:
    """`part` of `whole` in percent, 0 of nothing."""
    return rounded(100 * part / whole) if whole else 0.0


def mean(values: Iterable[float | None]) -> float:
    """Mean of what is there, 0 of nothing."""
    known = [value for value in values if value is not None]
    return rounded(sum(known) / len(known)) if known else 0.0


def rating(courses: Iterable[tuple[float | None, int | None]]) -> float:
    """Mean of all reviews of courses, each given by its average and number; 0 without any."""
    known = [(average or 0, number or 0) for average, number in courses]
    reviews = sum(number for _, number in known)
    return rounded(sum(average * number for average, number in known) / reviews, 2) if reviews else 0.0


def streak(days: Collection[date], today: date) -> int:
    """Active days of the streak that goes on, as learning counts it: a missed day uses up a freeze.

    Every seventh active day earns one, two at most; today is not missed before it is over.
    """
    length = freezes = 0
    last: date | None = None
    active = {day for day in days if day <= today}
    for day in [*sorted(active), today]:
        missed = max(0, (day - last).days - 1) if last else 0
        length, freezes = (length, freezes - missed) if missed <= freezes else (0, 0)
        if day in active and day != last:
            length += 1
            if length % DAYS_PER_FREEZE == 0:
                freezes = min(freezes + 1, MOST_FREEZES)
        last = day
    return length


def participation(posts: int) -> float:
    """Ten posts in thirty days are full participation."""
    return share(min(posts, POSTS_FOR_FULL_PARTICIPATION), POSTS_FOR_FULL_PARTICIPATION)


def consistency(days: Collection[date], today: date) -> float:
    """Share of the last fourteen days with learning in them."""
    first = today - timedelta(days=CONSISTENCY_DAYS - 1)
    return share(sum(first <= day <= today for day in set(days)), CONSISTENCY_DAYS)


def engagement(active_share: float, average_progress: float) -> float:
    """60 % who were active within a week, 40 % how far they are."""
    return rounded(0.6 * active_share + 0.4 * average_progress)


def idle_since(today: date) -> date:
    """Who learned last before this day is idle."""
    return today - timedelta(days=AT_RISK_IDLE_DAYS)


def risks(last_day: date | None, enrolled: date, score: float | None, idle: date) -> list[str]:
    """Codes of `AT_RISK_RULE`; `score` is the average of the best results of each quiz, in percent."""
    reasons = []
    if last_day is None and enrolled < idle:
        reasons.append("never_started")
    elif last_day is not None and last_day < idle:
        reasons.append("idle")
    if score is not None and score < AT_RISK_SCORE:
        reasons.append("low_score")
    return reasons


def discrimination(scores: Sequence[tuple[float, int, float]]) -> float | None:
    """How much better the better half of the attempts answered a question, in points of percent.

    `scores` are `(percentage of the attempt, attempts with it, sum of their shares of the question)`.
    Attempts with one percentage are alike: the halves part them in proportion. None for fewer than two.
    """
    total = sum(number for _, number, _ in scores)
    if total < 2:
        return None
    upper = (total + 1) // 2
    room, gained = upper, 0.0
    for _, number, shares in sorted(scores, reverse=True):
        taken = min(number, room)
        gained += shares * taken / number
        room -= taken
    rest = sum(shares for _, _, shares in scores) - gained
    return rounded(gained / upper - rest / (total - upper), 3)


def slices(plays: Mapping[int, int]) -> list[int]:
    """How often each twentieth of a video was played: the most that a stretch of it was.

    `plays` are by stretch; the last one that anybody played is the end of the video.
    """
    if not plays:
        return [0] * SLICES
    length = max(plays) + 1
    counted = [0] * SLICES
    for stretch, number in plays.items():
        first, last = stretch * SLICES // length, ((stretch + 1) * SLICES - 1) // length
        for place in range(first, last + 1):
            counted[place] = max(counted[place], number)
    return counted


def last_days(today: date, count: int) -> list[date]:
    return [today - timedelta(days=back) for back in reversed(range(count))]
