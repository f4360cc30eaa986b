"""Assignments: work handed in, kept in versions, graded, posted or hidden."""

import asyncio
import json
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.learning.tests.conftest import School, done, refused


async def test_work_is_handed_in_kept_in_versions_and_graded(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course, due_at="2026-03-02T09:30:00Z", max_submissions=2)
    url = f"/api/assignments/{assignment['uuid']}/submissions/"
    first = done(await student.client.post(url, json={"text": "A triangle."}), 201)
    assert (first["version"], first["late_seconds"], first["status"], first["score"]) == (
        1,
        0,
        "submitted",
        None,
    )
    school.clock.advance(hours=1)
    second = done(await student.client.post(url, json={"text": "A square."}), 201)
    assert (second["uuid"], second["version"], second["late_seconds"]) == (first["uuid"], 2, 1800)
    assert [version["text"] for version in second["versions"]] == ["A triangle.", "A square."]
    refused(await student.client.post(url, json={"text": "More."}), 409, "no_submissions_left")
    [row] = done(await school.teacher.client.get(url))["results"]
    assert (row["student_name"], row["text"]) == ("Ada Lovelace", "A square.")
    grade = f"/api/submissions/{row['uuid']}/grade/"
    graded = done(await school.teacher.client.patch(grade, json={"score": 17.5, "feedback": "Well drawn."}))
    assert (graded["status"], graded["score"], graded["points"]) == ("graded", 17.5, 20)
    seen = done(await student.client.get(f"/api/submissions/{row['uuid']}/"))
    assert (seen["score"], seen["feedback"]) == (17.5, "Well drawn.")
    excused = done(await school.teacher.client.patch(grade, json={"excused": True}))
    assert (excused["status"], excused["score"]) == ("excused", None)
    facts = [(kind, seq) for kind, key, seq in await school.published() if key == row["uuid"]]
    assert facts == [
        ("learning.assignment_submitted.v1", 1),
        ("learning.assignment_submitted.v1", 2),
        ("learning.submission_graded.v1", 3),
        ("learning.submission_graded.v1", 4),
    ]


async def test_parallel_submissions_never_pass_the_most_allowed(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course, max_submissions=2)
    url = f"/api/assignments/{assignment['uuid']}/submissions/"
    answers = await asyncio.gather(
        *(student.client.post(url, json={"text": f"Version {n}"}) for n in range(5))
    )
    assert sorted(a.status_code for a in answers) == [201, 201, 409, 409, 409]
    [row] = done(await student.client.get(url))["results"]
    assert [version["version"] for version in row["versions"]] == [1, 2]


async def test_an_assignment_lesson_completes_by_submitting(school: School) -> None:
    course = await school.course()
    lesson, other = school.lessons(course)
    student = await school.enrolled(course)
    assignment = await school.assignment(course, lesson=str(lesson))
    refused(
        await student.client.post(f"/api/courses/{course}/lessons/{lesson}/complete/"),
        409,
        "lesson_not_finished",
    )
    await school.complete(student, course, other)
    done(
        await student.client.post(f"/api/assignments/{assignment['uuid']}/submissions/", json={"text": "x"}),
        201,
    )
    [row] = done(await student.client.get("/api/enrollments/my-courses/"))
    assert (row["status"], row["progress"]) == ("completed", 100)
    assert await school.events("course_completed", "certificate_requested") == [
        "course_completed",
        "certificate_requested",
    ]


