"""Dashboards hold exactly the numbers that follow from the events."""

from uuid import uuid4

from libs.common.events import support
from libs.common.testing.harness import Harness
from libs.common.testing.states import module_state
from services.analytics.tests.conftest import Story

STUDENT, TEACHER = "/api/core/analytics/student/", "/api/core/analytics/teacher/"
PLATFORM = "/api/core/analytics/platform/"


async def read(person, path: str) -> dict:
    answer = await person.client.get(path)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    for name, chart in body["charts"].items():
        assert set(chart) == {"type", "title", "data"}, name
        for dataset in chart["data"]["datasets"]:
            assert len(dataset["data"]) == len(chart["data"]["labels"]), name
    assert body["as_of"].endswith("Z")
    return body


async def test_a_learner_who_has_done_nothing_sees_zeros(analytics: Harness):
    body = await read(analytics.person(), STUDENT)
    assert set(body["summary"].values()) == {0}
    assert set(body["performance"].values()) == {0}
    assert len(body["study_time"]["daily_breakdown"]) == 7


async def test_a_learners_numbers_follow_from_the_events(analytics: Harness, story: Story):
    ada, teacher = analytics.person(), analytics.person("teacher")
    first, second = uuid4(), uuid4()
    story.user(ada)
    lessons = story.course(first, teacher.uuid)
    story.course(second, teacher.uuid, title="Geometry")
    enrollment = story.enrol(ada.uuid, first, days_ago=2)
    story.enrol(ada.uuid, second)
    story.lesson(enrollment, ada.uuid, first, lessons[:1], 4, days_ago=1)
    story.lesson(enrollment, ada.uuid, first, lessons[:2], 4)
    quiz = uuid4()
    story.quiz(ada.uuid, first, 60, quiz=quiz)
    story.quiz(ada.uuid, first, 80, quiz=quiz)
    story.quiz(ada.uuid, first, 100, visible=False)
    story.study(ada.uuid, first, 600)
    story.study(ada.uuid, first, 300, days_ago=3)
    story.study(ada.uuid, first, 6000, days_ago=10)
    story.discussion(ada.uuid, first)
    await story.tell()
    body = await read(ada, STUDENT)
    assert body["summary"] == {
        "total_courses": 2, "completed_courses": 0, "average_progress": 25.0, "learning_streak": 2,
        "total_quizzes": 2, "avg_quiz_score": 80.0, "study_minutes_7d": 15.0,
    }  # fmt: skip
    assert body["performance"]["participation"] == 10.0
    assert body["performance"]["consistency"] == round(100 * 4 / 14, 1)
    progress = {row["course_title"]: row for row in body["course_progress"]}
    assert (progress["Algebra"]["completed_lessons"], progress["Algebra"]["total_lessons"]) == (2, 4)
    assert progress["Algebra"]["progress"] == 50.0
    assert body["study_time"]["weekly_average"] == round(6900 / 60 / 4, 1)
    assert sorted(point["score"] for point in body["quiz_trend"]) == [60.0, 80.0]
    assert body["subject_performance"][0]["subject"] == "Mathematics"
    kinds = [line["kind"] for line in body["recent_activity"]]
    assert kinds.count("enrolled") == 2
    assert "discussion_started" in kinds


async def test_a_completed_course_counts_for_learner_teacher_course_and_platform(
    analytics: Harness, story: Story
):
    ada, eve, teacher = analytics.person(), analytics.person(), analytics.person("teacher")
    course, draft = uuid4(), uuid4()
    for person, role in ((ada, "student"), (eve, "student"), (teacher, "teacher")):
        story.user(person, role)
    lessons = story.course(course, teacher.uuid, lessons=2, average_rating=4.5, reviews_count=2)
    story.course(draft, teacher.uuid, status="draft", title="Draft", revision=None, published_at=None)
    done = story.enrol(ada.uuid, course)
    story.enrol(eve.uuid, course)
    story.lesson(done, ada.uuid, course, lessons[:1], 2)
    story.lesson(done, ada.uuid, course, lessons, 2)
    story.ticket(eve.uuid)
    story.ticket(eve.uuid, support.TicketResolved, status="resolved")
    await story.tell()
    assert (await read(ada, STUDENT))["summary"]["completed_courses"] == 1
    body = await read(teacher, TEACHER)
    assert body["summary"] == {
        "total_courses": 2, "published_courses": 1, "total_students": 2, "active_students_7d": 1,
        "avg_course_rating": 4.5,
    }  # fmt: skip
    row = next(r for r in body["course_performance"] if r["course_title"] == "Algebra")
    assert (row["students"], row["avg_progress"], row["completion_rate"]) == (2, 50.0, 50.0)
    assert row["rating"] == 4.5
    assert row["engagement_score"] == 0.6 * 50 + 0.4 * 50
    assert body["student_activity"]["progress_distribution"] == {
        "not_started": 1, "in_progress": 0, "completed": 1,
    }  # fmt: skip
    one = await read(teacher, f"/api/courses/{course}/analytics/")
    assert (one["summary"]["completion_rate"], one["summary"]["avg_course_rating"]) == (50.0, 4.5)
    assert [(step["completed"], step["drop_off"]) for step in one["funnel"]] == [(1, 50.0), (1, 0.0)]
    stats = (await read(analytics.person("manager"), PLATFORM))["platform_stats"]
    assert stats == {
        "total_users": 3, "active_users_7d": 2, "total_courses": 2, "published_courses": 1,
        "total_enrollments": 2, "completions": 1, "certificates": 0, "discussions": 0, "active_tickets": 1,
    }  # fmt: skip


