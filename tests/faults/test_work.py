"""People's work while its service is killed: a class in a quiz, a file on its way up."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from libs.common.testing.harness import eventually
from services.learning.tests.quizzing import EVERY_KIND, RIGHT, in_uuids
from tests.faults.world import World
from tests.support import Json, Visitor

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

LEARNERS = 6


async def until_done(call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """The first answer that is a success; what a service that is away answers is 503, or nothing."""

    async def tried() -> httpx.Response | None:
        try:
            answer = await call()
        except httpx.HTTPError:
            return None
        assert answer.is_success or answer.status_code == 503, answer.text
        return answer if answer.is_success else None

    found: httpx.Response = await eventually(tried, 60, interval=0.1)
    return found


async def lesson_of(teacher: Visitor, title: str) -> tuple[str, str]:
    """A published course of one lesson: both uuids."""
    text = "A course that is long enough to say what it is about, and no more."
    course = await teacher.post("/api/courses/", {"title": title, "description": text}, 201)
    module = await teacher.post("/api/modules/", {"course": course["uuid"], "title": "One"}, 201)
    body = {"module": module["uuid"], "title": "First", "content_type": "text", "text_content": "Read."}
    lesson = await teacher.post(f"/api/courses/{course['uuid']}/lessons/", body, 201)
    await teacher.post(f"/api/courses/{course['uuid']}/publish/")
    return course["uuid"], lesson["uuid"]


async def test_a_class_loses_nothing_while_learning_is_killed_again_and_again(world: World) -> None:
    """Saves and hand-ins that were answered are there; everybody has one result, of what they saved last."""
    teacher = await world.stage.join("tess", "teacher")
    course, lesson = await lesson_of(teacher, "A class under fire")
    body = {"course": course, "title": "Under fire", "shuffle_questions": True}

    async def made() -> Json | None:
        answer = await teacher.raw("POST", "/api/quizzes/", json=body)
        return answer.json() if answer.is_success else None

    quiz = await eventually(made)
    for question in EVERY_KIND[:-1]:  # an essay would wait for a teacher
        await teacher.post(f"/api/quizzes/{quiz['uuid']}/questions/", question, 201)
    await teacher.post(f"/api/quizzes/{quiz['uuid']}/publish/")
    learners = [await world.stage.join(f"learner{number}") for number in range(LEARNERS)]
    kept: dict[str, dict[str, Any]] = {}
    attempts: dict[str, Json] = {}
    over = asyncio.Event()

    async def learn(who: Visitor) -> Json:
        await until_done(lambda: who.raw("POST", f"/api/courses/{course}/enroll/", json={}))
        begun = await until_done(lambda: who.raw("POST", f"/api/quizzes/{quiz['uuid']}/attempts/"))
        attempt = attempts[who.uuid] = begun.json()
        saved = kept[who.uuid] = {}
        questions = list(attempt["questions"])
        while not over.is_set() or len(saved) < len(questions):
            question = world.random.choice(questions)
            answer = in_uuids(question, RIGHT[question["text"]])
            path = f"/api/attempts/{attempt['uuid']}/answers/{question['uuid']}/"
            await until_done(lambda path=path, answer=answer: who.raw("PUT", path, json={"answer": answer}))
            saved[question["uuid"]] = answer
        done = await until_done(lambda: who.raw("POST", f"/api/attempts/{attempt['uuid']}/submit/"))
        await until_done(lambda: who.raw("POST", f"/api/courses/{course}/lessons/{lesson}/complete/"))
        result: Json = done.json()
        return result

    working = [asyncio.create_task(learn(who)) for who in learners]
    learning = world.process("learning")
    for _ in range(3):
        count = sum(len(saved) for saved in kept.values())
        await eventually(lambda count=count: sum(map(len, kept.values())) > count or over.is_set(), 60)
        await asyncio.to_thread(learning.kill)
        await asyncio.to_thread(learning.wait_ready)
    over.set()
    results = await asyncio.gather(*working)
    await world.healed()
    assert [result["percentage"] for result in results] == [100.0] * LEARNERS
    rows = world.rows(
        "learning",
        "SELECT a.student::text, a.status, q.question::text, q.answer FROM attempts a"
        " JOIN attempt_questions q ON q.attempt = a.uuid WHERE a.quiz::text = %s",
        quiz["uuid"],
    )
    assert len(rows) == LEARNERS * (len(EVERY_KIND) - 1), "somebody has two attempts, or none"
    for student, status, question, answer in rows:
        assert (status, answer) == ("graded", kept[student][question])
    facts = [message for message in await world.log("learning.events") if message[0] in _uuids(attempts)]
    kinds = sorted((headers["ce_type"].decode(), key) for key, _, _, headers in facts)
    assert len({*kinds}) == 3 * LEARNERS  # started, submitted, graded, each once
    certificates = world.rows(
        "learning",
        "SELECT count(*), count(DISTINCT student) FROM certificates WHERE course::text = %s",
        course,
    )
    assert certificates == [(LEARNERS, LEARNERS)]


def _uuids(attempts: dict[str, Json]) -> set[str]:
    return {attempt["uuid"] for attempt in attempts.values()}


async def test_an_upload_goes_on_where_it_was_when_its_service_was_killed(world: World) -> None:
    """Killed in the middle of a part: what was acknowledged stays, the client asks where to go on."""
    teacher = await world.stage.join("uma", "teacher")
    content = b"A line of text that is long enough.\n" * 60_000
    body = {"name": "notes.txt", "length": len(content)}
    upload = await teacher.post("/api/core/media/uploads/", body, 201)
    path = f"/api/core/media/uploads/{upload['uuid']}/"
    catalog = world.process("catalog")

    async def offset() -> int:
        return int((await until_done(lambda: teacher.raw("GET", path))).json()["offset"])

    async def broken(start: int, begun: asyncio.Event, dead: asyncio.Event) -> AsyncIterator[bytes]:
        """A part in whose middle the service dies."""
        yield content[start : start + 100_000]
        begun.set()
        await dead.wait()
        yield content[start + 100_000 :]

    acknowledged = 0
    for size in (500_000, 700_000):
        assert await offset() == acknowledged
        part = content[acknowledged : acknowledged + size]
        headers = {"Upload-Offset": str(acknowledged)}
        acknowledged = (await teacher.call("PATCH", path, content=part, headers=headers))["offset"]
        headers = {"Upload-Offset": str(acknowledged), "Content-Length": str(len(content) - acknowledged)}
        begun, dead = asyncio.Event(), asyncio.Event()
        half = broken(acknowledged, begun, dead)
        sending = asyncio.create_task(teacher.raw("PATCH", path, content=half, headers=headers))
        await begun.wait()
        await asyncio.to_thread(catalog.kill)
        dead.set()
        with contextlib.suppress(httpx.HTTPError):  # cut off is as good as refused
            assert (await sending).status_code >= 500
    assert await offset() == acknowledged, "what was acknowledged is gone, or what was not counts"
    headers = {"Upload-Offset": str(acknowledged)}
    await teacher.call("PATCH", path, content=content[acknowledged:], headers=headers)
    made = await teacher.post(f"{path}finish/", status=201)
    link = await teacher.get(f"/api/core/media/{made['uuid']}/download/?redirect=false")
    async with httpx.AsyncClient() as client:
        got = (await client.get(link["url"])).content
    assert hashlib.sha256(got).digest() == hashlib.sha256(content).digest()
    await world.healed()
