"""What one learner has beyond others: time, attempts, a later close."""

from typing import Any
from uuid import uuid4

from sqlalchemy import text

from libs.common.testing.harness import Person
from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.quizzing import save, start, submit


async def extend(school: School, quiz: dict[str, Any], who: Person, **body: Any) -> dict[str, Any]:
    url = f"/api/quizzes/{quiz['uuid']}/extensions/{who.uuid}/"
    return done(await school.teacher.client.put(url, json=body))


async def test_more_time_moves_the_deadline_of_an_attempt_under_way(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, time_limit_seconds=60)
    attempt = await start(student, quiz)
    school.clock.advance(seconds=70)
    refused(await save(student, attempt, attempt["questions"][0], False), 409, "attempt_closed")
    await extend(school, quiz, student, extra_seconds=30)
    shown = done(await student.client.get(f"/api/attempts/{attempt['uuid']}/"))
    assert (shown["deadline"], shown["seconds_left"]) == ("2026-03-02T09:01:30Z", 20)
    done(await save(student, attempt, attempt["questions"][0], False))
    await extend(school, quiz, student, extra_seconds=30)  # again → nothing changes
    assert (await submit(student, attempt))["score"] == 1
    facts = [(kind, seq) for kind, key, seq in await school.published() if key == attempt["uuid"]]
    assert facts == [
        ("learning.quiz_started.v1", 1),
        ("learning.quiz_deadline_moved.v1", 2),
        ("learning.quiz_submitted.v1", 3),
        ("learning.quiz_graded.v1", 4),
    ]
    assert await school.events("quiz_extension_changed") == ["quiz_extension_changed"]
    async with school.harness.db.session() as session:
        acts = await session.execute(
            text("SELECT action, actor FROM audit_entries WHERE target = :quiz"), {"quiz": quiz["uuid"]}
        )
        assert [tuple(act) for act in acts] == [("quiz.extended", school.teacher.uuid)]


async def test_the_sweep_waits_for_the_extended_deadline(school: School) -> None:
    course = await school.course()
    student, classmate = await school.enrolled(course), await school.enrolled(course, "Class Mate")
    quiz = await school.quiz(course, TRUTH, time_limit_seconds=60)
    await extend(school, quiz, student, extra_seconds=600)
    mine, theirs = await start(student, quiz), await start(classmate, quiz)
    school.clock.advance(seconds=66)
    await school.harness.run_task("learning.close_overdue_attempts", clock=school.clock)
    assert done(await student.client.get(f"/api/attempts/{mine['uuid']}/"))["status"] == "in_progress"
    assert done(await classmate.client.get(f"/api/attempts/{theirs['uuid']}/"))["status"] == "graded"


async def test_a_later_close_opens_the_window_for_one_learner(school: School) -> None:
    course = await school.course()
    student, classmate = await school.enrolled(course), await school.enrolled(course, "Class Mate")
    quiz = await school.quiz(course, TRUTH, closes_at="2026-03-02T10:00:00Z")
    url = f"/api/quizzes/{quiz['uuid']}/attempts/"
    open_one = await start(student, quiz)
    await extend(school, quiz, student, closes_at="2026-03-02T12:00:00Z")
    shown = done(await student.client.get(f"/api/attempts/{open_one['uuid']}/"))
    assert shown["deadline"] == "2026-03-02T12:00:00Z"
    school.clock.advance(hours=2)
    refused(await classmate.client.post(url), 409, "quiz_closed")
    await submit(student, open_one)
    assert (await start(student, quiz))["number"] == 2
    school.clock.advance(hours=2)
    refused(await student.client.post(url), 409, "quiz_closed")


async def test_an_earlier_close_takes_nothing_away(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    quiz = await school.quiz(course, TRUTH, closes_at="2026-03-02T10:00:00Z")
    await extend(school, quiz, student, closes_at="2026-03-02T09:30:00Z")
    assert (await start(student, quiz))["deadline"] == "2026-03-02T10:00:00Z"


async def test_more_attempts_are_for_that_learner_only(school: School) -> None:
    course = await school.course()
    student, classmate = await school.enrolled(course), await school.enrolled(course, "Class Mate")
    quiz = await school.quiz(course, TRUTH, attempts_allowed=1)
    for person in (student, classmate):
        await submit(person, await start(person, quiz))
    await extend(school, quiz, student, extra_attempts=1)
    shown = done(await student.client.get(f"/api/quizzes/{quiz['uuid']}/"))
    assert (shown["attempts_left"], shown["extension"]["extra_attempts"]) == (1, 1)
    await submit(student, await start(student, quiz))
    url = f"/api/quizzes/{quiz['uuid']}/attempts/"
    refused(await student.client.post(url), 409, "no_attempts_left")
    refused(await classmate.client.post(url), 409, "no_attempts_left")


async def test_what_shows_after_close_waits_for_the_learners_own_close(school: School) -> None:
    course = await school.course()
    student, classmate = await school.enrolled(course), await school.enrolled(course, "Class Mate")
    policy = {"score": "after_close", "correctness": "after_close", "answers": "after_close"}
    quiz = await school.quiz(course, TRUTH, closes_at="2026-03-02T10:00:00Z", feedback=policy)
    await extend(school, quiz, student, closes_at="2026-03-02T12:00:00Z")
    attempts = [(person, await start(person, quiz)) for person in (student, classmate)]
    for person, attempt in attempts:
        await submit(person, attempt)

    async def scores() -> list[Any]:
        urls = [(person, f"/api/attempts/{attempt['uuid']}/") for person, attempt in attempts]
        rows = [
            done(await p.client.get(f"/api/quizzes/{quiz['uuid']}/attempts/"))["results"] for p, _ in urls
        ]
        shown = [done(await person.client.get(url)) for person, url in urls]
        assert [row[0]["score"] for row in rows] == [one["score"] for one in shown]
        assert [one["questions"][0]["right_answer"] for one in shown] == [
            None if one["score"] is None else False for one in shown
        ]
        return [one["score"] for one in shown]

    assert await scores() == [None, None]
    school.clock.advance(hours=1, minutes=30)
    assert await scores() == [None, 0]
    school.clock.advance(hours=2)
    assert await scores() == [0, 0]


async def test_who_may_extend_for_whom(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    other = await school.person("Other Teacher", "teacher")
    stranger = await school.person("Eve Else")
    quiz = await school.quiz(course)
    url = f"/api/quizzes/{quiz['uuid']}/extensions/"
    refused(await student.client.put(f"{url}{student.uuid}/", json={"extra_seconds": 5}), 403, "forbidden")
    refused(await student.client.get(url), 403, "forbidden")
    refused(await other.client.put(f"{url}{student.uuid}/", json={}), 404, "not_found")
    for nobody in (stranger.uuid, uuid4()):
        refused(await school.teacher.client.put(f"{url}{nobody}/", json={}), 404, "not_found")
    bad = await school.teacher.client.put(f"{url}{student.uuid}/", json={"extra_seconds": -1})
    refused(bad, 422, "invalid_input")
    answer = await school.teacher.client.put(f"{url}{student.uuid}/", json={"extra_seconds": 5})
    stale = await school.teacher.client.put(
        f"{url}{student.uuid}/", json={"extra_seconds": 9}, headers={"If-Match": '"0"'}
    )
    assert answer.headers["etag"] == '"1"'
    refused(stale, 412, "precondition_failed")
    [row] = done(await school.teacher.client.get(url))
    assert (row["user_name"], row["extra_seconds"]) == ("Ada Lovelace", 5)
