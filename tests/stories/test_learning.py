"""Stories of learners: seats, progress, study, certificates, and what others hear of it."""

from datetime import timedelta
from io import BytesIO

from pypdf import PdfReader

from services.learning.tests.conftest import TRUTH
from tests.stories.town import Citizen, Town


async def test_who_waits_gets_the_freed_seat_and_is_told(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher, enrollment_limit=1)
    (ada,) = await town.enrolled(course)
    first, second = await town.citizen("First In Line"), await town.citizen("Second In Line")
    enroll = f"/api/courses/{course['uuid']}/enroll/"
    assert (await first.post(enroll, {}, 409))["code"] == "course_full"
    for place, who in enumerate((first, second), 1):
        waiting = await who.post(enroll, {"waitlist": True}, 201)
        assert (waiting["status"], waiting["waitlist_position"]) == ("waitlisted", place)
    await town.drain()
    shown = await teacher.get(f"/api/courses/{course['uuid']}/")
    assert shown["enrolled_count"] == 1, "who waits is counted as enrolled"
    forum = f"/api/core/forums/?course={course['uuid']}"
    assert (await first.get(forum))["count"] == 0
    await ada.post(f"/api/courses/{course['uuid']}/unenroll/")
    await town.drain()
    assert await first.told() == ["enrollment"]
    assert await second.told() == []
    assert ((await first.get(forum))["count"], (await ada.get(forum))["count"]) == (1, 0)
    await teacher.call("PATCH", f"/api/courses/{course['uuid']}/", {"enrollment_limit": 2})
    await town.drain()
    assert await second.told() == ["enrollment"]


async def test_who_comes_back_goes_on_where_they_left_and_is_told(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher, enrollment_limit=1)
    (ada,) = await town.enrolled(course)
    await town.complete(ada, course, course["lessons"][:1])
    await ada.post(f"/api/courses/{course['uuid']}/unenroll/")
    await town.drain()
    (eve,) = await town.enrolled(course, "Eve Else")
    await ada.post(f"/api/courses/{course['uuid']}/enroll/", {"waitlist": True}, 201)
    await eve.post(f"/api/courses/{course['uuid']}/unenroll/")
    await town.drain()
    assert await ada.told() == ["enrollment", "enrollment"]
    [row] = await ada.get("/api/enrollments/my-courses/")
    assert (row["status"], row["progress"], row["next_lesson"]["uuid"]) == (
        "in_progress", 50, course["lessons"][1],
    )  # fmt: skip
    summary = (await ada.get("/api/core/analytics/student/"))["summary"]
    assert (summary["total_courses"], summary["average_progress"]) == (1, 50)


