"""Windows, rescaled scores and teams of assignments; seats of courses."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from services.learning.assignments import rules

CLOSES = datetime(2026, 3, 2, 9, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (timedelta(0), 0),
        (-INSTANT, 0),
        (INSTANT, 1),
        (timedelta(seconds=1), 1),
        (timedelta(seconds=1) + INSTANT, 2),
        (timedelta(hours=1), 3600),
    ],
)
def test_a_second_begun_is_one_too_late(after: timedelta, seconds: int):
    assert rules.late_seconds(CLOSES + after, CLOSES) == seconds
    assert rules.late_seconds(CLOSES + after, None) == 0


def test_work_is_taken_up_to_the_very_end():
    assert not rules.is_closed(CLOSES, CLOSES)
    assert rules.is_closed(CLOSES + INSTANT, CLOSES)
    assert not rules.is_closed(CLOSES, None)


@pytest.mark.parametrize(
    ("handed_in", "most", "may"), [(0, 1, True), (1, 1, False), (2, 1, False), (9, None, True)]
)
def test_as_often_as_the_assignment_says(handed_in: int, most: int | None, may: bool):
    assert rules.may_submit(handed_in, most) is may


def test_a_score_of_other_points_is_the_same_share():
    assert rules.rescaled(Decimal(3), Decimal(4), Decimal(10)) == Decimal("7.5")
    third = rules.rescaled(Decimal(2), Decimal(3), Decimal(1))
    assert str(third) == "0.6666666667"
    assert str(rules.rescaled(Decimal("0.00000000005"), Decimal(1), Decimal(1))) == "1E-10"


def test_a_rubrics_share_is_of_the_assignments_points():
    most, given = {"a": Decimal(4), "b": Decimal(2)}, {"a": Decimal(3), "b": Decimal(1)}
    assert rules.score_by_rubric(most, given, Decimal(9)) == 6
    assert str(rules.score_by_rubric(most, given, Decimal(10))) == "6.6667"
    assert str(rules.score_by_rubric({"a": Decimal(16)}, {"a": Decimal("0.0008")}, Decimal(1))) == "0.0001"
    assert rules.score_by_rubric(most, {}, Decimal(9)) == 0


def test_somebody_is_in_the_team_that_names_them():
    ada, bob, eve = uuid4(), uuid4(), uuid4()
    one, two = {"members": [str(ada)]}, {"members": [str(bob), str(uuid4())]}
    assert rules.team_of([one, two], bob) is two
    assert rules.team_of([one, two], ada) is one
    assert rules.team_of([one, two], eve) is None
    assert rules.team_of([], ada) is None
