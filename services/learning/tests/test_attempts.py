"""Attempts: server-owned, saved as one goes, graded once, shown as the policy allows."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from libs.common.testing.harness import Person
from services.learning.tests.conftest import CHOICE, TRUTH, School, done, refused
from services.learning.tests.quizzing import save, start, submit

NEVER = {"score": "never", "correctness": "never", "answers": "never"}
SECRETS = ('is_correct":true', "canary-explanation", "canary-feedback")


def by_text(question: dict[str, Any], *texts: str) -> list[str]:
    return [option["uuid"] for option in question["options"] if option["text"] in texts]


async def answer_rightly(who: Person, attempt: dict[str, Any]) -> None:
    for question in attempt["questions"]:
        if question["kind"] == "multiple_choice":
            done(await save(who, attempt, question, by_text(question, "a triangle", "a path")))
        else:
            done(await save(who, attempt, question, False))


async def test_an_attempt_is_started_saved_resumed_and_graded_by_its_rules(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, time_limit_seconds=600)
    attempt = await start(student, quiz)
    assert (attempt["status"], attempt["number"], attempt["seconds_left"]) == ("in_progress", 1, 600)
    assert attempt["deadline"] == "2026-03-02T09:10:00Z"
    choice, truth = attempt["questions"]
    saved = done(await save(student, attempt, choice, by_text(choice, "a triangle")))
    assert saved["seconds_left"] == 600
    school.clock.advance(seconds=100)
    resumed = await start(student, quiz, 200)
    assert resumed["uuid"] == attempt["uuid"]
    assert resumed["answers"] == {choice["uuid"]: by_text(choice, "a triangle")}
    assert resumed["seconds_left"] == 500
    done(await save(student, attempt, truth, True))
    done(await save(student, attempt, truth, False))
    result = await submit(student, attempt)
    assert (result["status"], result["score"], result["max_score"]) == ("graded", 2.5, 4)
    assert (result["percentage"], result["passed"]) == (62.5, True)
    assert [q["score"] for q in result["questions"]] == [1.5, 1]
    assert [q["is_correct"] for q in result["questions"]] == [False, True]
    facts = [(kind, seq) for kind, key, seq in await school.published() if key == attempt["uuid"]]
    assert facts == [
        ("learning.quiz_started.v1", 1),
        ("learning.quiz_submitted.v1", 2),
        ("learning.quiz_graded.v1", 3),
    ]
    assert (await start(student, quiz))["number"] == 2


async def test_every_kind_of_question_can_be_answered(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    single = {
        "kind": "single_choice",
        "text": "Which?",
        "options": [{"text": "a", "is_correct": True}, {"text": "b"}],
    }
    short = {"kind": "short_answer", "text": "Joins?", "accepted": ["An edge"]}
    number = {"kind": "numeric", "text": "How many?", "value": 2.5, "tolerance": 0.1}
    quiz = await school.quiz(course, single, CHOICE, TRUTH, short, number)
    attempt = await start(student, quiz)
    one, _, _, words, digits = attempt["questions"]
    done(await save(student, attempt, one, by_text(one, "a")[0]))
    done(await save(student, attempt, words, "  an  EDGE "))
    done(await save(student, attempt, digits, 2.6))
    for question, wrong in ((one, [1]), (words, 3), (digits, "2"), (one, str(uuid4()))):
        refused(await save(student, attempt, question, wrong), 422, "invalid_answer")
    result = await submit(student, attempt)
    assert result["score"] == 3


async def test_parallel_starts_make_one_attempt(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, attempts_allowed=1)
    url = f"/api/quizzes/{quiz['uuid']}/attempts/"
    answers = await asyncio.gather(*(student.client.post(url) for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [200] * 5 + [201]
    assert len({a.json()["uuid"] for a in answers}) == 1
    await submit(student, answers[0].json())
    refused(await student.client.post(url), 409, "no_attempts_left")


async def test_a_double_submit_gives_one_result(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course)
    attempt = await start(student, quiz)
    await answer_rightly(student, attempt)
    results = await asyncio.gather(*(submit(student, attempt) for _ in range(6)))
    assert all(result == results[0] for result in results)
    assert results[0]["percentage"] == 100
    assert await school.events("quiz_submitted", "quiz_graded") == ["quiz_submitted", "quiz_graded"]


async def test_a_save_beside_a_submit_counts_or_is_refused(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH)
    students = [await school.enrolled(course, f"Student {n}") for n in range(8)]
    attempts = [await start(student, quiz) for student in students]

    async def race(student: Person, attempt: dict[str, Any]) -> tuple[int, float]:
        saving, result = await asyncio.gather(
            save(student, attempt, attempt["questions"][0], False), submit(student, attempt)
        )
        return saving.status_code, result["score"]

    outcomes = await asyncio.gather(*(race(s, a) for s, a in zip(students, attempts, strict=True)))
    assert set(outcomes) <= {(200, 1), (409, 0)}


async def test_after_the_deadline_only_what_was_saved_in_time_counts(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, time_limit_seconds=60)
    attempt = await start(student, quiz)
    choice, truth = attempt["questions"]
    done(await save(student, attempt, truth, False))
    school.clock.advance(seconds=65)
    done(await save(student, attempt, truth, False))
    school.clock.advance(seconds=0.1)
    refused(await save(student, attempt, choice, []), 409, "attempt_closed")
    result = await submit(student, attempt)
    assert (result["score"], result["submitted_at"]) == (1, "2026-03-02T09:01:00Z")
    refused(await save(student, attempt, truth, True), 409, "attempt_already_submitted")


async def test_what_is_left_open_is_graded_by_the_sweep_once(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, time_limit_seconds=60)
    endless = await school.quiz(course)
    students = [await school.enrolled(course, f"Student {n}") for n in range(3)]
    for student in students:
        attempt = await start(student, quiz)
        await answer_rightly(student, attempt)
        await start(student, endless)
    school.clock.advance(seconds=64)
    await school.harness.run_task("learning.close_overdue_attempts", clock=school.clock)
    assert await school.events("quiz_graded") == []
    school.clock.advance(seconds=2)
    await asyncio.gather(
        *(school.harness.run_task("learning.close_overdue_attempts", clock=school.clock) for _ in range(3))
    )
    assert await school.events("quiz_graded") == ["quiz_graded"] * 3
    rows = done(await school.teacher.client.get(f"/api/quizzes/{quiz['uuid']}/attempts/"))["results"]
    assert [(r["status"], r["percentage"]) for r in rows] == [("graded", 100)] * 3
    assert {r["student_name"] for r in rows} == {"Student 0", "Student 1", "Student 2"}


async def test_an_overdue_attempt_is_graded_when_the_next_one_starts(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, time_limit_seconds=60)
    first = await start(student, quiz)
    school.clock.advance(minutes=5)
    assert (await start(student, quiz))["number"] == 2
    assert done(await student.client.get(f"/api/attempts/{first['uuid']}/"))["status"] == "graded"


async def test_the_window_is_kept_by_the_servers_clock(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    window = {"opens_at": "2026-03-02T10:00:00Z", "closes_at": "2026-03-02T11:00:00Z"}
    quiz = await school.quiz(course, time_limit_seconds=7200, **window)
    url = f"/api/quizzes/{quiz['uuid']}/attempts/"
    refused(await student.client.post(url), 409, "quiz_not_open")
    school.clock.advance(hours=1)
    assert (await start(student, quiz))["deadline"] == window["closes_at"]
    school.clock.advance(hours=1)
    other = await school.enrolled(course, "Late Comer")
    refused(await other.client.post(url), 409, "quiz_closed")


async def test_nobody_else_sees_or_touches_an_attempt(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    classmate = await school.enrolled(course, "Eve Else")
    other = await school.person("Other Teacher", "teacher")
    quiz = await school.quiz(course)
    attempt = await start(student, quiz)
    url = f"/api/attempts/{attempt['uuid']}/"
    for person in (classmate, other):
        refused(await person.client.get(url), 404, "not_found")
        refused(await person.client.post(f"{url}submit/"), 404, "not_found")
        refused(await save(person, attempt, attempt["questions"][0], None), 404, "not_found")
    refused(await school.teacher.client.post(f"{url}submit/"), 403, "forbidden")
    refused(await save(school.teacher, attempt, attempt["questions"][0], None), 403, "forbidden")
    done(await school.teacher.client.get(url))
    mine = done(await classmate.client.get(f"/api/quizzes/{quiz['uuid']}/attempts/"))
    assert mine["count"] == 0
    refused(await school.teacher.client.post(f"/api/quizzes/{quiz['uuid']}/attempts/"), 403, "not_enrolled")
    refused(await save(student, attempt, {"uuid": uuid4()}, True), 404, "not_found")
    wrong = await student.client.put(f"{url}answers/{attempt['questions'][0]['uuid']}/", json={"value": 1})
    refused(wrong, 422, "invalid_input")


@pytest.mark.promise("quiz answers")
@pytest.mark.parametrize("when", ["immediately", "after_close", "never"])
async def test_a_student_never_sees_what_is_right_before_the_policy_allows(school: School, when: str) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    policy = {"score": when, "correctness": when, "answers": when}
    quiz = await school.quiz(course, feedback=policy, closes_at="2026-03-02T12:00:00Z", shuffle_answers=True)
    attempt = await start(student, quiz)
    url = f"/api/attempts/{attempt['uuid']}/"
    reads = (url, f"/api/quizzes/{quiz['uuid']}/", f"/api/quizzes/{quiz['uuid']}/attempts/", "/api/quizzes/")
    seen: list[str] = []

    async def look() -> None:
        for path in reads:
            response = await student.client.get(path)
            seen.append(response.text + response.headers.get("etag", ""))

    await look()
    await answer_rightly(student, attempt)
    refused(await save(student, attempt, attempt["questions"][0], "x"), 422, "invalid_answer")
    again = await student.client.post(f"/api/quizzes/{quiz['uuid']}/attempts/")
    seen.append(again.text)
    await look()
    body = await submit(student, attempt)
    if when == "immediately":
        assert (body["score"], body["passed"]) == (4, True)
        assert body["questions"][0]["explanation"] == "canary-explanation"
        assert set(body["questions"][0]["right_answer"]) == set(
            by_text(body["questions"][0], "a triangle", "a path")
        )
        assert "canary-feedback" in body["questions"][0]["option_feedback"].values()
    else:
        assert [body[name] for name in ("score", "percentage", "passed")] == [None] * 3
        hidden = ("score", "is_correct", "right_answer", "explanation", "option_feedback")
        assert all(q[name] is None for q in body["questions"] for name in hidden)
        seen.append(str(body))
        await look()
    for text in seen:
        compact = text.replace(" ", "")
        assert not [secret for secret in SECRETS if secret in compact]
    school.clock.advance(hours=4)
    later = done(await student.client.get(url))
    assert (later["score"] is None) == (when == "never")
    taught = done(await school.teacher.client.get(url))
    assert taught["score"] == 4
    assert taught["questions"][0]["explanation"] == "canary-explanation"


async def test_changing_a_question_leaves_open_attempts_as_they_were(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH)
    attempt = await start(student, quiz)
    [question] = done(await school.teacher.client.get(f"/api/quizzes/{quiz['uuid']}/questions/"))
    url = f"/api/quizzes/{quiz['uuid']}/questions/{question['uuid']}/"
    done(await school.teacher.client.patch(url, json={"correct": True, "points": 5, "text": "Changed"}))
    await answer_rightly(student, attempt)
    result = await submit(student, attempt)
    assert (result["score"], result["max_score"], result["questions"][0]["text"]) == (1, 1, TRUTH["text"])


async def test_who_has_left_hands_in_on_return_and_completes_the_lesson(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    student = await school.enrolled(course)
    quiz = await school.quiz(course, lesson=str(lesson))
    attempt = await start(student, quiz)
    await answer_rightly(student, attempt)
    done(await student.client.post(f"/api/courses/{course}/unenroll/"))
    await refuses_all_writes(student, quiz, attempt)
    [row] = done(await student.client.get("/api/enrollments/?status=dropped"))["results"]
    assert row["progress"] == 0
    done(await student.client.post(f"/api/courses/{course}/enroll/"), 201)
    assert (await submit(student, attempt))["passed"] is True
    assert (await school.complete(student, course, lesson))["progress_percentage"] == 50


async def refuses_all_writes(student: Person, quiz: dict[str, Any], attempt: dict[str, Any]) -> None:
    """By the hot paths and by the others, which an `Idempotency-Key` takes."""
    [question, *_] = attempt["questions"]
    answer = f"/api/attempts/{attempt['uuid']}/answers/{question['uuid']}/"
    for headers in ({}, {"Idempotency-Key": str(uuid4())}):
        for method, path, body in (
            ("PUT", answer, {"answer": None}),
            ("POST", f"/api/attempts/{attempt['uuid']}/submit/", None),
            ("POST", f"/api/quizzes/{quiz['uuid']}/attempts/", None),
        ):
            refused(
                await student.client.request(method, path, json=body, headers=headers), 403, "not_enrolled"
            )


async def test_who_has_left_is_graded_at_the_deadline_from_what_was_saved(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    student = await school.enrolled(course)
    quiz = await school.quiz(course, lesson=str(lesson), time_limit_seconds=600)
    attempt = await start(student, quiz)
    await answer_rightly(student, attempt)
    done(await student.client.post(f"/api/courses/{course}/unenroll/"))
    await refuses_all_writes(student, quiz, attempt)
    school.clock.advance(seconds=700)
    await school.harness.run_task("learning.close_overdue_attempts", clock=school.clock)
    seen = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    assert (seen["status"], seen["passed"]) == ("graded", True)
    assert (
        done(await student.client.post(f"/api/attempts/{attempt['uuid']}/submit/"))["score"] == seen["score"]
    )
    [row] = done(await student.client.get("/api/enrollments/?status=dropped"))["results"]
    assert row["progress"] == 0
    done(await student.client.post(f"/api/courses/{course}/enroll/"), 201)
    assert (await school.complete(student, course, lesson))["progress_percentage"] == 50


@pytest.mark.promise("object access")
async def test_a_save_beside_a_drop_is_whole_and_after_it_refused(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH)
    attempt = await start(student, quiz)
    [question] = attempt["questions"]
    saves = [save(student, attempt, question, value) for value in (True, False) * 5]
    drop = student.client.post(f"/api/courses/{course}/unenroll/")
    *answers, left = await asyncio.gather(*saves, drop)
    assert left.status_code == 200
    assert {answer.status_code for answer in answers} <= {200, 403}
    kept = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))["answers"]
    assert bool(kept) == any(answer.status_code == 200 for answer in answers)
    refused(await save(student, attempt, question, True), 403, "not_enrolled")
    assert done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))["answers"] == kept


@pytest.mark.promise("object access")
async def test_who_waits_or_has_left_writes_nothing_in_the_course(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    left, waiting = await school.enrolled(course, "Left Behind"), await school.person("Wanda Waits")
    lesson = school.lessons(course)[0]
    quiz, work = await school.quiz(course, TRUTH), await school.assignment(course)
    done(await left.client.post(f"/api/courses/{course}/unenroll/"))
    await school.enrolled(course, "Seated Now")
    done(await waiting.client.post(f"/api/courses/{course}/enroll/", json={"waitlist": True}), 201)
    lessons = f"/api/courses/{course}/lessons/{lesson}/"
    for person in (left, waiting):
        for path, body in (
            (f"{lessons}complete/", None),
            (f"{lessons}progress/", {"seconds_spent": 1}),
            (f"{lessons}notes/", {"notes": "x"}),
            (f"/api/assignments/{work['uuid']}/submissions/", {"text": "x"}),
            (f"/api/quizzes/{quiz['uuid']}/attempts/", None),
        ):
            refused(await person.client.post(path, json=body), 403, "not_enrolled")
        files = {"files": ("a.txt", b"x", "text/plain")}
        path = f"/api/assignments/{work['uuid']}/submissions/"
        refused(await person.client.post(path, files=files), 403, "not_enrolled")
    stranger = await school.person("Stranger")
    path = f"/api/assignments/{work['uuid']}/submissions/"
    refused(await stranger.client.post(path, json={"text": "x"}), 404, "not_found")


@pytest.mark.parametrize("answer", ["NaN", "1e999", '"\\ud800"', "{}", "[[]]", "1" * 5000])
async def test_strange_answers_are_refused_and_not_written(school: School, answer: str) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    number = {"kind": "numeric", "text": "How many?", "value": 2}
    short = {"kind": "short_answer", "text": "Joins?", "accepted": ["An edge"]}
    quiz = await school.quiz(course, number, short, CHOICE)
    attempt = await start(student, quiz)
    for question in attempt["questions"]:
        response = await student.client.put(
            f"/api/attempts/{attempt['uuid']}/answers/{question['uuid']}/",
            content=f'{{"answer": {answer}}}',
            headers={"Content-Type": "application/json"},
        )
        assert response.status_code in (400, 422), response.text
    assert done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))["answers"] == {}
