"""Course grades against a brute-force oracle that tries every choice of what to drop."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import combinations
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.learning.gradebook.rules import (
    Grade,
    Group,
    Item,
    ItemGrade,
    Late,
    Letter,
    Policy,
    after_lateness,
    counts,
    grade,
    letter_of,
    rounded,
    status_of,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def item(points: object = 10, group: UUID | None = None, *, extra: bool = False) -> Item:
    return Item(uuid4(), "Work", Decimal(str(points)), group, extra)


def graded(
    earned: object, points: object = 10, group: UUID | None = None, *, extra: bool = False
) -> ItemGrade:
    return ItemGrade(item(points, group, extra=extra), "graded", Fraction(str(earned)))


def percentage(result: Grade) -> Decimal | None:
    return rounded(result.percentage)


def oracle(policy: Policy, item_grades: list[ItemGrade], view: str) -> set[Fraction | None]:
    """What the grade may be, by trying every subset; where two choices of a drop are as good, either."""
    parts: list[tuple[Fraction, set[Fraction]]] = []
    for group in policy.groups:
        counted = [m for m in item_grades if m.item.group == group.uuid and counts(m, policy, view)]
        bonus = sum((m.earned or Fraction(0) for m in counted if m.item.extra_credit), Fraction(0))
        plain = tuple(m for m in counted if not m.item.extra_credit)
        if not plain:
            continue

        def ratio(chosen: tuple[ItemGrade, ...], bonus: Fraction = bonus) -> Fraction:
            total = sum((m.earned or Fraction(0) for m in chosen), bonus)
            return total * 100 / sum((Fraction(m.item.points) for m in chosen), Fraction(0))

        choices = list(combinations(plain, max(1, len(plain) - group.drop_lowest)))
        best = [choice for choice in choices if ratio(choice) == max(map(ratio, choices))]
        left = {min(map(ratio, combinations(b, max(1, len(b) - group.drop_highest)))) for b in best}
        parts.append((Fraction(group.weight), left))
    weights = sum((weight for weight, _ in parts), Fraction(0))
    if not weights:
        return {None}
    sums = {Fraction(0)}
    for weight, left in parts:
        sums = {total + weight * part / weights for total in sums for part in left}
    return set(sums)


GROUPS = (uuid4(), uuid4())
points = st.integers(1, 20).map(Decimal)
item_grades = st.lists(
    st.builds(
        lambda possible, share, group, status, extra: ItemGrade(
            Item(uuid4(), "Work", possible, group, extra),
            status,
            Fraction(share) * Fraction(possible) / 8 if status == "graded" else None,
        ),
        points,
        st.integers(0, 10),
        st.sampled_from(GROUPS),
        st.sampled_from(["graded", "graded", "graded", "excused", "missing", "submitted", "open"]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=9,
)
policies = st.builds(
    lambda weights, lowest, highest, zero: Policy(
        tuple(
            Group(uuid, "Group", weight, lowest, highest)
            for uuid, weight in zip(GROUPS, weights, strict=True)
        ),
        None,
        zero,
    ),
    st.tuples(st.integers(0, 60).map(Decimal), st.integers(1, 60).map(Decimal)),
    st.integers(0, 3),
    st.integers(0, 2),
    st.booleans(),
)


@given(policies, item_grades, st.sampled_from(["current", "final"]))
def test_grades_are_those_of_the_oracle(policy: Policy, given: list[ItemGrade], view: str):
    assert grade(policy, given, view).percentage in oracle(policy, given, view)


@given(policies, item_grades)
def test_shares_make_a_whole_and_contributions_the_grade(policy: Policy, given: list[ItemGrade]):
    result = grade(policy, given, "final")
    if result.percentage is not None:
        assert sum(each.share for each in result.groups) == 1
        assert sum(each.share * (each.percentage or 0) for each in result.groups) == result.percentage


@given(policies, item_grades, st.sampled_from(["current", "final"]))
def test_one_item_always_stays(policy: Policy, given: list[ItemGrade], view: str):
    for each in grade(policy, given, view).groups:
        if each.dropped:
            assert any(not item_grade.item.extra_credit for item_grade in each.counted)


def test_dropping_looks_at_all_points_together():
    """By own percentage the 1/3 would go; without the 31/60 the rest is better still."""
    group = Group(uuid4(), "Tests", Decimal(1), drop_lowest=1)
    given = [graded(80, 100, group.uuid), graded(1, 3, group.uuid), graded(31, 60, group.uuid)]
    result = grade(Policy((group,)), given, "current")
    assert percentage(result) == Decimal("78.64")
    assert [item_grade.item.points for item_grade in result.groups[0].dropped] == [60]


def test_the_weight_of_an_empty_group_is_shared_out():
    tests, essays, final = (
        Group(uuid4(), "Tests", Decimal(30)), Group(uuid4(), "Essays", Decimal(50)),
        Group(uuid4(), "Final", Decimal(20)),
    )  # fmt: skip
    policy = Policy((tests, essays, final))
    result = grade(policy, [graded(9, 10, tests.uuid), graded(5, 10, essays.uuid)], "current")
    assert percentage(result) == Decimal("65.00")  # (30 × 90 + 50 × 50) / 80
    assert [each.share for each in result.groups] == [Fraction(3, 8), Fraction(5, 8), 0]


def test_extra_credit_may_pass_a_hundred():
    result = grade(Policy(), [graded(10), graded(2, 5, extra=True)], "current")
    assert percentage(result) == Decimal("120.00")


def test_extra_credit_alone_is_no_grade():
    assert grade(Policy(), [graded(2, 5, extra=True)], "current").percentage is None


def test_excused_is_left_out_and_missing_is_zero_where_the_policy_says_so():
    given = [graded(8), ItemGrade(item(), "missing"), ItemGrade(item(), "excused")]
    assert percentage(grade(Policy(), given, "current")) == Decimal("40.00")
    assert percentage(grade(Policy(missing_as_zero=False), given, "current")) == Decimal("80.00")
    assert percentage(grade(Policy(missing_as_zero=False), given, "final")) == Decimal("40.00")


def test_what_is_open_counts_in_the_final_grade_only():
    given = [graded(8), ItemGrade(item(), "open"), ItemGrade(item(), "submitted")]
    assert percentage(grade(Policy(), given, "current")) == Decimal("80.00")
    assert percentage(grade(Policy(), given, "final")) == Decimal("26.67")


@pytest.mark.parametrize(
    ("seconds", "score", "result"),
    [
        (0, 9, 9),
        (1, 9, 8),  # a day begun
        (86_400, 9, 8),
        (86_401, 9, 7),
        (10 * 86_400, 9, 5),  # not below the floor
        (10 * 86_400, 3, 3),  # and never above what was earned
        (-5, 9, 9),
    ],
)
def test_lateness_costs_by_units_begun(seconds: int, score: int, result: int):
    late = Late("day", Decimal(10), Decimal(50))
    assert after_lateness(Fraction(score), Decimal(10), seconds, late) == result


@given(st.fractions(0, 20), st.integers(0, 10**6), st.integers(0, 100), st.integers(0, 100))
def test_lateness_never_helps(score: Fraction, seconds: int, percent: int, floor: int):
    late = Late("hour", Decimal(percent), Decimal(floor))
    assert 0 <= after_lateness(score, Decimal(20), seconds, late) <= score


@pytest.mark.parametrize(
    ("value", "text"),
    [("79.994", "79.99"), ("79.995", "80.00"), ("0.005", "0.01"), ("100", "100.00"), ("66.666666", "66.67")],
)
def test_half_a_cent_is_rounded_up(value: str, text: str):
    assert str(rounded(Fraction(value))) == text


@given(st.fractions(0, 200, max_denominator=10**6))
def test_rounding_is_that_of_decimals(value: Fraction):
    exact = (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert abs((rounded(value) or 0) - exact) <= Decimal("0.01")
    assert abs(Fraction(rounded(value) or 0) - value) <= Fraction(1, 200)


def test_letters_are_given_by_what_is_shown():
    letters = [Letter("B", Decimal(80)), Letter("A", Decimal(90)), Letter("F", Decimal(0))]
    assert letter_of(Fraction("89.995"), letters) == "A"
    assert letter_of(Fraction("89.994"), letters) == "B"
    assert letter_of(Fraction(3), letters) == "F"
    assert letter_of(None, letters) is None
    assert letter_of(Fraction(50), [Letter("A", Decimal(90))]) is None


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"graded": True}, "graded"),
        ({"graded": True, "excused": True}, "excused"),
        ({"submitted": True, "due_at": NOW - timedelta(days=1)}, "submitted"),
        ({"due_at": NOW - timedelta(seconds=1)}, "missing"),
        ({"due_at": NOW}, "open"),
        ({}, "open"),
    ],
)
def test_where_a_learner_stands(facts: dict, status: str):
    known = {"graded": False, "excused": False, "submitted": False, "due_at": None} | facts
    assert status_of(**known, now=NOW) == status
