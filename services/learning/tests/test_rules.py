"""Pure decisions, without a database."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.learning.assignments import rules as work
from services.learning.certificates.rules import is_number, new_number
from services.learning.enrollments import rules as seats
from services.learning.errors import InvalidAnswer, InvalidQuestion
from services.learning.quizzes import rules as quizzes
from services.learning.quizzes.kinds import kind_of
from services.learning.rules import rounded
from services.learning.study.rules import streak
from services.learning.windows import GRACE, is_over, is_visible

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def options(*right: bool) -> dict[str, object]:
    return {
        "options": [
            {"uuid": str(n), "is_correct": r, "text": "t", "feedback": ""} for n, r in enumerate(right)
        ]
    }


@pytest.mark.parametrize(
    ("kind", "content", "answer", "partial", "expected"),
    [
        ("single_choice", options(False, True), "1", True, 1),
        ("single_choice", options(False, True), "0", True, 0),
        ("multiple_choice", options(True, True, False), ["0", "1"], True, 1),
        ("multiple_choice", options(True, True, False), ["0"], True, Fraction(1, 2)),
        ("multiple_choice", options(True, True, False), ["0", "1", "2"], True, Fraction(1, 2)),
        ("multiple_choice", options(True, True, False), ["0", "2"], True, 0),
        ("multiple_choice", options(True, False, False), ["1", "2"], True, 0),
        ("multiple_choice", options(True, True, False), ["0"], False, 0),
        ("multiple_choice", options(True, True, False), ["1", "0"], False, 1),
        ("true_false", {"correct": False}, False, True, 1),
        ("true_false", {"correct": False}, True, True, 0),
        ("true_false", {"correct": False}, None, True, 0),
        ("short_answer", {"accepted": ["An  Edge"]}, " an edge\u00a0", True, 1),
        ("short_answer", {"accepted": ["straße"]}, "STRASSE", True, 1),
        ("short_answer", {"accepted": ["ﬁne"]}, "fine", True, 1),
        ("short_answer", {"accepted": ["an edge"]}, "anedge", True, 0),
        ("numeric", {"value": "0.3", "tolerance": "0"}, 0.3, True, 1),
        ("numeric", {"value": "0.3", "tolerance": "0.1"}, 0.4, True, 1),
        ("numeric", {"value": "0.3", "tolerance": "0.1"}, 0.41, True, 0),
        ("numeric", {"value": "3"}, 3, True, 1),
    ],
)
def test_an_answer_scores_its_right_part(kind, content, answer, partial, expected):
    assert kind_of(kind).share(content, answer, partial) == expected


@pytest.mark.parametrize(
    ("kind", "content", "answer"),
    [
        ("single_choice", options(False, True), ["1"]),
        ("single_choice", options(False, True), "9"),
        ("multiple_choice", options(False, True), "1"),
        ("multiple_choice", options(False, True), ["1", "1"]),
        ("multiple_choice", options(False, True), [{"uuid": "1"}]),
        ("true_false", {"correct": True}, "true"),
        ("true_false", {"correct": True}, 1),
        ("short_answer", {"accepted": ["x"]}, 5),
        ("short_answer", {"accepted": ["x"]}, "nul\0"),
        ("short_answer", {"accepted": ["x"]}, "\ud800"),
        ("short_answer", {"accepted": ["x"]}, "x" * 3000),
        ("numeric", {"value": "1"}, True),
        ("numeric", {"value": "1"}, "1"),
        ("numeric", {"value": "1"}, float("inf")),
        ("numeric", {"value": "1"}, 10**400),
    ],
)
def test_an_answer_of_the_wrong_shape_is_refused(kind, content, answer):
    with pytest.raises(InvalidAnswer):
        kind_of(kind).check_answer(content, answer)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("single_choice", options(True)),
        ("single_choice", options(True, True)),
        ("multiple_choice", options(False, False)),
        ("true_false", {}),
        ("short_answer", {"accepted": []}),
        ("numeric", {}),
    ],
)
def test_a_question_that_cannot_be_answered_rightly_is_refused(kind, content):
    with pytest.raises(InvalidQuestion):
        kind_of(kind).check(content)


def test_three_thirds_of_a_point_make_a_point():
    thirds = sum((Fraction(1, 3) for _ in range(3)), Fraction(0))
    assert quizzes.stored(thirds) == 1
    assert rounded(quizzes.stored(Fraction(1, 3))) == 0.33
    assert rounded(Decimal("0.125")) == 0.13


def test_scoring_decides_which_attempts_count():
    marks = [Decimal(40), Decimal(90), Decimal(50)]
    assert quizzes.quiz_result("highest", marks) == 90
    assert quizzes.quiz_result("latest", marks) == 50
    assert quizzes.quiz_result("first", marks) == 40
    assert quizzes.quiz_result("average", marks) == 60
    assert quizzes.quiz_result("highest", []) is None


def test_a_deadline_is_the_earlier_of_limit_and_window_and_has_five_seconds_of_grace():
    closes = NOW + timedelta(minutes=5)
    assert quizzes.attempt_deadline(NOW, None, None) is None
    assert quizzes.attempt_deadline(NOW, 60, closes) == NOW + timedelta(minutes=1)
    assert quizzes.attempt_deadline(NOW, 3600, closes) == closes
    assert not is_over(NOW, NOW + timedelta(seconds=5))
    assert is_over(NOW, NOW + timedelta(seconds=5.001))


def test_what_shows_after_close_never_shows_without_a_close():
    assert is_visible("immediately", None, NOW)
    assert not is_visible("after_close", None, NOW)
    assert not is_visible("after_close", NOW + timedelta(seconds=1), NOW)
    assert not is_visible("after_close", NOW, NOW + GRACE), "somebody may still be writing"
    assert is_visible("after_close", NOW, NOW + GRACE + timedelta(milliseconds=1))
    assert not is_visible("never", NOW, NOW)


def test_progress_is_the_completed_share_of_the_revision():
    one, two, three, gone = (uuid4() for _ in range(4))
    assert seats.progress([one, gone], [one, two, three]).percentage == Decimal("33.33")
    assert seats.progress([one, two], [one, two, three]).percentage == Decimal("66.67")
    assert seats.progress([one, two, three, gone], [one, two, three]).percentage == 100
    assert seats.progress([one], []).percentage == 0
    assert seats.next_lesson([one, three], [one, two, three]) == two
    assert seats.next_lesson([one], [one]) is None


@given(st.integers(1, 30_000), st.data())
def test_progress_is_a_hundred_only_when_nothing_is_left(total, data):
    share = seats.Progress(data.draw(st.integers(0, total)), total)
    assert 0 <= share.percentage <= 100
    assert (share.percentage == 100) == (share.done == share.total)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 90)), max_size=30))
def test_study_time_never_passes_wall_clock(beats):
    start = until = now = NOW
    seated = start + timedelta(seconds=30)
    total = 0
    for pause, spent in beats:
        now += timedelta(seconds=pause)
        seconds, until = seats.count_study_time(until, seated, now, spent)
        assert 0 <= seconds <= min(spent, 60)
        assert until <= max(now, seated)
        total += seconds
    assert total <= max(0, (now - seated).total_seconds())


def test_a_steady_heartbeat_loses_no_second():
    until, total = NOW, 0
    for beat in range(1, 11):
        seconds, until = seats.count_study_time(until, NOW, NOW + timedelta(seconds=10.5 * beat), 11)
        total += seconds
    assert total == 105


def days(*numbers: int) -> list[date]:
    return [date(2026, 3, 1) + timedelta(days=n) for n in numbers]


@pytest.mark.parametrize(
    ("active", "today", "current", "longest", "freezes"),
    [
        ((), 0, 0, 0, 0),
        ((0,), 0, 1, 1, 0),
        ((0, 1), 2, 2, 2, 0),
        ((0, 1), 3, 0, 2, 0),
        ((0, 1, 3), 3, 1, 2, 0),
        (tuple(range(7)), 7, 7, 7, 1),
        ((*range(7), 8), 8, 8, 8, 0),
        (tuple(range(7)), 8, 7, 7, 0),
        ((*range(7), 9), 9, 1, 7, 0),
        (tuple(range(28)), 27, 28, 28, 2),
    ],
)
def test_a_streak_counts_active_days_and_freezes_bridge_missed_ones(active, today, current, longest, freezes):
    found = streak(days(*active), days(today)[0])
    assert (found.current, found.longest, found.freezes) == (current, longest, freezes)


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(0, 45), st.randoms())
def test_a_streak_keeps_its_promises_on_any_calendar(active, today, chance):
    now = days(today)[0]
    found = streak(days(*active), now)
    shuffled = [*active, *active]
    chance.shuffle(shuffled)
    assert streak(days(*shuffled), now) == found  # neither order nor repetition counts
    assert 0 <= found.current <= found.longest <= len(set(active))
    assert 0 <= found.freezes <= min(2, found.current // 7)
    assert found.active_today == (today in active)
    more = streak(days(*active, today), now)
    assert more.current == found.current + (not found.active_today)
    gap = streak(days(*(day for day in active if day <= today)), days(today + 4)[0])
    assert (gap.current, gap.freezes) == (0, 0)  # more days missed than freezes can be earned
    assert gap.longest == found.longest


def test_certificate_numbers_are_random_and_unambiguous():
    numbers = {new_number(NOW) for _ in range(200)}
    assert len(numbers) == 200
    assert all(
        is_number(n) and n.startswith("CERT-2026-") and not set(n[10:]) & set("01ILO") for n in numbers
    )


def test_a_second_begun_is_late():
    assert work.late_seconds(NOW, None) == work.late_seconds(NOW, NOW) == 0
    assert work.late_seconds(NOW + timedelta(seconds=61), NOW) == 61
    assert work.late_seconds(NOW + timedelta(seconds=60, microseconds=1), NOW) == 61
    assert work.may_submit(1, None)
    assert not work.may_submit(1, 1)
