"""How numbers come about."""

import hashlib
from datetime import date, timedelta

import pytest

from services.analytics import rules
from services.analytics.aggregates import AGGREGATES, DERIVED
from services.analytics.charts import chart
from services.analytics.fold import FOLDS
from services.analytics.projection import VERSION

TODAY = date(2026, 3, 10)


def test_a_rating_is_the_mean_of_all_reviews():
    assert rules.rating([(5.0, 1), (4.0, 3), (0.0, 0), (None, None)]) == 4.25
    assert rules.rating([]) == 0.0


def days(*back: int) -> list[date]:
    return [TODAY - timedelta(days=n) for n in back]


@pytest.mark.parametrize(
    ("learned", "length"),
    [
        ([], 0), ([0], 1), ([1], 1), ([2], 0), ([0, 1, 2], 3), ([1, 2, 4], 2), ([0, 2, 3], 1),
        ([0, *range(2, 9)], 8), ([0, *range(3, 10)], 1), ([*range(2, 9)], 7), ([-1, 0, 1], 2),
    ],
)  # fmt: skip
def test_a_streak_counts_active_days_bridged_by_freezes_and_today_may_still_come(
    learned: list[int], length: int
):
    assert rules.streak(days(*learned), TODAY) == length


def test_shares_and_means_of_nothing_are_zero():
    assert rules.share(0, 0) == 0
    assert rules.mean([]) == 0
    assert rules.mean([None, 50, 100]) == 75
    assert rules.share(1, 3) == 33.3


def test_participation_and_consistency_stay_within_a_hundred():
    assert rules.participation(3) == 30
    assert rules.participation(300) == 100
    assert rules.consistency(days(*range(40)), TODAY) == 100
    assert rules.consistency(days(0, 13, 14), TODAY) == round(200 / 14, 1)


def test_slices_of_a_pie_have_colors_of_their_own():
    pie = chart("pie", "T", ["a", "b"], numbers=[1, 2])
    assert len(set(pie["data"]["datasets"][0]["backgroundColor"])) == 2
    assert pie["data"]["datasets"][0]["label"] == "Numbers"


def test_numbers_to_show_are_rounded_and_nothing_is_zero():
    assert rules.rounded(None) == 0.0
    assert rules.rounded(1.26) == 1.3
    assert rules.rounded(1.2345, 3) == 1.234
    assert rules.rating([(4.0, 1), (5.0, 2)]) == 4.67
    assert rules.rating([(None, 1), (4.0, 1)]) == 2.0


def test_engagement_weighs_activity_before_progress():
    assert rules.engagement(100, 0) == 60
    assert rules.engagement(0, 100) == 40
    assert rules.engagement(33.3, 66.6) == 46.6


def test_the_last_days_end_today():
    assert rules.last_days(TODAY, 3) == days(2, 1, 0)
    assert rules.last_days(TODAY, 0) == []


@pytest.mark.parametrize(
    ("learned", "length"),
    [
        ([*range(1, 8), 9], 7),  # what was missed before there was a freeze is over
        ([0, *range(2, 9)], 8),  # seven earn a freeze
        ([*range(2, 9)], 7),  # yesterday was missed, and frozen
        ([*range(3, 10)], 0),  # two were missed
        ([0, 2, *range(4, 11)], 1),  # one freeze for two misses
        ([0, 2, 4, *range(6, 20)], 1),  # three were missed, and two freezes are the most
        ([0, 2, *range(4, 18)], 16),
        ([0, 2, 3, 5, 6], 1),
        ([0, 0, 0], 1),
    ],
)
def test_freezes_are_earned_and_used_up_one_by_one(learned: list[int], length: int):
    assert rules.streak(days(*learned), TODAY) == length


def test_what_read_models_mean_has_a_version():
    """Another digest: raise projection.VERSION, so that what older releases folded is folded anew."""
    statements = [statement for fold in FOLDS for statement in fold.statements]
    statements += [f"{a.name} {a.keys} {a.measures} {a.query}" for a in AGGREGATES]
    statements += [f"{d.table.name} {d.keep} {d.fill}" for d in DERIVED]
    found = hashlib.sha256("\n".join(statements).encode()).hexdigest()[:12]
    assert (VERSION, found) == (2, "871137d7be65")
