"""A learner reads one streak in two places; two services count it, each from its own days."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.analytics.rules import streak as on_dashboard
from services.learning.study.rules import streak as in_learning

TODAY = date(2026, 3, 10)


@given(st.lists(st.integers(-2, 60), max_size=60))
def test_the_dashboard_shows_the_streak_that_learning_counts(back: list[int]):
    days = [TODAY - timedelta(days=n) for n in back]
    assert on_dashboard(days, TODAY) == in_learning(days, TODAY).current
