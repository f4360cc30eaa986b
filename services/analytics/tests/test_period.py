"""Periods: days at the caller's place, and the ones before."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from libs.common.runtime.errors import InvalidQuery
from libs.common.testing.harness import Harness
from services.analytics.period import MOST_DAYS, Asked, compared, settle
from services.analytics.tests.conftest import Story
from services.analytics.tests.test_dashboards import PLATFORM, STUDENT, TEACHER, read

NOON = datetime(2026, 3, 30, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def test_thirty_days_until_today_are_the_default():
    period = settle(Asked(None, None, False), NOON, UTC)
    assert (period.first, period.last) == (date(2026, 3, 1), date(2026, 3, 30))
    assert period.previous.last == date(2026, 2, 28)
    assert len(period.days) == len(period.previous.days) == 30
    assert period.is_now
    assert not period.previous.is_now


def test_days_begin_and_end_at_the_callers_place_also_when_clocks_change():
    day = settle(Asked(date(2026, 3, 29), date(2026, 3, 29), False), NOON, BERLIN)
    assert day.start == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert day.end - day.start == timedelta(hours=23)


def test_one_end_is_enough():
    assert settle(Asked(date(2026, 3, 20), None, False), NOON, UTC).last == date(2026, 3, 30)
    assert settle(Asked(None, date(2026, 2, 1), False), NOON, UTC).first == date(2026, 1, 3)
    assert settle(Asked(date(2026, 5, 1), None, False), NOON, UTC).last == date(2026, 5, 1)


def test_a_period_has_at_most_four_hundred_days():
    last = date(2026, 3, 30)
    first = last - timedelta(days=MOST_DAYS - 1)
    assert len(settle(Asked(first, last, False), NOON, UTC).days) == MOST_DAYS
    with pytest.raises(InvalidQuery):
        settle(Asked(first - timedelta(days=1), last, False), NOON, UTC)


def test_numbers_are_compared_where_both_are_known():
    assert compared({"a": 5, "b": 2.5, "c": 1}, {"a": 3, "b": None}) == {
        "a": {"value": 5, "previous": 3, "change": 2},
        "b": {"value": 2.5, "previous": None, "change": None},
        "c": {"value": 1, "previous": None, "change": None},
    }


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("to=20260301", "to"),
        ("to=0001-01-01", "to"),
        ("from=9999-12-31", "from"),
        ("from=2026-03-02&to=2026-03-01", "from"),
        ("from=2024-01-01&to=2026-01-01", "from"),
        ("compare=next", "compare"),
    ],
)
async def test_bad_periods_are_named(analytics: Harness, parameters: str, field: str):
    for path in (STUDENT, "/api/core/dashboard/"):
        answer = await analytics.person().client.get(f"{path}?{parameters}")
        assert answer.status_code == 400, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_every_dashboard_compares_the_numbers_of_its_summary(analytics: Harness, story: Story):
    teacher, ada, manager = analytics.person("teacher"), analytics.person(), analytics.person("manager")
    course = uuid4()
    story.user(ada, days_ago=40)
    story.user(manager, "manager", days_ago=3)
    lessons = story.course(
        course, teacher.uuid, lessons=2, created_at=story.now - timedelta(days=50),
        published_at=story.now - timedelta(days=5),
    )  # fmt: skip
    enrollment = story.enrol(ada.uuid, course, days_ago=35)
    story.study(ada.uuid, course, 600, days_ago=36)
    story.study(ada.uuid, course, 300)
    story.lesson(enrollment, ada.uuid, course, lessons[:1], 2, days_ago=35)
    story.progress(enrollment, ada.uuid, course, lessons[:1], 50, days_ago=35)
    await story.tell()
    mine = (await read(ada, f"{STUDENT}?compare=previous"))["comparison"]
    assert mine["total_courses"] == {"value": 1, "previous": 1, "change": 0}
    assert mine["average_progress"] == {"value": 50, "previous": 50, "change": 0}
    assert mine["study_minutes_7d"] == {"value": 5, "previous": 10, "change": -5}
    taught = (await read(teacher, f"{TEACHER}?compare=previous"))["comparison"]
    assert taught["published_courses"] == {"value": 1, "previous": 0, "change": 1}
    assert taught["total_students"] == {"value": 1, "previous": 1, "change": 0}
    assert taught["avg_course_rating"]["previous"] is None
    one = (await read(teacher, f"/api/courses/{course}/analytics/?compare=previous"))["comparison"]
    assert one["active_students_7d"] == {"value": 1, "previous": 1, "change": 0}
    whole = (await read(manager, f"{PLATFORM}?compare=previous"))["comparison"]
    assert whole["total_users"] == {"value": 2, "previous": 1, "change": 1}
    assert set(whole) == set((await read(manager, PLATFORM))["platform_stats"])
    assert (await read(manager, PLATFORM))["comparison"] is None


async def test_a_chosen_period_is_answered_day_by_day(analytics: Harness, story: Story):
    ada, course = analytics.person(), uuid4()
    story.user(ada)
    story.course(course, uuid4())
    story.study(ada.uuid, course, 600, days_ago=40)
    await story.tell()
    day = story.now.date() - timedelta(days=40)
    body = await read(ada, f"{STUDENT}?from={day - timedelta(days=1)}&to={day}")
    assert body["period"] == {"from": str(day - timedelta(days=1)), "to": str(day)}
    assert [d["minutes"] for d in body["study_time"]["daily_breakdown"]] == [0, 10]
    assert body["study_time"]["total_minutes"] == 10


async def test_a_course_pages_its_learners_and_says_who_may_fall_behind_and_why(
    analytics: Harness, story: Story
):
    teacher, course = analytics.person("teacher"), uuid4()
    story.course(course, teacher.uuid)
    fresh, silent, weak, away = (uuid4() for _ in range(4))
    for student, ago in ((fresh, 1), (silent, 20), (weak, 20), (away, 20)):
        story.enrol(student, course, days_ago=ago)
    story.quiz(weak, course, 30)
    story.study(away, course, 60, days_ago=15)
    await story.tell()
    path = f"/api/courses/{course}/analytics/"
    body = await read(teacher, f"{path}?page_size=3")
    reasons = {row["student"]["uuid"]: row["reasons"] for row in body["at_risk"]}
    assert reasons == {str(silent): ["never_started"], str(weak): ["low_score"], str(away): ["idle"]}
    assert (body["students"]["count"], len(body["students"]["results"])) == (4, 3)
    assert body["students"]["next"].endswith("page_size=3&page=2")
    rest = await read(teacher, f"{path}?page_size=3&page=2")
    assert len(rest["students"]["results"]) == 1
    assert sum(cohort["enrolled"] for cohort in body["cohorts"]) == 4