async def test_study_time_never_passes_the_clock_and_reaches_the_dashboard(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher)
    (ada,) = await town.enrolled(course)
    path = f"/api/courses/{course['uuid']}/lessons/{course['lessons'][0]}/"
    for beat in range(10):
        body = {"position_seconds": beat * 30, "seconds_spent": 60}
        await ada.post(f"{path}progress/", body)
        town.clock.advance(seconds=30)
    await ada.post(f"{path}notes/", {"notes": "Edges join vertices."})
    await town.drain()
    minutes = 9 * 30  # what has passed since the first one
    assert (await ada.get("/api/learning/summary/"))["study_seconds"] == minutes
    assert (await ada.get(f"{path}progress/"))["position_seconds"] == 270
    assert (await ada.get(f"{path}notes/"))["notes"] == "Edges join vertices."
    breakdown = (await ada.get("/api/core/analytics/student/"))["study_time"]["daily_breakdown"]
    assert round(sum(day["minutes"] for day in breakdown)) in (0, minutes // 60, round(minutes / 60))


async def test_a_streak_is_counted_by_the_learners_own_day_and_survives_a_missed_one(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher, *(f"Lesson {n}" for n in range(12)))
    ada = await town.citizen("Ada Lovelace", time_zone="Pacific/Auckland")
    await ada.post(f"/api/courses/{course['uuid']}/enroll/", {}, 201)
    await town.drain()
    town.clock.now = town.clock().replace(hour=12)  # past midnight in Auckland
    for day in range(7):
        await town.complete(ada, course, [course["lessons"][day]])
        town.clock.advance(days=1)
    town.clock.advance(days=1)  # a day is missed: the freeze that seven days earned is used up
    await town.complete(ada, course, [course["lessons"][7]])
    streak = await ada.get("/api/learning/streak/")
    local = (town.clock() + timedelta(hours=13)).date().isoformat()
    assert streak == {
        "current_streak": 8, "longest_streak": 8, "local_date": local, "active_today": True, "freezes": 0,
    }  # fmt: skip


async def test_a_completed_course_brings_a_certificate_that_anybody_can_check(
    town: Town, teacher: Citizen
) -> None:
    course = await town.course(teacher)
    (ada,) = await town.enrolled(course)
    template = {"title": "Diploma", "text": "has mastered"}
    await teacher.call("PUT", f"/api/courses/{course['uuid']}/certificate-template/", template)
    await town.complete(ada, course, course["lessons"])
    assert (await ada.told())[0] == "certificate_ready"
    [row] = (await ada.get("/api/certificates/"))["results"]
    pdf = await ada.raw("GET", f"/api/certificates/{row['uuid']}/download/")
    text = PdfReader(BytesIO(pdf.content)).pages[0].extract_text()
    assert all(word in text for word in ("Ada Lovelace", "Diploma", row["certificate_number"]))
    anyone = await town.citizen("Some Body")
    check = f"/api/certificates/{row['certificate_number']}/verify/"
    assert (await anyone.get(check))["valid"] is True
    await ada.renamed("Ada King")
    again = await ada.post(f"/api/certificates/{row['uuid']}/reissue/", {}, 201)
    await town.drain()
    old = await anyone.get(check)
    assert (old["valid"], old["status"]) == (False, "superseded")
    assert old["replaced_by"]["certificate_number"] == again["certificate_number"]
    newer = await anyone.get(f"/api/certificates/{again['uuid']}/verify/")
    assert (newer["valid"], newer["student_name"]) == (True, "Ada King")
    await teacher.post(f"/api/certificates/{again['uuid']}/revoke/", {"reason": "A mistake."})
    page = await anyone.raw(
        "GET", f"/api/certificates/{again['uuid']}/verify/", headers={"Accept": "text/html"}
    )
    assert "revoked" in page.text


async def test_a_course_is_completed_by_rules_of_its_own(town: Town, teacher: Citizen) -> None:
    course = await town.course(teacher, "One", "Two", "Three")
    (ada,) = await town.enrolled(course)
    quiz = await town.quiz(teacher, course, TRUTH, pass_mark=100)
    rules = [
        {"kind": "required_lessons", "lessons": course["lessons"][:1]},
        {"kind": "quiz_passed", "quiz": quiz["uuid"]},
    ]
    await teacher.call("PUT", f"/api/courses/{course['uuid']}/completion-rules/", {"rules": rules})
    assert (await town.complete(ada, course, course["lessons"][:1]))["course_completed"] is False
    attempt = await ada.post(f"/api/quizzes/{quiz['uuid']}/attempts/", status=201)
    question = attempt["questions"][0]["uuid"]
    await ada.call("PUT", f"/api/attempts/{attempt['uuid']}/answers/{question}/", {"answer": False})
    await ada.post(f"/api/attempts/{attempt['uuid']}/submit/")
    await town.drain()
    [row] = await ada.get("/api/enrollments/my-courses/")
    assert (row["status"], row["progress"]) == ("completed", 33.33)
    assert {"certificate_ready", "quiz_result"} <= set(await ada.told())
    assert (await ada.get("/api/core/analytics/student/"))["summary"]["completed_courses"] == 1
    shown = await teacher.get(f"/api/courses/{course['uuid']}/analytics/")
    assert shown["summary"]["completion_rate"] == 100
