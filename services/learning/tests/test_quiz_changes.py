"""Quizzes that change while somebody takes them, and after they were taken."""

from datetime import timedelta
from typing import Any

import pytest

from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.quizzing import ESSAY, SINGLE, save, start, submit, take

HOUR = timedelta(hours=1)
RIGHT = {TRUTH["text"]: False}


async def patch(school: School, quiz: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return done(await school.teacher.client.patch(f"/api/quizzes/{quiz['uuid']}/", json=changes))


async def test_one_part_of_the_policy_changes_and_the_others_stay(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    policy = {"score": "never", "correctness": "after_close", "answers": "never"}
    quiz = await school.quiz(course, TRUTH, feedback=policy)
    changed = await patch(school, quiz, feedback={"correctness": "immediately"})
    assert changed["feedback"] == policy | {"correctness": "immediately"}
    attempt = await take(student, quiz, RIGHT)
    assert (attempt["score"], attempt["questions"][0]["is_correct"]) == (None, True)


async def test_another_close_moves_the_end_of_what_is_under_way(school: School) -> None:
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Else")
    close = school.clock() + HOUR
    quiz = await school.quiz(course, TRUTH, closes_at=close.isoformat(), time_limit_seconds=5400)
    path = f"/api/quizzes/{quiz['uuid']}/extensions/{eve.uuid}/"
    later = (close + 2 * HOUR).isoformat()
    done(await school.teacher.client.put(path, json={"closes_at": later}))
    attempts = [await start(person, quiz) for person in (ada, eve)]
    ends = [attempt["seconds_left"] for attempt in attempts]
    assert ends == [3600, 5400]

    async def left() -> list[int]:
        seen = [
            done(await person.client.get(f"/api/attempts/{attempt['uuid']}/"))
            for person, attempt in zip((ada, eve), attempts, strict=True)
        ]
        return [each["seconds_left"] for each in seen]

    await patch(school, quiz, closes_at=(close + HOUR).isoformat())
    assert await left() == [5400, 5400]
    await patch(school, quiz, closes_at=(school.clock() - HOUR).isoformat())
    assert await left() == [0, 5400], "who has an extension keeps it"
    assert await school.events("quiz_deadline_moved") == ["quiz_deadline_moved"] * 2
    done(await save(ada, attempts[0], attempts[0]["questions"][0], False))
    school.clock.advance(seconds=6)
    refused(await save(ada, attempts[0], attempts[0]["questions"][0], True), 409, "attempt_closed")
    assert (await submit(ada, attempts[0]))["score"] == 1


async def test_what_shows_after_close_waits_for_the_last_save(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    close = school.clock() + HOUR
    policy = {"score": "after_close", "correctness": "after_close", "answers": "after_close"}
    quiz = await school.quiz(course, TRUTH, closes_at=close.isoformat(), feedback=policy)
    first = await take(ada, quiz, {TRUTH["text"]: True})
    second = await start(ada, quiz)
    school.clock.advance(hours=1, seconds=5)
    shown = done(await ada.client.get(f"/api/attempts/{first['uuid']}/"))
    assert shown["questions"][0]["right_answer"] is None
    done(await save(ada, second, second["questions"][0], False))
    school.clock.advance(seconds=1)
    shown = done(await ada.client.get(f"/api/attempts/{first['uuid']}/"))
    assert shown["questions"][0]["right_answer"] is False
    refused(await save(ada, second, second["questions"][0], False), 409, "attempt_closed")


async def test_scoring_and_pass_mark_reach_what_was_graded(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    ada = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, SINGLE, lesson=str(lesson), pass_mark=80)
    await take(ada, quiz, RIGHT | {SINGLE["text"]: "a hole"})
    await take(ada, quiz, {})
    gradebook = f"/api/courses/{course}/gradebook/"

    async def current() -> float | None:
        return done(await school.teacher.client.get(gradebook))["rows"][0]["current"]

    assert await current() == 50
    complete = f"/api/courses/{course}/lessons/{lesson}/complete/"
    refused(await ada.client.post(complete), 409, "lesson_not_finished")
    await patch(school, quiz, scoring="average")
    assert await current() == 25
    await patch(school, quiz, scoring="highest", pass_mark=50)
    assert await current() == 50
    rows = done(await ada.client.get(f"/api/quizzes/{quiz['uuid']}/attempts/"))["results"]
    assert {row["number"]: row["passed"] for row in rows} == {1: True, 2: False}
    [seat] = done(await ada.client.get("/api/enrollments/my-courses/"))
    assert seat["progress"] == 50, "the lesson is completed by what passes now"


async def test_a_quiz_that_was_started_keeps_its_kind(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH)
    await patch(school, quiz, kind="practice")
    await start(ada, quiz)
    url = f"/api/quizzes/{quiz['uuid']}/"
    refused(await school.teacher.client.patch(url, json={"kind": "survey"}), 422, "invalid_input")
    await patch(school, quiz, kind="practice")


async def test_what_only_get_answers_is_taken_while_it_does_not_change(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH)
    url = f"/api/quizzes/{quiz['uuid']}/"
    teacher = school.teacher.client
    shown = done(await teacher.get(url))
    assert done(await teacher.patch(url, json=shown | {"title": "Anew"}))["title"] == "Anew"
    changes: dict[str, Any] = {
        "uuid": str(course), "course": quiz["uuid"], "is_published": False, "question_count": 7,
        "max_score": 7, "questions": [], "created_at": "2026-03-01T00:00:00Z",
    }  # fmt: skip
    for name, value in changes.items():
        body = refused(await teacher.patch(url, json={name: value}), 422, "invalid_input")
        assert body["errors"][0]["field"] == name


async def test_publishing_and_regrading_ask_for_the_version(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH)
    url = f"/api/quizzes/{quiz['uuid']}/"
    stale = {"If-Match": '"1"'}
    teacher = school.teacher.client
    refused(await teacher.post(f"{url}publish/", headers=stale), 412, "precondition_failed")
    body = {"question": quiz["questions"][0]["uuid"], "mode": "full_credit"}
    refused(await teacher.post(f"{url}regrade/", json=body, headers=stale), 412, "precondition_failed")
    tag = (await teacher.get(url)).headers["etag"]
    published = await teacher.post(f"{url}publish/", headers={"If-Match": tag})
    assert done(published)["is_published"]
    done(await teacher.post(f"{url}regrade/", json=body, headers={"If-Match": tag}))


@pytest.mark.parametrize(
    "changes",
    [
        {"value": "1e-999999"}, {"value": "1e999999"}, {"value": 5, "tolerance": "1e-5000"},
        {"value": "0e999999999"}, {"value": 1, "points": "1e-99999"},
    ],
)  # fmt: skip
async def test_a_number_of_a_million_digits_is_refused(school: School, changes: dict[str, Any]) -> None:
    course = await school.course()
    quiz = await school.quiz(course)
    body = {"kind": "numeric", "text": "How many?", **changes}
    url = f"/api/quizzes/{quiz['uuid']}/questions/"
    refused(await school.teacher.client.post(url, json=body), 422, "invalid_input")


async def test_a_question_without_points_fails_nobody(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    ada = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH | {"points": 0}, lesson=str(lesson))
    attempt = await take(ada, quiz, {TRUTH["text"]: True})
    assert (attempt["score"], attempt["percentage"], attempt["passed"]) == (0, None, True)
    assert done(await ada.client.get("/api/enrollments/my-courses/"))[0]["progress"] == 50


async def test_full_credit_reaches_essays_that_wait_and_what_a_teacher_gave_comes_back(
    school: School,
) -> None:
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Else")
    quiz = await school.quiz(course, ESSAY, TRUTH)
    essay, truth = (question["uuid"] for question in quiz["questions"])
    waiting = await take(ada, quiz, {ESSAY["text"]: "Because.", **RIGHT})
    read = await take(eve, quiz, {ESSAY["text"]: "Because.", TRUTH["text"]: True})
    teacher = school.teacher.client
    body = {"question": essay, "points": 2}
    done(await teacher.patch(f"/api/attempts/{read['uuid']}/grade/", json=body))
    body = {"question": truth, "points": 0.5}
    done(await teacher.patch(f"/api/attempts/{read['uuid']}/grade/", json=body))
    url = f"/api/quizzes/{quiz['uuid']}/regrade/"

    async def scores() -> list[tuple[str, float | None]]:
        rows = [
            done(await person.client.get(f"/api/attempts/{attempt['uuid']}/"))
            for person, attempt in ((ada, waiting), (eve, read))
        ]
        return [(row["status"], row["score"]) for row in rows]

    assert await scores() == [("submitted", None), ("graded", 2.5)]
    for question in (essay, truth):
        done(await teacher.post(url, json={"question": question, "mode": "full_credit"}))
    assert await scores() == [("graded", 6), ("graded", 6)]
    kept = {"question": truth, "mode": "old_or_new"}
    assert done(await teacher.post(url, json=kept))["changes"] == [], "it never lowers"
    for question in (essay, truth):
        done(await teacher.post(url, json={"question": question, "mode": "new_only"}))
    assert await scores() == [("graded", 1), ("graded", 2.5)], "points that a teacher gave count again"
    done(
        await teacher.patch(f"/api/attempts/{waiting['uuid']}/grade/", json={"question": essay, "points": 4})
    )
    assert (await scores())[0] == ("graded", 5)
