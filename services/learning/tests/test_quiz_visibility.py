"""When scores become visible by themselves, others learn of it; and who is excused, and what it changes."""

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.quizzing import SINGLE, take

LATE = {"score": "after_close", "correctness": "never", "answers": "never"}
RIGHT = {TRUTH["text"]: False}


async def told(school: School) -> list[tuple[str, bool]]:
    """Student and visibility of each graded attempt that was published, in order."""
    async with school.harness.db.sessions() as session:
        rows = await session.scalars(
            text("SELECT payload FROM outbox WHERE type = 'learning.quiz_graded.v1' ORDER BY seq")
        )
        facts = [json.loads(bytes(payload)) for payload in rows]
    return [(fact["student"], fact["score_visible"]) for fact in facts]


async def test_scores_that_show_after_the_close_are_told_then(school: School) -> None:
    course = await school.course()
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Else")
    close = school.clock() + timedelta(hours=1)
    quiz = await school.quiz(course, TRUTH, closes_at=close.isoformat(), feedback=LATE)
    path = f"/api/quizzes/{quiz['uuid']}/extensions/{eve.uuid}/"
    later = {"closes_at": (close + timedelta(hours=1)).isoformat()}
    done(await school.teacher.client.put(path, json=later))
    for person in (ada, eve):
        await take(person, quiz, RIGHT)
    before = [(str(person.uuid), False) for person in (ada, eve)]

    async def sweep() -> list[tuple[str, bool]]:
        await school.harness.run_task("learning.sweep_visibility", clock=school.clock)
        return (await told(school))[2:]

    assert await told(school) == before
    assert await sweep() == []
    school.clock.advance(hours=1, seconds=6)
    assert await sweep() == [(str(ada.uuid), True)]
    assert await sweep() == [(str(ada.uuid), True)], "once"
    school.clock.advance(hours=1)
    assert await sweep() == [(str(ada.uuid), True), (str(eve.uuid), True)]
    change = {"feedback": {"score": "never"}}
    done(await school.teacher.client.patch(f"/api/quizzes/{quiz['uuid']}/", json=change))
    hidden = sorted((str(person.uuid), False) for person in (ada, eve))
    assert sorted((await sweep())[2:]) == hidden


async def excuse(school: School, quiz: dict[str, Any], user: Any, excused: bool = True, **more: Any) -> Any:
    path = f"/api/quizzes/{quiz['uuid']}/grades/{user.uuid}/"
    return await school.teacher.client.put(path, json={"excused": excused}, **more)


async def test_an_excused_quiz_counts_for_nothing_until_that_is_taken_back(school: School) -> None:
    course = await school.course()
    lesson, _ = school.lessons(course)
    ada, eve = await school.enrolled(course), await school.enrolled(course, "Eve Else")
    other = await school.quiz(course, TRUTH, title="Other")
    quiz = await school.quiz(course, TRUTH, SINGLE, lesson=str(lesson))
    await take(ada, other, RIGHT)

    async def cell(who: Any) -> tuple[float | None, str, float | None]:
        book = done(await school.teacher.client.get(f"/api/courses/{course}/gradebook/"))
        [row] = [row for row in book["rows"] if row["user"] == str(who.uuid)]
        mine = row["cells"][quiz["uuid"]]
        return mine["score"], mine["status"], row["final"]

    assert await cell(ada) == (None, "open", 33.33)
    answer = await excuse(school, quiz, ada)
    assert done(answer)["excused"] is True
    assert await cell(ada) == (None, "excused", 100)
    await take(ada, quiz, RIGHT)
    assert await cell(ada) == (None, "excused", 100), "what they take now waits"
    assert await cell(eve) == (None, "open", 0)
    again = await excuse(school, quiz, ada)
    assert again.headers["etag"] == answer.headers["etag"]
    refused(await excuse(school, quiz, ada, False, headers={"If-Match": '"9"'}), 412, "precondition_failed")
    done(await excuse(school, quiz, ada, False))
    assert await cell(ada) == (1, "graded", 66.67)
    done(await excuse(school, quiz, eve))
    hide = {"feedback": {"score": "never"}}
    done(await school.teacher.client.patch(f"/api/quizzes/{quiz['uuid']}/", json=hide))
    mine = done(await eve.client.get(f"/api/courses/{course}/grades/me/"))
    assert mine["cells"][quiz["uuid"]] == {"score": None, "status": "excused"}
    await school.complete(eve, course, lesson)
    assert await school.events("quiz_excused") == ["quiz_excused"] * 3
    shown = done(await eve.client.get(f"/api/quizzes/{quiz['uuid']}/"))
    assert shown["extension"]["excused"] is True


async def test_who_may_excuse_whom_from_what(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    stranger = await school.person("Sam Stranger")
    rival = await school.person("Rita Rival", "teacher")
    quiz = await school.quiz(course)
    practice = await school.quiz(course, kind="practice")
    path = f"/api/quizzes/{quiz['uuid']}/grades/{ada.uuid}/"
    for person, status in ((ada, 403), (rival, 404), (stranger, 404)):
        answer = await person.client.put(path, json={"excused": True})
        assert answer.status_code == status
    refused(await excuse(school, quiz, stranger), 404, "not_found")
    refused(await excuse(school, practice, ada), 422, "invalid_input")
    for body in ({}, {"excused": None}, {"excused": True, "score": 3}):
        refused(await school.teacher.client.put(path, json=body), 422, "invalid_input")
    assert await school.events("quiz_excused") == []
