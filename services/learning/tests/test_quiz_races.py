"""Quizzes under several hands at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import text

from libs.common.runtime.clock import SettableClock
from libs.common.testing.harness import Person, eventually
from services.learning.tests.conftest import TRUTH, School, done
from services.learning.tests.quizzing import SINGLE, save, start, submit


async def test_the_limit_of_attempts_holds_however_many_start_and_submit(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, attempts_allowed=3)
    url = f"/api/quizzes/{quiz['uuid']}/attempts/"

    async def again_and_again() -> None:
        for _ in range(4):
            answer = await student.client.post(url)
            assert answer.status_code in (200, 201, 409), answer.text
            if answer.status_code != 409:
                await submit(student, answer.json())

    await asyncio.gather(*(again_and_again() for _ in range(5)))
    rows = done(await student.client.get(url))["results"]
    assert sorted((row["number"], row["status"]) for row in rows) == [(n, "graded") for n in (1, 2, 3)]
    kinds = [kind for kind, _, _ in await school.published()]
    assert [kinds.count(f"learning.quiz_{name}.v1") for name in ("started", "submitted", "graded")] == [
        3,
        3,
        3,
    ]


async def test_a_save_beside_the_deadline_counts_or_is_refused(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH, time_limit_seconds=60)
    students = [await school.enrolled(course, f"Student {number}") for number in range(8)]
    attempts = [await start(student, quiz) for student in students]
    school.clock.advance(seconds=65)  # a save still counts
    later = SettableClock(school.clock() + timedelta(seconds=0.1))  # the sweep's own clock is past it

    saves = (
        save(student, attempt, attempt["questions"][0], False)
        for student, attempt in zip(students, attempts, strict=True)
    )
    sweep = school.harness.run_task("learning.close_overdue_attempts", clock=later)
    answers = (await asyncio.gather(*saves, sweep))[:-1]
    for student, attempt, answer in zip(students, attempts, answers, strict=True):
        shown = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
        assert shown["status"] == "graded"
        assert (answer.status_code, shown["score"]) in {(200, 1), (409, 0)}


async def test_an_extension_beside_the_sweep_leaves_one_truth(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH, time_limit_seconds=60)
    students = [await school.enrolled(course, f"Student {number}") for number in range(6)]
    attempts = [await start(student, quiz) for student in students]
    school.clock.advance(seconds=66)
    url = f"/api/quizzes/{quiz['uuid']}/extensions/"
    extending = (
        school.teacher.client.put(f"{url}{student.uuid}/", json={"extra_seconds": 600})
        for student in students
    )
    sweep = school.harness.run_task("learning.close_overdue_attempts", clock=school.clock)
    for answer in (await asyncio.gather(*extending, sweep))[:-1]:
        done(answer)
    for student, attempt in zip(students, attempts, strict=True):
        shown = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
        moved = shown["deadline"] != attempt["deadline"]
        assert moved == (shown["status"] == "in_progress")


async def test_two_extensions_at_once_are_both_versions(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH)
    url = f"/api/quizzes/{quiz['uuid']}/extensions/{student.uuid}/"
    answers = await asyncio.gather(
        *(school.teacher.client.put(url, json={"extra_attempts": n}) for n in range(1, 6))
    )
    assert [answer.status_code for answer in answers] == [200] * 5
    assert sorted(answer.headers["etag"] for answer in answers) == [f'"{n}"' for n in range(1, 6)]


async def test_a_regrade_beside_submits_leaves_nobody_with_the_old_key(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH)
    students = [await school.enrolled(course, f"Student {number}") for number in range(6)]
    attempts = [await start(student, quiz) for student in students]
    for student, attempt in zip(students, attempts, strict=True):
        done(await save(student, attempt, attempt["questions"][0], True))
    url = f"/api/quizzes/{quiz['uuid']}/"
    question = quiz["questions"][0]["uuid"]
    done(await school.teacher.client.patch(f"{url}questions/{question}/", json={"correct": True}))
    body = {"question": question, "mode": "new_only"}
    regrading = school.teacher.client.post(f"{url}regrade/", json=body)
    submits = (submit(student, attempt) for student, attempt in zip(students, attempts, strict=True))
    answers = await asyncio.gather(regrading, *submits)
    done(answers[0])
    for student, attempt in zip(students, attempts, strict=True):
        assert done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))["score"] == 1


async def hand_in(student: Person, attempt: dict[str, Any]) -> httpx.Response:
    """The answer, whatever it is."""
    return await student.client.post(f"/api/attempts/{attempt['uuid']}/submit/")


async def test_who_hands_in_together_gets_each_their_own(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH)
    students = [await school.enrolled(course, f"Student {number}") for number in range(30)]
    attempts = [await start(student, quiz) for student in students]
    for number, (student, attempt) in enumerate(zip(students, attempts, strict=True)):
        done(await save(student, attempt, attempt["questions"][0], number % 3 == 0))
    stranger = students[0]
    answers = await asyncio.gather(
        *(hand_in(student, attempt) for student, attempt in zip(students, attempts, strict=True)),
        *(hand_in(stranger, attempt) for attempt in attempts[1:]),
        *(hand_in(student, attempt) for student, attempt in zip(students, attempts, strict=True)),
    )
    assert {answer.status_code for answer in answers[30:59]} == {404}
    for number, student in enumerate(students):
        first, again = done(answers[number]), done(answers[59 + number])
        right = TRUTH["correct"] is (number % 3 == 0)
        assert (first["student"], first["score"]) == (str(student.uuid), 1 if right else 0)
        assert again == first
        places = answers[number].headers["consistency-token"].split(",")
        assert {place.split(":")[1] for place in places} == {first["uuid"]}
    kinds = [kind for kind, _, _ in await school.published()]
    assert kinds.count("learning.quiz_submitted.v1") == kinds.count("learning.quiz_graded.v1") == 30


async def test_an_attempt_that_cannot_be_graded_holds_up_no_other(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH)
    students = [await school.enrolled(course, f"Student {number}") for number in range(5)]
    attempts = [await start(student, quiz) for student in students]
    for student, attempt in zip(students, attempts, strict=True):
        done(await save(student, attempt, attempt["questions"][0], TRUTH["correct"]))
    async with school.harness.db.session() as session:
        await session.execute(
            text("UPDATE attempt_questions SET content = '{}' WHERE attempt = :broken"),
            {"broken": attempts[2]["uuid"]},
        )
    answers = await asyncio.gather(
        *(hand_in(student, attempt) for student, attempt in zip(students, attempts, strict=True))
    )
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200, 200]
    assert [done(answer)["score"] for answer in answers if answer.status_code == 200] == [1] * 4
    shown = done(await students[2].client.get(f"/api/attempts/{attempts[2]['uuid']}/"))
    assert shown["status"] == "in_progress"


@asynccontextmanager
async def seat_held(school: School, student: Person) -> AsyncIterator[Callable[[int], Awaitable[Any]]]:
    """A learner's seat is locked meanwhile. Gives what waits until so many requests wait for locks."""
    async with school.harness.db.session() as session:
        await session.execute(
            text("SELECT 1 FROM enrollments WHERE student = :student FOR UPDATE"), {"student": student.uuid}
        )

        async def waiting(number: int) -> bool:
            async with school.harness.db.sessions() as other:
                query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                return int(await other.scalar(query) or 0) >= number

        yield lambda number: eventually(lambda: waiting(number))


