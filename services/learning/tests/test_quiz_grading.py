"""Grading by hand, regrading, statistics."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from services.learning.tests.conftest import CHOICE, TRUTH, School, done, refused
from services.learning.tests.quizzing import ESSAY, SINGLE, grade, start, submit, take

WRITTEN = {"A tree has a cycle.": False, "Why is a tree bipartite?": "By depth."}


async def entries(school: School, target: str) -> list[tuple[Any, ...]]:
    async with school.harness.db.session() as session:
        rows = await session.execute(
            text("SELECT action, actor, reason, details FROM audit_entries WHERE target = :t ORDER BY id"),
            {"t": target},
        )
        return [tuple(row) for row in rows]


async def test_an_essay_waits_in_the_queue_until_it_is_graded(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, ESSAY, lesson=str(lesson), pass_mark=60)
    attempt = await take(student, quiz, WRITTEN)
    assert (attempt["status"], attempt["score"], attempt["percentage"]) == ("submitted", None, None)
    queue = f"/api/quizzes/{quiz['uuid']}/attempts/?status=submitted"
    [waiting] = done(await school.teacher.client.get(queue))["results"]
    assert waiting["uuid"] == attempt["uuid"]
    body = done(await grade(school.teacher, attempt, attempt["questions"][1], 3.5, comment="Well argued"))
    assert (body["status"], body["score"], body["percentage"], body["passed"]) == ("graded", 4.5, 75, True)
    assert done(await school.teacher.client.get(queue))["count"] == 0
    seen = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    assert (seen["score"], seen["questions"][1]["comment"]) == (4.5, "Well argued")
    [row] = done(await student.client.get("/api/enrollments/my-courses/"))
    assert row["progress"] == 50
    facts = [(kind, seq) for kind, key, seq in await school.published() if key == attempt["uuid"]]
    assert facts[1:] == [
        ("learning.quiz_submitted.v1", 2),
        ("learning.quiz_answer_graded.v1", 3),
        ("learning.quiz_graded.v1", 4),
    ]
    assert await entries(school, attempt["uuid"]) == []


async def test_two_essays_are_graded_one_after_the_other(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, ESSAY, {**ESSAY, "text": "And why is a cycle not?"})
    attempt = await take(student, quiz, {ESSAY["text"]: "x", "And why is a cycle not?": "y"})
    first, second = attempt["questions"]
    assert done(await grade(school.teacher, attempt, first, 5))["status"] == "submitted"
    seen = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    assert (seen["score"], seen["questions"][0]["score"]) == (None, 5)
    assert done(await grade(school.teacher, attempt, second, 0))["score"] == 5


async def test_points_of_the_rules_can_be_overridden_and_that_is_written_down(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, CHOICE, TRUTH)
    attempt = await take(student, quiz, {CHOICE["text"]: ["a triangle"]})
    assert attempt["score"] == 1.5
    body = done(await grade(school.teacher, attempt, attempt["questions"][0], 3))
    assert (body["score"], body["passed"]) == (3, True)
    [(action, actor, _, details)] = await entries(school, attempt["uuid"])
    assert (action, actor) == ("attempt.overridden", school.teacher.uuid)
    assert (details["before"], details["after"]) == (1.5, 3)


async def test_what_cannot_be_graded_is_refused(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    other = await school.person("Other Teacher", "teacher")
    quiz = await school.quiz(course, TRUTH)
    attempt = await start(student, quiz)
    [question] = attempt["questions"]
    refused(await grade(school.teacher, attempt, question, 1), 409, "attempt_not_submitted")
    await submit(student, attempt)
    refused(await grade(school.teacher, attempt, question, 1.5), 422, "invalid_input")
    refused(await grade(school.teacher, attempt, question, -1), 422, "invalid_input")
    refused(await grade(school.teacher, attempt, {"uuid": quiz["uuid"]}, 1), 422, "invalid_input")
    refused(await grade(student, attempt, question, 1), 403, "forbidden")
    refused(await grade(other, attempt, question, 1), 404, "not_found")
    survey = await school.quiz(course, ESSAY, kind="survey")
    filled = await take(student, survey, {ESSAY["text"]: "x"})
    refused(await grade(school.teacher, filled, filled["questions"][0], 1), 422, "invalid_input")


async def test_of_two_teachers_grading_at_once_one_is_told(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, ESSAY)
    attempt = await take(student, quiz, {ESSAY["text"]: "x"})
    seen = await school.teacher.client.get(f"/api/attempts/{attempt['uuid']}/")
    headers = {"If-Match": seen.headers["etag"]}
    answers = await asyncio.gather(
        *(grade(school.teacher, attempt, attempt["questions"][0], n, headers=headers) for n in (1, 2, 3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    [won] = [answer.json()["score"] for answer in answers if answer.status_code == 200]
    assert done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))["score"] == won


async def test_of_two_teachers_editing_a_question_one_is_told(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH)
    [question] = quiz["questions"]
    url = f"/api/quizzes/{quiz['uuid']}/questions/{question['uuid']}/"
    headers = {"If-Match": (await school.teacher.client.get(url)).headers["etag"]}
    answers = await asyncio.gather(
        *(school.teacher.client.patch(url, json={"points": n}, headers=headers) for n in (2, 3, 4))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]


MODES = [("full_credit", [1, 1, 1]), ("old_or_new", [1, 1, 0]), ("new_only", [0, 1, 0])]


@pytest.mark.parametrize(("mode", "expected"), MODES)
async def test_a_regrade_changes_what_its_dry_run_said(
    school: School, mode: str, expected: list[int]
) -> None:
    course = await school.course()
    quiz = await school.quiz(course, SINGLE, TRUTH)
    picks = ("an edge", "a hole", None)
    attempts = []
    for number, pick in enumerate(picks):
        student = await school.enrolled(course, f"Student {number}")
        answers = {TRUTH["text"]: False} | ({SINGLE["text"]: pick} if pick else {})
        attempts.append((student, await take(student, quiz, answers)))
    assert [attempt["score"] for _, attempt in attempts] == [2, 1, 1]
    question = quiz["questions"][0]
    right = [{**option, "is_correct": option["text"] == "a hole"} for option in question["options"]]
    url = f"/api/quizzes/{quiz['uuid']}/"
    done(await school.teacher.client.patch(f"{url}questions/{question['uuid']}/", json={"options": right}))
    before = await school.published()
    body = {"question": question["uuid"], "mode": mode, "reason": "The key was wrong."}
    tried = done(await school.teacher.client.post(f"{url}regrade/", json={**body, "dry_run": True}))
    assert await school.published() == before
    assert await entries(school, quiz["uuid"]) == []
    changes = {change["attempt"]: change for change in tried["changes"]}
    scores = {attempt["uuid"]: 1 + points for (_, attempt), points in zip(attempts, expected, strict=True)}
    for person, attempt in attempts:
        assert done(await person.client.get(f"/api/attempts/{attempt['uuid']}/"))["score"] == attempt["score"]
        change = changes.get(attempt["uuid"])
        if scores[attempt["uuid"]] == attempt["score"]:
            assert change is None
        else:
            assert change == {
                "user": str(person.uuid),
                "attempt": attempt["uuid"],
                "before": attempt["score"],
                "after": scores[attempt["uuid"]],
            }
    assert done(await school.teacher.client.post(f"{url}regrade/", json=body)) == tried
    for person, attempt in attempts:
        shown = done(await person.client.get(f"/api/attempts/{attempt['uuid']}/"))
        assert shown["score"] == scores[attempt["uuid"]]
    regraded = (await school.published())[len(before) :]
    assert [kind for kind, _, _ in regraded] == ["learning.quiz_graded.v1"] * len(changes)
    assert {key for _, key, _ in regraded} == set(changes)
    [(action, actor, reason, details)] = await entries(school, quiz["uuid"])
    assert (action, actor, reason) == ("quiz.regraded", school.teacher.uuid, "The key was wrong.")
    assert details == {"question": question["uuid"], "mode": mode, "changed": len(changes)}
    again = done(await school.teacher.client.post(f"{url}regrade/", json=body))
    assert again == {"changes": []}


async def test_a_regrade_takes_no_completion_away(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, lesson=str(lesson))
    attempt = await take(student, quiz, {TRUTH["text"]: False})
    assert attempt["passed"] is True
    url = f"/api/quizzes/{quiz['uuid']}/"
    question = quiz["questions"][0]["uuid"]
    done(await school.teacher.client.patch(f"{url}questions/{question}/", json={"correct": True}))
    body = {"question": question, "mode": "new_only"}
    [change] = done(await school.teacher.client.post(f"{url}regrade/", json=body))["changes"]
    assert (change["before"], change["after"]) == (1, 0)
    assert done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))["passed"] is False
    [row] = done(await student.client.get("/api/enrollments/my-courses/"))
    assert row["progress"] == 50


async def test_a_regrade_reaches_attempts_under_way_and_spares_what_a_teacher_gave(school: School) -> None:
    course = await school.course()
    early, late = await school.enrolled(course, "Early Bird"), await school.enrolled(course, "Late Comer")
    quiz = await school.quiz(course, TRUTH)
    done_one = await take(early, quiz, {})
    done(await grade(school.teacher, done_one, done_one["questions"][0], 0.25))
    open_one = await start(late, quiz)
    url = f"/api/quizzes/{quiz['uuid']}/"
    question = quiz["questions"][0]["uuid"]
    done(await school.teacher.client.patch(f"{url}questions/{question}/", json={"correct": True}))
    body = {"question": question, "mode": "new_only"}
    assert done(await school.teacher.client.post(f"{url}regrade/", json=body)) == {"changes": []}
    path = f"/api/attempts/{open_one['uuid']}/answers/{question}/"
    done(await late.client.put(path, json={"answer": True}))
    assert (await submit(late, open_one))["score"] == 1
    assert done(await early.client.get(f"/api/attempts/{done_one['uuid']}/"))["score"] == 0.25


async def test_what_cannot_be_regraded_is_refused(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, SINGLE)
    await take(student, quiz, {})
    url = f"/api/quizzes/{quiz['uuid']}/"
    teacher = school.teacher.client
    first, second = (question["uuid"] for question in quiz["questions"])
    essay = {"kind": "essay"}
    done(await teacher.patch(f"{url}questions/{first}/", json=essay))
    body = {"question": first, "mode": "new_only"}
    refused(await teacher.post(f"{url}regrade/", json=body), 409, "question_kind_changed")
    done(await teacher.delete(f"{url}questions/{second}/"))
    gone = {"question": second, "mode": "old_or_new"}
    refused(await teacher.post(f"{url}regrade/", json=gone), 422, "invalid_input")
    unknown = {"question": quiz["uuid"], "mode": "full_credit"}
    refused(await teacher.post(f"{url}regrade/", json=unknown), 422, "invalid_input")
    refused(await student.client.post(f"{url}regrade/", json=body), 403, "forbidden")
    [change] = done(await teacher.post(f"{url}regrade/", json={**gone, "mode": "full_credit"}))["changes"]
    assert (change["before"], change["after"]) == (0, 1)


async def test_statistics_say_how_hard_a_question_is_and_what_was_answered(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, SINGLE, TRUTH, {**TRUTH, "text": "Again?"})
    for number, right in enumerate((True, True, True, False)):
        student = await school.enrolled(course, f"Student {number}")
        pick = "an edge" if right else "a hole"
        await take(student, quiz, {SINGLE["text"]: pick, TRUTH["text"]: not right, "Again?": False})
    outsider = await school.enrolled(course, "Still Writing")
    await start(outsider, quiz)
    url = f"/api/quizzes/{quiz['uuid']}/statistics/"
    found = done(await school.teacher.client.get(url))
    assert (found["attempts"], found["learners"], found["waiting"]) == (4, 4, 0)
    assert (found["average_percentage"], found["passed_percentage"]) == (83.33, 75)
    single, truth, easy = found["questions"]
    assert (single["difficulty"], single["discrimination"], single["answered"]) == (75, 1, 4)
    assert single["distribution"] == [
        {"answer": "an edge", "count": 3, "is_right": True},
        {"answer": "a hole", "count": 1, "is_right": False},
    ]
    assert truth["distribution"] == [
        {"answer": "false", "count": 3, "is_right": True},
        {"answer": "true", "count": 1, "is_right": False},
    ]
    assert (easy["difficulty"], easy["discrimination"]) == (100, None)
    refused(await outsider.client.get(url), 403, "forbidden")
