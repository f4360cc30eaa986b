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
from services.learning.quizzes.kinds.regrades import has_full_credit
from services.learning.rules import as_seen, rounded

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


def test_full_credit_is_remembered_through_regrades():
    given: list[dict[str, Any]] = [{"full_credit": True}]
    for _ in range(2):
        given.append({"earlier": given[-1]})
    assert all(has_full_credit(content) for content in given)
    given = [{}, {"full_credit": False}, {"earlier": None}, {"earlier": {"correct": True}}]
    assert not any(has_full_credit(content) for content in given)


@pytest.mark.parametrize(
    ("scoring", "result"), [("first", "20"), ("latest", "30"), ("average", "40"), ("best", "70")]
)
def test_a_result_is_that_of_the_attempt_that_counts(scoring: str, result: str):
    percentages = [Decimal(number) for number in (20, 70, 30)]
    assert rules.quiz_result(scoring, percentages) == Decimal(result)
    assert rules.quiz_result(scoring, []) is None


def test_scores_are_kept_with_ten_places_and_shown_with_two():
    assert str(rules.stored(Fraction(2, 3))) == "0.6666666667"
    assert str(rules.stored(Fraction(1, 20_000_000_000))) == "1E-10"
    assert [rounded(Decimal(text)) for text in ("0.005", "0.004", "66.665")] == [0.01, 0.0, 66.67]
    assert rounded(None) is None


def test_texts_are_compared_as_they_are_seen():
    assert as_seen("  an\u00a0 edge\n") == "an edge"
    assert as_seen("e\u0301") == "\u00e9"
    assert as_seen("\ufb01ne") == "\ufb01ne"


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