async def test_another_pass_mark_waits_for_who_is_handing_in(school: School) -> None:
    course = await school.course()
    quiz = await school.quiz(course, TRUTH, SINGLE, pass_mark=80)
    student = await school.enrolled(course)
    attempt = await start(student, quiz)
    [question] = [one for one in attempt["questions"] if one["text"] == TRUTH["text"]]
    done(await save(student, attempt, question, TRUTH["correct"]))
    async with asyncio.TaskGroup() as tasks, seat_held(school, student) as waiting:
        tasks.create_task(hand_in(student, attempt))
        await waiting(1)
        body = {"pass_mark": 50}
        changing = tasks.create_task(school.teacher.client.patch(f"/api/quizzes/{quiz['uuid']}/", json=body))
        await waiting(2)
    assert done(await changing)["pass_mark"] == 50
    shown = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    assert (shown["percentage"], shown["passed"]) == (50, True)


async def test_another_close_waits_for_who_is_starting(school: School) -> None:
    course = await school.course()
    close = school.clock() + timedelta(hours=1)
    quiz = await school.quiz(course, TRUTH, closes_at=close.isoformat())
    student = await school.enrolled(course)
    body = {"closes_at": (close + timedelta(hours=3)).isoformat()}
    async with asyncio.TaskGroup() as tasks, seat_held(school, student) as waiting:
        starting = tasks.create_task(start(student, quiz))
        await waiting(1)
        tasks.create_task(school.teacher.client.patch(f"/api/quizzes/{quiz['uuid']}/", json=body))
        await waiting(2)
    attempt = await starting
    shown = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    assert shown["seconds_left"] == 4 * 3600


async def test_handing_in_twice_at_once_keeps_the_learners_own_close(school: School) -> None:
    course = await school.course()
    close = school.clock() + timedelta(hours=1)
    policy = {"score": "after_close", "correctness": "after_close", "answers": "after_close"}
    quiz = await school.quiz(course, TRUTH, closes_at=close.isoformat(), feedback=policy)
    student = await school.enrolled(course)
    path = f"/api/quizzes/{quiz['uuid']}/extensions/{student.uuid}/"
    later = {"closes_at": (close + timedelta(hours=1)).isoformat()}
    done(await school.teacher.client.put(path, json=later))
    attempts = [await start(student, quiz)]
    school.clock.advance(hours=1, seconds=30)  # closed for everybody else
    answers = await asyncio.gather(*(hand_in(student, attempts[0]) for _ in range(4)))
    for answer in answers:
        shown = done(answer)
        assert (shown["status"], shown["score"]) == ("graded", None)
        assert shown["questions"][0]["right_answer"] is None