async def test_hidden_grades_stay_hidden_until_they_are_posted(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course, posted=False)
    url = f"/api/assignments/{assignment['uuid']}/"
    work = done(await student.client.post(f"{url}submissions/", json={"text": "x"}), 201)
    grade = f"/api/submissions/{work['uuid']}/grade/"
    shown = done(await school.teacher.client.patch(grade, json={"score": 5, "feedback": "canary"}))
    assert shown["score"] == 5
    hidden = await student.client.get(f"/api/submissions/{work['uuid']}/")
    assert (hidden.json()["score"], hidden.json()["status"]) == (None, "submitted")
    assert "canary" not in hidden.text
    done(await school.teacher.client.patch(url, json={"posted": True}))
    assert done(await student.client.get(f"/api/submissions/{work['uuid']}/"))["feedback"] == "canary"
    done(await school.teacher.client.patch(url, json={"posted": False}))
    done(await school.teacher.client.patch(url, json={"posted": False, "title": "Draw two"}))
    async with school.harness.db.sessions() as session:
        rows = await session.scalars(
            text("SELECT payload FROM outbox WHERE type = 'learning.submission_graded.v1' ORDER BY seq")
        )
        facts = [json.loads(bytes(payload)) for payload in rows]
    assert [(fact["posted"], fact["score"]) for fact in facts] == [(False, 5), (True, 5), (False, 5)]
    [own] = done(await student.client.get(f"{url}submissions/"))["results"]
    assert (own["status"], own["score"]) == ("submitted", None)


async def test_who_may_see_submit_and_grade(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    classmate = await school.enrolled(course, "Eve Else")
    stranger = await school.person("Sam Stranger")
    other = await school.person("Other Teacher", "teacher")
    assignment = await school.assignment(course)
    url = f"/api/assignments/{assignment['uuid']}/"
    work = done(await student.client.post(f"{url}submissions/", json={"text": "x"}), 201)
    for person in (stranger, other):
        refused(await person.client.get(url), 404, "not_found")
        refused(await person.client.post(f"{url}submissions/", json={"text": "x"}), 404, "not_found")
    refused(await other.client.patch(url, json={"title": "x"}), 404, "not_found")
    body = {"course": str(course), "title": "x"}
    refused(await other.client.post("/api/assignments/", json=body), 404, "not_found")
    refused(await student.client.post("/api/assignments/", json=body), 403, "forbidden")
    refused(await student.client.patch(url, json={"title": "x"}), 403, "forbidden")
    refused(await classmate.client.get(f"/api/submissions/{work['uuid']}/"), 404, "not_found")
    assert done(await classmate.client.get(f"{url}submissions/"))["count"] == 0
    grade = f"/api/submissions/{work['uuid']}/grade/"
    refused(await other.client.patch(grade, json={"score": 1}), 404, "not_found")
    refused(await student.client.patch(grade, json={"score": 20}), 403, "forbidden")
    refused(await school.teacher.client.post(f"{url}submissions/", json={"text": "x"}), 403, "not_enrolled")
    done(await (await school.person("Mia Manager", "manager")).client.patch(grade, json={"score": 1}))
    assert done(await student.client.get(f"/api/assignments/?course={course}"))["count"] == 1
    assert done(await stranger.client.get("/api/assignments/"))["count"] == 0
    refused(await school.teacher.client.get(f"{url}submissions/?status=lost"), 400, "invalid_filter")


@pytest.mark.parametrize(
    "body", [{}, {"score": 21}, {"score": -1}, {"score": "x"}, {"score": 1, "excused": True}, {"grade": 5}]
)
async def test_a_bad_grade_is_refused_and_not_written(school: School, body) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course)
    url = f"/api/assignments/{assignment['uuid']}/submissions/"
    work = done(await student.client.post(url, json={"text": "x"}), 201)
    before = await school.published()
    grade = f"/api/submissions/{work['uuid']}/grade/"
    refused(await school.teacher.client.patch(grade, json=body), 422, "invalid_input")
    assert await school.published() == before