async def test_questions_have_difficulty_and_discrimination(analytics: Harness, story: Story):
    teacher = analytics.person("teacher")
    course, quiz, easy, hard = uuid4(), uuid4(), uuid4(), uuid4()
    story.course(course, teacher.uuid)
    for percentage, shares in ((100, (100, 100)), (90, (100, 100)), (50, (100, 0)), (40, (100, 0))):
        story.quiz(uuid4(), course, percentage, quiz=quiz, shares=shares, question_ids=(easy, hard))
    await story.tell()
    rows = (await read(teacher, f"/api/courses/{course}/analytics/"))["questions"]
    found = {row["question"]: (row["difficulty"], row["discrimination"]) for row in rows}
    assert found == {str(easy): (100.0, 0.0), str(hard): (50.0, 100.0)}


async def test_a_video_shows_how_much_of_it_is_watched_and_what_is_watched_again(
    analytics: Harness, story: Story
):
    teacher, course, ada, eve = analytics.person("teacher"), uuid4(), uuid4(), uuid4()
    video, text_ = uuid4(), uuid4()
    modules = (module_state(video, kind="video"), module_state(text_))
    story.course(course, teacher.uuid, modules=modules)
    for position in (60, 120, 200):
        story.study(ada, course, 60, lesson=video, position=position)
    story.study(ada, course, 20, lesson=video, position=20)
    story.study(eve, course, 50, lesson=video, position=50)
    story.study(eve, course, 60, lesson=text_, position=60)
    story.study(eve, course, 60, lesson=video)
    await story.tell()
    (media,) = (await read(teacher, f"/api/courses/{course}/analytics/"))["media"]
    assert media["lesson_uuid"] == str(video)
    assert media["watched_median"] == round(100 * (18 + 5) / 2 / 20, 1)
    assert media["replays"] == [3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1]


async def test_a_day_is_a_day_at_the_learners_place(analytics: Harness, story: Story):
    ada = analytics.person()
    story.user(ada, zone="Pacific/Kiritimati")
    await story.tell()
    ahead = (await read(ada, STUDENT))["study_time"]["daily_breakdown"][-1]["date"]
    story.user(ada, zone="Pacific/Niue")
    await story.tell()
    behind = (await read(ada, STUDENT))["study_time"]["daily_breakdown"][-1]["date"]
    assert ahead > behind


async def test_who_sees_what(analytics: Harness, story: Story):
    teacher, other, student = analytics.person("teacher"), analytics.person("teacher"), analytics.person()
    course = uuid4()
    story.course(course, teacher.uuid)
    await story.tell()
    path = f"/api/courses/{course}/analytics/"
    story.enrol(student.uuid, course)
    await story.tell()
    assert (await other.client.get(path)).status_code == 404
    assert (await other.client.get(f"/api/courses/{uuid4()}/analytics/")).status_code == 404
    assert (await student.client.get(path)).status_code == 403
    assert (await analytics.person("manager").client.get(path)).status_code == 200
    assert (await student.client.get(TEACHER)).status_code == 403
    assert (await teacher.client.get(PLATFORM)).status_code == 403
    assert (await analytics.client().get(STUDENT)).status_code == 401
    summary = "/api/core/dashboard/summary/"
    for person in (student, teacher):
        assert (await person.client.get(summary)).status_code == 403
    seen = {role: await read(analytics.person(role), summary) for role in ("moderator", "manager", "admin")}
    assert seen["manager"]["health"] is not None
    assert seen["manager"]["recent_activity"]["activities"]
    assert seen["admin"]["platform_stats"] == seen["moderator"]["platform_stats"]
    assert seen["moderator"]["support_load"] == seen["manager"]["support_load"]
    assert (seen["moderator"]["health"], seen["moderator"]["recent_activity"]["activities"]) == (None, [])
    for person, member in ((student, "performance"), (teacher, "course_performance"),
                           (analytics.person("manager"), "platform_stats")):  # fmt: skip
        assert member in (await read(person, "/api/core/dashboard/"))


async def test_activities_are_ones_own_and_follow_a_cursor(analytics: Harness, story: Story):
    ada, eve, teacher = analytics.person(), analytics.person(), uuid4()
    for _ in range(5):
        course = uuid4()
        story.course(course, teacher)
        story.enrol(ada.uuid, course)
    story.enrol(eve.uuid, course)
    await story.tell()
    seen, url = [], "/api/core/activities/?page_size=2"
    while url:
        page = (await ada.client.get(url)).json()
        assert page["count"] == 5
        seen += [line["uuid"] for line in page["results"]]
        url = page["next"]
    assert len(set(seen)) == 5
    manager = analytics.person("manager")
    assert (await manager.client.get("/api/core/activities/")).json()["count"] == 6
    assert (await manager.client.get(f"/api/core/activities/?user={eve.uuid}")).json()["count"] == 1
    assert (await ada.client.get(f"/api/core/activities/?user={eve.uuid}")).json()["count"] == 5
    assert (await manager.client.get("/api/core/activities/?user=eve")).status_code == 400
