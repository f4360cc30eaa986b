"""Hot paths answer as the routes behind them do, and nobody waits for what somebody else has locked.

An `Idempotency-Key` takes a request the ordinary way, so each case is asked both ways.
"""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from libs.common.testing.harness import Person, eventually
from services.learning.tests.conftest import TRUTH, School, done
from services.learning.tests.quizzing import EVERY_KIND, RIGHT, in_uuids, save, start

VARYING = frozenset({"uuid", "student", "student_name", "started_at", "deadline", "submitted_at", "saved_at"})


def shape(answer: httpx.Response) -> tuple[Any, ...]:
    """Status, headers by name, and the body without what differs from person to person."""
    body = answer.json()
    for name in VARYING & set(body):
        body[name] = None
    body.pop("request_id", None)
    names = {name for name in answer.headers if name not in ("content-length", "idempotency-replayed")}
    return answer.status_code, answer.headers["content-type"], names, body


async def both_ways(
    one: Person, other: Person, method: str, url: str, **more: Any
) -> tuple[httpx.Response, httpx.Response]:
    """The same call of two people who stand alike: past the framework, and through it."""
    hot = await one.client.request(method, url, **more)
    headers = {"Idempotency-Key": str(uuid4())}
    ordinary = await other.client.request(method, url, headers=headers, **more)
    return hot, ordinary


async def pair(school: School, course: UUID) -> tuple[Person, Person]:
    return await school.enrolled(course, "One"), await school.enrolled(course, "Other")


async def test_lessons_are_completed_alike(school: School) -> None:
    lessons = [uuid4(), uuid4(), uuid4()]
    course = await school.course(*lessons)
    await school.quiz(course, TRUTH, lesson=str(lessons[2]))
    stranger, visitor = await school.person("Stranger"), await school.person("Visitor")
    one, other = await pair(school, course)
    for lesson in (lessons[0], lessons[0], lessons[1], lessons[2], uuid4()):
        hot, ordinary = await both_ways(
            one, other, "POST", f"/api/courses/{course}/lessons/{lesson}/complete/"
        )
        assert shape(hot) == shape(ordinary)
    url = f"/api/courses/{course}/lessons/{lessons[0]}/complete/"
    for wrong in (url, f"/api/courses/{uuid4()}/lessons/{lessons[0]}/complete/", url.upper(), f"{url}x"):
        hot, ordinary = await both_ways(stranger, visitor, "POST", wrong)
        assert hot.status_code >= 400
        assert shape(hot) == shape(ordinary)


async def test_the_last_lesson_completes_the_course_alike(school: School) -> None:
    course = await school.course()
    one, other = await pair(school, course)
    for lesson in school.lessons(course):
        hot, ordinary = await both_ways(
            one, other, "POST", f"/api/courses/{course}/lessons/{lesson}/complete/"
        )
        assert shape(hot) == shape(ordinary)
    assert hot.json() == {"progress_percentage": 100, "course_completed": True}


async def test_attempts_go_alike_from_start_to_result(school: School) -> None:
    course = await school.course()
    one, other = await pair(school, course)
    quiz = await school.quiz(course, *EVERY_KIND, shuffle_answers=False, time_limit_seconds=600)
    place = f"/api/quizzes/{quiz['uuid']}/attempts/"
    hot, ordinary = await both_ways(one, other, "POST", place)
    first, second = hot.json(), ordinary.json()
    assert (hot.status_code, ordinary.status_code) == (201, 201)
    assert [q["text"] for q in first["questions"]] == [q["text"] for q in second["questions"]]
    assert [set(q) for q in first["questions"]] == [set(q) for q in second["questions"]]
    again, afresh = await both_ways(one, other, "POST", place)
    assert (again.status_code, afresh.status_code) == (200, 200)
    key = {"Idempotency-Key": str(uuid4())}
    for mine, theirs in zip(first["questions"], second["questions"], strict=True):
        for right in (True, False):
            answers = [in_uuids(q, RIGHT[q["text"]]) if right else {"x": 1} for q in (mine, theirs)]
            urls = [f"/api/attempts/{a['uuid']}/answers/{mine['uuid']}/" for a in (first, second)]
            hot = await one.client.put(urls[0], json={"answer": answers[0]})
            key = {"Idempotency-Key": str(uuid4())}
            ordinary = await other.client.put(urls[1], json={"answer": answers[1]}, headers=key)
            assert hot.status_code == ordinary.status_code == (200 if right else 422)
            bodies = shape(hot)[3], shape(ordinary)[3]
            if right:
                assert hot.json()["answer"] == answers[0]
            assert set(hot.headers) == set(ordinary.headers) - {"idempotency-replayed"}
            told = [{n: v for n, v in a.items() if n not in ("answer", "question")} for a in bodies]
            assert told[0] == told[1]
    handed = [
        done(await who.client.post(f"/api/attempts/{a['uuid']}/submit/", headers=headers))
        for who, a, headers in ((one, first, {}), (other, second, {"Idempotency-Key": str(uuid4())}))
    ]
    assert handed[0]["status"] == handed[1]["status"] == "submitted"  # the essay waits
    assert [q["score"] for q in handed[0]["questions"]] == [q["score"] for q in handed[1]["questions"]]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"answer": true, "more": 1}', "application/json"),
        (b'{"answer": NaN}', "application/json"),
        (b'{"answer": "\\ud800"}', "application/json"),
        (b'{"answer": "\\u0000"}', "application/json"),
        (b'{"answer": ' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json"),
        (b'{"answer": "' + b"x" * 70_000 + b'"}', "application/json"),
        (b'{"answer": true}', "text/plain"),
        (b"answer=true", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/json"),
    ],
)
async def test_a_bad_answer_is_refused_alike(school: School, content: bytes, kind: str) -> None:
    course = await school.course()
    one, other = await pair(school, course)
    quiz = await school.quiz(course, TRUTH)
    places = [await start(who, quiz) for who in (one, other)]
    urls = [f"/api/attempts/{a['uuid']}/answers/{a['questions'][0]['uuid']}/" for a in places]
    headers = {"Content-Type": kind}
    hot = await one.client.put(urls[0], content=content, headers=headers)
    headers["Idempotency-Key"] = str(uuid4())
    ordinary = await other.client.put(urls[1], content=content, headers=headers)
    assert hot.status_code in (400, 422)
    assert shape(hot) == shape(ordinary)
    assert done(await one.client.get(f"/api/attempts/{places[0]['uuid']}/"))["answers"] == {}


