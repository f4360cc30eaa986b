"""Looking back: the gradebook of a past moment is what it was then, whatever became of items and learners."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Person
from services.learning.gradebook.history import items_at
from services.learning.gradebook.items import items_now
from services.learning.tests.conftest import TRUTH, School, done, refused
from services.learning.tests.test_gradebook import give, hand_in, save, take, url


async def whole(school: School, course: UUID, who: Person, **query: Any) -> dict[str, Any]:
    """Everything that the gradebook says, to its teacher and to one learner; without the moment itself."""
    answers = [
        await school.teacher.client.get(url(course), params=query),
        await school.teacher.client.get(url(course, f"grades/{who.uuid}/explain/"), params=query),
        await who.client.get(url(course, "grades/me/"), params=query),
        await who.client.get(url(course, f"grades/{who.uuid}/explain/"), params=query),
    ]
    bodies = [answer.json() for answer in answers]
    for body in bodies:
        body.pop("as_of", None)
        body.pop("request_id", None)
    sheet = await school.teacher.client.get(url(course, "gradebook/export/"), params=query)
    return {"statuses": [a.status_code for a in answers], "bodies": bodies, "sheet": sheet.text}


async def later(school: School) -> datetime:
    """The present moment, with an hour gone since."""
    then = school.clock()
    school.clock.advance(seconds=3600)
    return then


async def test_nothing_that_changes_afterwards_changes_the_past(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    due = school.clock() + timedelta(days=1)
    essay = await school.assignment(course, title="Essay", points=20, due_at=due.isoformat())
    other = await school.assignment(course, title="Other", points=10)
    quiz = await school.quiz(course, TRUTH, kind="graded", closes_at=due.isoformat())
    await take(ada, quiz, False)
    await give(school, await hand_in(ada, essay), score=18)
    moments = {}

    async def remember(name: str) -> None:
        was = await whole(school, course, ada)
        moments[name] = (await later(school), was)

    await remember("as it began")
    done(await school.teacher.client.delete(f"/api/assignments/{other['uuid']}/"))
    await remember("an item deleted")
    change = {"title": "Renamed", "due_at": (due + timedelta(days=9)).isoformat(), "posted": False}
    done(await school.teacher.client.patch(f"/api/assignments/{essay['uuid']}/", json=change))
    await remember("an item changed")
    question = {"kind": "true_false", "text": "Another?", "points": 4, "correct": True}
    done(await school.teacher.client.post(f"/api/quizzes/{quiz['uuid']}/questions/", json=question), 201)
    await remember("a question added")
    extension = {"closes_at": (due + timedelta(days=3)).isoformat()}
    path = f"/api/quizzes/{quiz['uuid']}/extensions/{ada.uuid}/"
    done(await school.teacher.client.put(path, json=extension))
    await remember("an extension given")
    eve = await school.enrolled(course, "Eve Brown")
    await remember("somebody new")
    done(await eve.client.post(f"/api/courses/{course}/unenroll/"))
    await remember("somebody gone")
    await save(school, course, {"letters": [{"letter": "A", "from": 1}]})
    await remember("a policy saved")
    done(await school.teacher.client.delete(f"/api/quizzes/{quiz['uuid']}/"))
    await remember("a quiz deleted")
    for name, (then, was) in moments.items():
        assert await whole(school, course, ada, as_of=then.isoformat()) == was, name
    assert len({str(was) for _, was in moments.values()}) >= 8


async def test_who_left_is_there_in_the_past_and_not_now(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    before = (school.clock() - timedelta(seconds=1)).isoformat()
    work = await school.assignment(course, points=10)
    await give(school, await hand_in(ada, work), score=7)
    then = (await later(school)).isoformat()
    done(await ada.client.post(f"/api/courses/{course}/unenroll/"))

    async def rows(**query: str) -> list[float]:
        grades = done(await school.teacher.client.get(url(course), params=query))
        return [row["current"] for row in grades["rows"]]

    assert (await rows(as_of=then), await rows(), await rows(as_of=before)) == ([7 * 10], [], [])
    refused(await ada.client.get(url(course, "grades/me/")), 403, "not_enrolled")


async def test_of_two_grades_at_once_the_gradebook_shows_the_one_that_stayed(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    work = await school.assignment(course, points=100)
    submission = await hand_in(ada, work)

    async def grade(score: int) -> None:
        school.clock.advance(seconds=-1)  # who comes later began earlier
        await give(school, submission, score=score)

    for attempt in range(5):
        await asyncio.gather(*(grade(attempt * 10 + number) for number in range(4)))
        shown = done(await ada.client.get(f"/api/submissions/{submission}/"))["score"]
        grades = done(await school.teacher.client.get(url(course)))
        assert grades["rows"][0]["cells"][work["uuid"]]["score"] == shown


async def test_the_facts_of_the_moment_are_what_is_there(school: School) -> None:
    course = await school.course()
    bank = done(
        await school.teacher.client.post(
            "/api/question-banks/", json={"course": str(course), "title": "Trees"}
        ),
        201,
    )
    place = f"/api/question-banks/{bank['uuid']}/questions/"

    async def equal() -> None:
        async with school.harness.db.session() as session:
            assert await items_at(session, course, school.clock()) == await items_now(session, course)

    question = done(await school.teacher.client.post(place, json={**TRUTH, "points": 3}), 201)
    quiz = await school.quiz(course, TRUTH, kind="graded", pools=[{"bank": bank["uuid"], "pick": 1}])
    await equal()
    path = f"{place}{question['uuid']}/"
    done(await school.teacher.client.patch(path, json={"points": 5}))
    await equal()
    done(await school.teacher.client.patch(f"/api/quizzes/{quiz['uuid']}/", json={"title": "Again"}))
    await equal()
    work = await school.assignment(course, points=1.25)
    await equal()
    done(await school.teacher.client.patch(f"/api/assignments/{work['uuid']}/", json={"extra_credit": True}))
    await equal()
    own = done(await school.teacher.client.get(f"/api/quizzes/{quiz['uuid']}/"))["questions"][0]["uuid"]
    done(await school.teacher.client.delete(f"/api/quizzes/{quiz['uuid']}/questions/{own}/"))
    await equal()
    done(await school.teacher.client.delete(f"/api/quizzes/{quiz['uuid']}/"))
    done(await school.teacher.client.delete(f"/api/assignments/{work['uuid']}/"))
    await equal()


@pytest.mark.parametrize(
    "wrong",
    ["yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\x00"],
)
async def test_a_moment_that_is_none_is_refused(school: School, wrong: str) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    for client, path in (
        (school.teacher.client, "gradebook/"),
        (school.teacher.client, "gradebook/export/"),
        (ada.client, "grades/me/"),
        (ada.client, f"grades/{ada.uuid}/explain/"),
    ):
        refused(await client.get(url(course, path), params={"as_of": wrong}), 400, "invalid_filter")


async def test_a_moment_to_come_or_none_is_now(school: School) -> None:
    course = await school.course()
    for moment in ("", (school.clock() + timedelta(days=400)).isoformat()):
        grades = done(await school.teacher.client.get(url(course), params={"as_of": moment}))
        assert grades["as_of"] is None


async def test_grades_that_stay_answer_304(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    await school.assignment(course)
    explained = f"grades/{ada.uuid}/explain/"
    reads = [(school.teacher, url(course)), (ada, url(course, "grades/me/")), (ada, url(course, explained))]
    reads += [(ada, "/api/learning/streak/"), (ada, "/api/learning/summary/")]
    for person, path in reads:
        tag = (await person.client.get(path)).headers["etag"]
        school.clock.advance(seconds=1)
        assert (await person.client.get(path, headers={"If-None-Match": tag})).status_code == 304, path
    await school.assignment(course)
    for person, path in reads[:2]:
        assert (await person.client.get(path, headers={"If-None-Match": tag})).status_code == 200


async def test_a_grade_is_explained_down_to_the_version_of_its_policy(school: School) -> None:
    course = await school.course()
    ada = await school.enrolled(course)
    for letters in ([], [{"letter": "A", "from": 90}]):
        await save(school, course, {"letters": letters})
    tree = done(await ada.client.get(url(course, f"grades/{ada.uuid}/explain/")))
    assert tree["rule"].endswith("version 2 of the policy")
    async with school.harness.db.session() as session:
        query = text("SELECT id FROM outbox WHERE type LIKE 'learning.grading_policy%' AND key_seq = 2")
        assert tree["source"]["event_id"] == str(await session.scalar(query))


async def test_a_policy_places_only_items_of_its_course(school: School) -> None:
    course, other = await school.course(), await school.course()
    mine, theirs = await school.assignment(course), await school.assignment(other)
    done(await school.teacher.client.delete(f"/api/assignments/{mine['uuid']}/"))
    path = url(course, "grading-policy/")
    group = {"name": "All", "weight": 1}
    done(await school.teacher.client.put(path, json={"groups": [{**group, "items": [mine["uuid"]]}]}))
    for body in ({"groups": [{**group, "items": [theirs["uuid"]]}]}, {"extra_credit": [theirs["uuid"]]}):
        for query in ({}, {"dry_run": "true"}):
            refused(await school.teacher.client.put(path, json=body, params=query), 422, "invalid_input")
    draft = await school.course(status="draft")
    refused(await (await school.person("Eve")).client.get(url(draft, "grades/me/")), 404, "not_found")
