"""How a course grade comes about, exactly: fractions inside, rounded half up to two places when shown.

A learner has at most one mark per item. Items lie in weighted groups; without groups all items are one. The
percentage of a group is what was earned over what was possible, of the items that count and are not dropped.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Literal
from uuid import UUID

Status = Literal["graded", "excused", "missing", "submitted", "open"]
View = Literal["current", "final"]
SECONDS = {"hour": 3600, "day": 86_400}
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Group:
    """Items that weigh together. Drops apply to those that count; extra credit is never dropped."""

    uuid: UUID | None
    name: str
    weight: Decimal
    drop_lowest: int = 0
    drop_highest: int = 0


@dataclass(frozen=True, slots=True)
class Late:
    """Every unit begun costs `percent` of the maximum, not below `floor` percent of it."""

    unit: Literal["hour", "day"]
    percent: Decimal
    floor: Decimal


@dataclass(frozen=True, slots=True)
class Letter:
    letter: str
    start: Decimal
    """The least percentage, as shown."""


@dataclass(frozen=True, slots=True)
class Policy:
    groups: tuple[Group, ...] = ()
    late: Late | None = None
    missing_as_zero: bool = True
    letters: tuple[Letter, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A quiz or an assignment. Extra credit adds to what is earned, and never to what is possible."""

    uuid: UUID
    title: str
    points: Decimal
    group: UUID | None = None
    extra_credit: bool = False


@dataclass(frozen=True, slots=True)
class ItemGrade:
    """Where a learner stands with an item; `earned`, once it is graded, is after any cost of lateness."""

    item: Item
    status: Status
    earned: Fraction | None = None


@dataclass(frozen=True, slots=True)
class GroupGrade:
    """What became of a group: `percentage` None when nothing in it counts; `share` of the whole grade."""

    group: Group
    counted: tuple[ItemGrade, ...]
    dropped: tuple[ItemGrade, ...]
    earned: Fraction
    possible: Fraction
    percentage: Fraction | None
    share: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Grade:
    percentage: Fraction | None
    groups: tuple[GroupGrade, ...] = field(default=())


def rounded(value: Fraction | None) -> Decimal | None:
    """Half up to two places: what people see, and what letters are given by."""
    if value is None:
        return None
    cents = value * 100
    whole, rest = divmod(abs(cents.numerator), cents.denominator)
    if rest * 2 >= cents.denominator:
        whole += 1
    return Decimal(whole if value >= 0 else -whole) * CENT