async def test_refusals_of_attempts_are_alike(school: School) -> None:
    course = await school.course()
    one, other = await pair(school, course)
    stranger, visitor = await school.person("Stranger"), await school.person("Visitor")
    quiz = await school.quiz(course, TRUTH, attempts_allowed=1, time_limit_seconds=60)
    mine, theirs = await start(one, quiz), await start(other, quiz)
    for people in ((stranger, visitor), (other, one)):
        hot, ordinary = await both_ways(*people, "POST", f"/api/attempts/{uuid4()}/submit/")
        assert shape(hot) == shape(ordinary)
    hot, ordinary = await both_ways(stranger, visitor, "POST", f"/api/quizzes/{quiz['uuid']}/attempts/")
    assert shape(hot) == shape(ordinary)
    school.clock.advance(seconds=66)
    for who, attempt, headers in ((one, mine, {}), (other, theirs, {"Idempotency-Key": "late"})):
        url = f"/api/attempts/{attempt['uuid']}/answers/{attempt['questions'][0]['uuid']}/"
        late = await who.client.put(url, json={"answer": True}, headers=headers)
        assert (late.status_code, late.json()["code"]) == (409, "attempt_closed")
        done(await who.client.post(f"/api/attempts/{attempt['uuid']}/submit/", headers=headers))
    hot, ordinary = await both_ways(one, other, "POST", f"/api/quizzes/{quiz['uuid']}/attempts/")
    assert (hot.status_code, hot.json()["code"]) == (409, "no_attempts_left")
    assert shape(hot) == shape(ordinary)


async def test_nobody_waits_for_a_seat_that_somebody_else_has_locked(school: School) -> None:
    course = await school.course(*[uuid4() for _ in range(3)])
    quiz = await school.quiz(course, TRUTH)
    people = [await school.enrolled(course, f"Student {number}") for number in range(4)]
    attempts = [await start(who, quiz) for who in people]
    lesson = school.lessons(course)[0]
    blocked, *free = people

    async def everything(who: Person, attempt: dict[str, Any]) -> None:
        await school.complete(who, course, lesson)
        done(await save(who, attempt, attempt["questions"][0], True))
        done(await who.client.post(f"/api/attempts/{attempt['uuid']}/submit/"))

    async with school.harness.db.session() as session:
        await session.execute(
            text("SELECT 1 FROM enrollments WHERE student = :s FOR UPDATE"), {"s": blocked.uuid}
        )
        await session.execute(
            text("SELECT 1 FROM attempts WHERE student = :s FOR UPDATE"), {"s": blocked.uuid}
        )
        waiting = asyncio.ensure_future(everything(blocked, attempts[0]))
        await asyncio.gather(*(everything(*who) for who in zip(free, attempts[1:], strict=True)))
        assert not waiting.done()
    await waiting


async def test_two_lessons_of_one_learner_at_once_are_two_versions(school: School) -> None:
    lessons = [uuid4() for _ in range(8)]
    course = await school.course(*lessons)
    student = await school.enrolled(course)
    answers = await asyncio.gather(
        *(school.complete(student, course, lesson) for lesson in (*lessons[:7], *lessons[:7]))
    )
    assert max(answer["progress_percentage"] for answer in answers) == 87.5
    published = await school.published()
    facts = [(key, seq) for kind, key, seq in published if kind == "learning.lesson_completed.v1"]
    assert [seq for _, seq in facts] == list(range(2, 9))
    shown = done(await student.client.get("/api/enrollments/"))["results"][0]
    assert shown["progress"] == 87.5


async def test_each_request_of_a_group_keeps_its_own_trace(school: School) -> None:
    course = await school.course(*[uuid4() for _ in range(3)])
    people = [await school.enrolled(course, f"Student {number}") for number in range(5)]
    lesson = school.lessons(course)[0]
    url = f"/api/courses/{course}/lessons/{lesson}/complete/"
    answers = await asyncio.gather(
        *(
            who.client.post(url, headers={"X-Request-ID": f"request-{number}"})
            for number, who in enumerate(people)
        )
    )
    assert [answer.headers["x-request-id"] for answer in answers] == [f"request-{n}" for n in range(5)]

    async def traced() -> bool:
        async with school.harness.db.session() as session:
            rows = await session.execute(
                text(
                    "SELECT headers->>'x-request-id', convert_from(payload, 'UTF8')::json->>'student'"
                    " FROM outbox WHERE type = 'learning.lesson_completed.v1'"
                )
            )
            return {(request, student) for request, student in rows} == {
                (f"request-{number}", str(who.uuid)) for number, who in enumerate(people)
            }

    await eventually(traced)
