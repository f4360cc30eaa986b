"""Marks, numbers of attempts, and what a regrade leaves; seats, colours and lateness at their edges."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from services.learning.certificates.rules import is_readable
from services.learning.enrollments.rules import has_seat
from services.learning.gradebook.rules import Late, after_lateness
from services.learning.quizzes import rules

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("percentage", "mark", "passes"),
    [
        ("66.6666666667", "66.67", True),
        ("66.664", "66.67", False),
        ("66.665", "66.67", True),
        ("66.67", "66.67", True),
        ("0", "0", True),
        (None, "0", False),
    ],
)
def test_the_shown_percentage_passes(percentage: str | None, mark: str, passes: bool):
    value = None if percentage is None else Decimal(percentage)
    assert rules.is_passing(value, Decimal(mark)) is passes


def test_more_attempts_than_allowed_are_those_granted():
    assert rules.attempts_allowed(None, 3) is None
    assert rules.attempts_allowed(2, 0) == 2
    assert rules.attempts_allowed(2, 3) == 5


@pytest.mark.parametrize(
    ("limit", "closes", "extra", "minutes"),
    [
        (None, None, 0, None),
        (60, None, 0, 1),
        (60, None, 120, 3),
        (600, 5, 0, 5),
        (60, 5, 0, 1),
        (None, 5, 600, 5),
        (0, 5, 0, 0),
    ],
)
def test_an_attempt_ends_with_its_time_or_its_window(
    limit: int | None, closes: int | None, extra: int, minutes: int | None
):
    closes_at = None if closes is None else START + timedelta(minutes=closes)
    end = None if minutes is None else START + timedelta(minutes=minutes)
    assert rules.attempt_deadline(START, limit, closes_at, extra) == end
    assert extra or rules.attempt_deadline(START, limit, closes_at) == end


def test_full_credit_counts_whatever_the_score_and_is_remembered_through_regrades():
    points, score = Decimal(4), Decimal(1)
    for content in (
        {"full_credit": True},
        {"earlier": {"full_credit": True}},
        {"earlier": {"earlier": {"full_credit": True}}},
    ):
        assert rules.has_full_credit(content)
        assert rules.counted(content, points, score) == rules.counted(content, points, None) == points
    others: list[dict[str, Any]] = [
        {},
        {"full_credit": False},
        {"earlier": None},
        {"earlier": {"correct": True}},
    ]
    for content in others:
        assert not rules.has_full_credit(content)
        assert rules.counted(content, points, score) == score
        assert rules.counted(content, points, None) is None


def test_a_teachers_decision_looks_at_the_question_alone():
    content = {"correct": True, "full_credit": True, "earlier": {"correct": False}}
    assert rules.without_regrades(content) == {"correct": True}


def test_a_question_is_judged_from_three_attempts_on():
    assert rules.discrimination([1, 2], [1, 2]) is None
    assert rules.discrimination([1, 2, 3], [1, 2, 3]) == 1
    assert rules.discrimination([1, 2, 3], [3, 2, 1]) == -1
    assert rules.discrimination([1, 1, 1], [1, 2, 3]) is None
    assert rules.discrimination([0, 0, 1, 1], [0, 1, 2, 4]) == 0.8452


def test_a_seat_is_free_below_the_limit():
    assert has_seat(None, 10**6)
    assert has_seat(2, 1)
    assert not has_seat(2, 2)
    assert not has_seat(0, 0)


@pytest.mark.parametrize(
    ("color", "readable"),
    [
        ("#000000", True),
        ("#ffffff", False),
        ("#767676", True),
        ("#777777", False),
        ("#ff0000", False),
        ("#0000ff", True),
        ("#278904", True),
        ("#278905", False),
        ("#33880a", False),
        ("#066408", True),
    ],
)
def test_a_color_is_readable_on_white_from_a_contrast_of_four_and_a_half(color: str, readable: bool):
    assert is_readable(color) is readable


def test_lateness_takes_off_only_what_is_late_and_only_by_a_rule():
    assert after_lateness(Fraction(7), Decimal(10), 100, None) == 7
    late = Late("day", Decimal(10), Decimal(0))
    assert after_lateness(Fraction(7), Decimal(10), 0, late) == 7
    assert after_lateness(Fraction(7), Decimal(10), 1, late) == 6
    assert after_lateness(Fraction(7), Decimal(10), 86_400, late) == 6
    assert after_lateness(Fraction(7), Decimal(10), 86_401, late) == 5