def after_lateness(score: Fraction, points: Decimal, late_seconds: int, late: Late | None) -> Fraction:
    """The score less what lateness costs; never above the score, nor below the floor unless it was there."""
    if late is None or late_seconds <= 0:
        return score
    units = -(-late_seconds // SECONDS[late.unit])
    whole = Fraction(points)
    cost = whole * units * Fraction(late.percent) / 100
    return min(score, max(score - cost, whole * Fraction(late.floor) / 100))


def status_of(
    *, graded: bool, excused: bool, submitted: bool, due_at: datetime | None, now: datetime
) -> Status:
    """Missing is what is past its due time and was not handed in."""
    if excused:
        return "excused"
    if graded:
        return "graded"
    if submitted:
        return "submitted"
    return "missing" if due_at is not None and due_at < now else "open"


def counts(item_grade: ItemGrade, policy: Policy, view: View) -> bool:
    """*Current* counts what is graded, and what is missing if that is zero; *final* all but the excused."""
    if item_grade.status == "graded":
        return True
    if item_grade.item.extra_credit or item_grade.status == "excused":
        return False
    if view == "final":
        return True
    return item_grade.status == "missing" and policy.missing_as_zero


def grade(policy: Policy, item_grades: Sequence[ItemGrade], view: View) -> Grade:
    """The whole: the weight of a group without counted items is shared out among the others in proportion."""
    groups = policy.groups or (Group(None, "All", Decimal(1)),)
    graded = [_grade_group(group, _of_group(group, item_grades, policy), policy, view) for group in groups]
    alive = [each for each in graded if each.percentage is not None]
    total = sum((Fraction(each.group.weight) for each in alive), Fraction(0))
    if not total:
        return Grade(None, tuple(graded))
    whole = tuple(
        GroupGrade(
            each.group, each.counted, each.dropped, each.earned, each.possible, each.percentage,
            Fraction(each.group.weight) / total if each.percentage is not None else Fraction(0),
        )
        for each in graded
    )  # fmt: skip
    return Grade(sum((each.share * (each.percentage or 0) for each in whole), Fraction(0)), whole)


def _of_group(group: Group, item_grades: Iterable[ItemGrade], policy: Policy) -> list[ItemGrade]:
    return [
        item_grade for item_grade in item_grades if not policy.groups or item_grade.item.group == group.uuid
    ]


def _grade_group(group: Group, item_grades: list[ItemGrade], policy: Policy, view: View) -> GroupGrade:
    counted = [item_grade for item_grade in item_grades if counts(item_grade, policy, view)]
    extra = [item_grade for item_grade in counted if item_grade.item.extra_credit]
    regular = [
        item_grade
        for item_grade in counted
        if not item_grade.item.extra_credit and item_grade.item.points > 0
    ]
    bonus = sum((points_earned(item_grade) for item_grade in extra), Fraction(0))
    best = keep_best(regular, group.drop_lowest, bonus)
    left = keep_worst(best, group.drop_highest, bonus)
    stays = {id(item_grade) for item_grade in left}
    dropped = tuple(item_grade for item_grade in regular if id(item_grade) not in stays)
    possible = sum((Fraction(item_grade.item.points) for item_grade in left), Fraction(0))
    total = bonus + sum((points_earned(item_grade) for item_grade in left), Fraction(0))
    percentage = total * 100 / possible if possible else None
    return GroupGrade(group, (*left, *extra), dropped, total, possible, percentage)


def points_earned(item_grade: ItemGrade) -> Fraction:
    """Nothing where there is no grade."""
    return item_grade.earned or Fraction(0)


def keep_best(item_grades: list[ItemGrade], drop: int, bonus: Fraction = Fraction(0)) -> list[ItemGrade]:
    """Drop those whose leaving helps the learner most; at least one stays. Order is kept."""
    return _keep(item_grades, max(1, len(item_grades) - drop), bonus, 1)


def keep_worst(item_grades: list[ItemGrade], drop: int, bonus: Fraction = Fraction(0)) -> list[ItemGrade]:
    """The mirror image: drop those whose leaving costs the learner most."""
    return _keep(item_grades, max(1, len(item_grades) - drop), bonus, -1)


def _keep(item_grades: list[ItemGrade], number: int, bonus: Fraction, sign: int) -> list[ItemGrade]:
    """The `number` marks with the best (or worst) ratio of earned to possible points together.

    A greedy choice by each one's own percentage is wrong where points differ. The best ratio is found by
    Dinkelbach's iteration (Management Science 13, 1967): for a guessed ratio the best choice is by earned −
    ratio × possible, and its own ratio is the next guess; it ends where the guess is right.
    """
    if number >= len(item_grades):
        return item_grades

    def ratio(chosen: Sequence[ItemGrade]) -> Fraction:
        possible = sum((Fraction(item_grade.item.points) for item_grade in chosen), Fraction(0))
        return (bonus + sum((points_earned(item_grade) for item_grade in chosen), Fraction(0))) / possible

    chosen = item_grades[:number]
    best = ratio(chosen)
    while True:
        ranked = sorted(
            range(len(item_grades)),
            key=lambda place: (
                -sign * (points_earned(item_grades[place]) - best * Fraction(item_grades[place].item.points))
            ),
        )
        places = sorted(ranked[:number])
        candidate = [item_grades[place] for place in places]
        found = ratio(candidate)
        if sign * (found - best) <= 0:
            return chosen
        chosen, best = candidate, found


def letter_of(percentage: Fraction | None, letters: Sequence[Letter]) -> str | None:
    """The letter with the highest start that the percentage, as shown, reaches."""
    value = rounded(percentage)
    if value is None:
        return None
    reached = [letter for letter in letters if letter.start <= value]
    return max(reached, key=lambda letter: letter.start).letter if reached else None