async def test_a_closed_assignment_takes_no_work_and_a_deleted_one_is_gone(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course, closes_at="2026-03-02T10:00:00Z")
    url = f"/api/assignments/{assignment['uuid']}/"
    refused(await student.client.post(f"{url}submissions/", json={"text": ""}), 422, "invalid_input")
    school.clock.advance(hours=2)
    refused(await student.client.post(f"{url}submissions/", json={"text": "x"}), 409, "assignment_closed")
    tag = (await school.teacher.client.get(url)).headers["etag"]
    done(await school.teacher.client.patch(url, json={"title": "Draw two"}, headers={"If-Match": tag}))
    refused(
        await school.teacher.client.patch(url, json={"title": "x"}, headers={"If-Match": tag}),
        412,
        "precondition_failed",
    )
    done(await school.teacher.client.delete(url))
    refused(await school.teacher.client.get(url), 404, "not_found")
    refused(await student.client.get(f"/api/assignments/{uuid4()}/"), 404, "not_found")
    assert await school.events("assignment_created", "assignment_changed", "assignment_deleted") == [
        "assignment_created",
        "assignment_changed",
        "assignment_deleted",
    ]


async def test_who_handed_in_nothing_is_excused_or_graded(school: School) -> None:
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Else")
    stranger = await school.person("Sam Stranger")
    rival = await school.person("Rita Rival", "teacher")
    assignment = await school.assignment(course)
    url = f"/api/assignments/{assignment['uuid']}/"
    before = await school.published()
    teacher = school.teacher.client
    for person, user, status in (
        (ada, ada, 403), (rival, ada, 404), (school.teacher, stranger, 404),
    ):  # fmt: skip
        answer = await person.client.put(f"{url}grades/{user.uuid}/", json={"excused": True})
        assert answer.status_code == status
    for body in ({}, {"score": 21}, {"feedback": "Where is it?"}):
        refused(await teacher.put(f"{url}grades/{ada.uuid}/", json=body), 422, "invalid_input")
    assert await school.published() == before
    assert done(await teacher.get(f"{url}submissions/"))["count"] == 0
    excused = done(await teacher.put(f"{url}grades/{ada.uuid}/", json={"excused": True}))
    assert (excused["status"], excused["version"], excused["versions"]) == ("excused", 0, [])
    graded = done(await teacher.put(f"{url}grades/{eve.uuid}/", json={"score": 12, "feedback": "In class."}))
    assert (graded["status"], graded["score"], graded["submitted_at"]) == ("graded", 12, None)
    [own] = done(await eve.client.get(f"{url}submissions/"))["results"]
    assert (own["uuid"], own["feedback"]) == (graded["uuid"], "In class.")
    work = done(await ada.client.post(f"{url}submissions/", json={"text": "After all."}), 201)
    assert (work["uuid"], work["version"]) == (excused["uuid"], 1)
    again = done(await teacher.put(f"{url}grades/{ada.uuid}/", json={"score": 15}))
    assert (again["uuid"], again["score"], again["version"]) == (work["uuid"], 15, 1)


async def test_a_grade_without_work_is_given_once_by_many(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    assignment = await school.assignment(course)
    url = f"/api/assignments/{assignment['uuid']}/"
    answers = await asyncio.gather(
        *(school.teacher.client.put(f"{url}grades/{ada.uuid}/", json={"score": n}) for n in range(4)),
        ada.client.post(f"{url}submissions/", json={"text": "x"}),
    )
    assert [answer.status_code for answer in answers] == [200] * 4 + [201]
    assert done(await school.teacher.client.get(f"{url}submissions/"))["count"] == 1


async def test_a_hidden_grade_without_work_does_not_show_at_all(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    assignment = await school.assignment(course, posted=False)
    url = f"/api/assignments/{assignment['uuid']}/"
    given = done(await school.teacher.client.put(f"{url}grades/{ada.uuid}/", json={"score": 3}))
    own = f"/api/submissions/{given['uuid']}/"
    refused(await ada.client.get(own), 404, "not_found")
    assert done(await ada.client.get(f"{url}submissions/"))["results"] == []
    mine = done(await ada.client.get(f"/api/courses/{course}/grades/me/"))
    assert mine["cells"][assignment["uuid"]] == {"score": None, "status": "open"}
    done(await school.teacher.client.patch(url, json={"posted": True}))
    assert done(await ada.client.get(own))["score"] == 3
    assert done(await ada.client.get(f"/api/courses/{course}/grades/me/"))["current"] == 15
