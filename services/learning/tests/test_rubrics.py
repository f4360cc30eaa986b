"""Rubrics, and the queue of work that waits for a grade."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from libs.common.testing.harness import Person
from services.learning.assignments.rules import score_by_rubric
from services.learning.tests.conftest import School, done, refused

RUBRIC: list[dict[str, Any]] = [
    {
        "title": "Vertices",
        "points": 6,
        "levels": [{"title": "All", "points": 6}, {"title": "Some", "points": 2.5, "description": "> half"}],
    },
    {"title": "Edges", "points": 4},
]


async def hand_in(who: Person, assignment: dict[str, Any], text: str = "My work.") -> str:
    path = f"/api/assignments/{assignment['uuid']}/submissions/"
    return str(done(await who.client.post(path, json={"text": text}), 201)["uuid"])


async def give(school: School, submission: str, **grade: Any) -> dict[str, Any]:
    return done(await school.teacher.client.patch(f"/api/submissions/{submission}/grade/", json=grade))


async def queue(school: School, **query: str) -> list[str]:
    found = done(await school.teacher.client.get("/api/submissions/queue/", params=query))
    assert found["count"] == len(found["results"])
    return [row["submission"] for row in found["results"]]


def test_a_rubric_is_scaled_to_the_points_of_the_assignment():
    most = {"a": Decimal(6), "b": Decimal(3)}
    assert score_by_rubric(most, {"a": Decimal(6), "b": Decimal(3)}, Decimal(100)) == 100
    assert score_by_rubric(most, {"a": Decimal(5), "b": Decimal(0)}, Decimal(10)) == Decimal("5.5556")


async def test_a_grade_by_rubric_gives_the_score_and_shows_when_posted(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    body = {"course": str(course), "title": "Draw", "rubric": RUBRIC, "posted": False}
    assignment = done(await school.teacher.client.post("/api/assignments/", json=body), 201)
    assert assignment["points"] == 10
    seen = done(await student.client.get(f"/api/assignments/{assignment['uuid']}/"))["rubric"]
    assert [(each["title"], each["points"], len(each["levels"])) for each in seen] == [
        ("Vertices", 6, 2), ("Edges", 4, 0),
    ]  # fmt: skip
    first, second = (each["uuid"] for each in seen)
    work = await hand_in(student, assignment)
    graded = await give(school, work, rubric_scores={first: 2.5, second: 4}, feedback="Canary-feedback")
    assert (graded["score"], graded["status"]) == (6.5, "graded")
    assert graded["rubric_scores"] == {first: 2.5, second: 4}
    hidden = done(await student.client.get(f"/api/submissions/{work}/"))
    assert (hidden["score"], hidden["rubric_scores"], hidden["feedback"]) == (None, None, None)
    done(await school.teacher.client.patch(f"/api/assignments/{assignment['uuid']}/", json={"posted": True}))
    assert (
        done(await student.client.get(f"/api/submissions/{work}/"))["rubric_scores"]
        == graded["rubric_scores"]
    )
    assert (await give(school, work, feedback="Other"))["rubric_scores"] == graded["rubric_scores"]
    assert (await give(school, work, score=3))["rubric_scores"] is None
    assert await school.events("submission_graded") == ["submission_graded"] * 4  # one when it was posted


async def test_a_rubric_graded_wrongly_is_refused_and_not_written(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course, rubric=RUBRIC)
    plain = await school.assignment(course)
    work, other = await hand_in(student, assignment), await hand_in(student, plain)
    first, second = (each["uuid"] for each in assignment["rubric"])
    facts = await school.published()
    for body in (
        {first: 1},
        {first: 7, second: 1},
        {first: -1, second: 1},
        {first: 1, second: 1, other: 1},
        {"x": 1},
        {},
    ):
        answer = await school.teacher.client.patch(
            f"/api/submissions/{work}/grade/", json={"rubric_scores": body}
        )
        refused(answer, 422, "invalid_input")
    whole = {first: 1, second: 1}
    for submission, grade in (
        (work, {"rubric_scores": whole, "score": 2}),
        (work, {"rubric_scores": whole, "excused": True}),
        (other, {"rubric_scores": whole}),
    ):
        answer = await school.teacher.client.patch(f"/api/submissions/{submission}/grade/", json=grade)
        refused(answer, 422, "invalid_input")
    assert await school.published() == facts


@pytest.mark.parametrize(
    "rubric",
    [
        None,
        [{"title": "", "points": 1}],
        [{"title": "A", "points": 0}],
        [{"title": "A", "points": 1, "levels": [{"title": "x", "points": 2}]}],
        [{"title": "A", "points": 1, "uuid": "00000020-0000-4000-8000-000000000020"}] * 2,
        [{"title": "A", "points": 1, "weight": 3}],
        [{"title": "A", "points": "NaN"}],
    ],
)
async def test_a_bad_rubric_is_refused(school: School, rubric: Any):
    course = await school.course()
    body = {"course": str(course), "title": "Draw", "rubric": rubric}
    refused(await school.teacher.client.post("/api/assignments/", json=body), 422, "invalid_input")
    assert await school.events("assignment_created") == []


async def test_the_queue_has_what_waits_oldest_first(school: School):
    course, elsewhere = await school.course(), await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Else")
    due = (school.clock() + timedelta(hours=1)).isoformat()
    essay, plan = await school.assignment(course, due_at=due), await school.assignment(course)
    other = await school.assignment(elsewhere)
    bob = await school.enrolled(elsewhere, "Bob Brown")
    a = await hand_in(ada, essay)
    school.clock.advance(minutes=1)
    b = await hand_in(ada, plan)
    school.clock.advance(hours=2)
    c, d = await hand_in(eve, essay), await hand_in(bob, other)
    school.clock.advance(minutes=1)
    assert sorted((await queue(school))[2:]) == sorted([c, d])
    assert await queue(school, course=str(course)) == [a, b, c]
    assert await queue(school, assignment=essay["uuid"]) == [a, c]
    assert await queue(school, only="late") == [c]
    await give(school, a, score=3)
    await give(school, b, excused=True)
    assert await queue(school, course=str(course)) == [c]
    await hand_in(ada, essay, "Better.")
    assert await queue(school, course=str(course)) == [c, a]
    assert await queue(school, course=str(course), only="ungraded") == [c]
    assert await queue(school, only="resubmitted") == [a]
    found = done(await school.teacher.client.get("/api/submissions/queue/?only=resubmitted"))["results"][0]
    assert (found["student_name"], found["version"], found["score"]) == ("Ada Lovelace", 2, 3)
    assert (found["assignment_title"], found["late_seconds"] > 0) == ("Draw a graph", True)


async def test_the_queue_is_of_ones_own_courses(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    await hand_in(student, await school.assignment(course))
    rival = await school.person("Rita Rival", "teacher")
    path = "/api/submissions/queue/"
    assert done(await rival.client.get(path, params={"course": str(course)}))["count"] == 0
    manager = await school.person("Mia Manager", "manager")
    assert done(await manager.client.get(path))["count"] == 1
    refused(await student.client.get(path), 403, "forbidden")
    refused(await school.teacher.client.get(path, params={"only": "lost"}), 400, "invalid_filter")
    done(await student.client.post(f"/api/courses/{course}/unenroll/"))
    assert await queue(school) == []
