"""What is right in a quiz is planted as canaries, and looked for in all that the running suite lets out.

Every GET of the merged OpenAPI document as the learner, what they write, a socket that stays open meanwhile,
the whole log, the caches, and what the other services keep.
"""

import asyncio
import json
import re
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from redis.asyncio import Redis

from deploy.local.database import service_url
from deploy.local.project import Project
from gateway.documents import OPENAPI
from libs.common.events.topics import TOPICS
from libs.common.runtime.settings import SERVICES
from libs.common.testing.harness import eventually
from services.learning.tests.quizzing import EVERY_KIND, in_uuids
from tests.security import world as things
from tests.security.world import World
from tests.support import Json, Visitor, read_log

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CANARIES = (b"canary-", b"7319.25")
NEVER = dict.fromkeys(("score", "correctness", "answers"), "never")


async def planted(world: World) -> Json:
    """A quiz of every kind of question, whose policy never shows anything; what there is besides, by name."""
    place = await things.seat(world)
    body = {"course": place["uuid"], "title": "Canaries", "feedback": NEVER, "kind": "graded"}
    quiz = await things.until(world.owner, "POST", "/api/quizzes/", json=body)
    for question in EVERY_KIND:
        await world.owner.post(f"/api/quizzes/{quiz['uuid']}/questions/", question, 201)
    bank = await world.owner.post("/api/question-banks/", {"course": place["uuid"], "title": "Bank"}, 201)
    hidden = {"kind": "short_answer", "text": "From the bank?", "accepted": ["canary-bank"]}
    await world.owner.post(f"/api/question-banks/{bank['uuid']}/questions/", hidden, 201)
    pools = {"pools": [{"bank": bank["uuid"], "pick": 1}]}
    await world.owner.call("PATCH", f"/api/quizzes/{quiz['uuid']}/", json=pools)
    whole = await world.owner.post(f"/api/quizzes/{quiz['uuid']}/publish/")
    return {
        "courses": place["uuid"], "lessons": place["lesson"], "modules": place["module"],
        "quizzes": quiz["uuid"],
        "questions": whole["questions"][0]["uuid"], "question-banks": bank["uuid"],
        "users": world.member.uuid, "grades": world.member.uuid, "extensions": world.member.uuid,
        "enrollments": place["enrollment"], "forums": place["forum"],
    }  # fmt: skip


class Learner:
    """Keeps every byte that they get."""

    def __init__(self, who: Visitor) -> None:
        self.who = who
        self.seen: list[tuple[str, bytes]] = []

    async def call(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.who.raw(method, path, **options)
        head = json.dumps(dict(answer.headers)).encode()
        self.seen.append((f"{method} {path} {answer.status_code}", head + answer.content))
        return answer

    async def read_everything(self, ids: Json) -> None:
        """Every GET that there is, with what it can be asked about; and again with a tag."""
        for path, methods in json.loads(OPENAPI.read_text())["paths"].items():
            if "get" in methods:
                filled = re.sub(r"([\w-]+)/\{\w+\}", lambda m: f"{m[1]}/{ids.get(m[1], uuid4())}", path)
                answer = await self.call("GET", filled)
                if "etag" in answer.headers:
                    await self.call("GET", filled, headers={"If-None-Match": answer.headers["etag"]})

    async def write_everything(self, ids: Json, attempt: Json) -> None:
        """What a learner may write, and what they should not get through."""
        place, quiz = f"/api/attempts/{attempt['uuid']}/", f"/api/quizzes/{ids['quizzes']}/"
        for question in attempt["questions"]:
            for wrong in ("x" * 60_000, [str(uuid4())], {"a": "b"}, 10**40):
                body = {"answer": wrong}
                await self.call("PUT", f"{place}answers/{question['uuid']}/", json=body)
        regrade = {"question": ids["questions"], "mode": "new_only", "dry_run": True}
        for method, path, json_body in (
            ("PATCH", quiz, {"title": "x"}), ("POST", f"{quiz}regrade/", regrade),
            ("PATCH", f"{quiz}questions/{ids['questions']}/", {"points": 1}),
            ("PATCH", f"{place}grade/", {"question": ids["questions"], "points": 1}),
            ("POST", f"{quiz}attempts/", None), ("POST", "/api/accounts/users/me/export/", None),
        ):  # fmt: skip
            await self.call(method, path, json=json_body)

    def leaks(self) -> set[str]:
        return {what for what, content in self.seen if any(canary in content for canary in CANARIES)}


@pytest.mark.promise("quiz answers")
async def test_nothing_that_leaves_the_suite_tells_what_is_right(world: World) -> None:
    ids = await planted(world)
    learner = Learner(world.member)
    project = world.stage.project
    async with world.member.socket("/ws/notifications/") as socket:
        begun = await learner.call("POST", f"/api/quizzes/{ids['quizzes']}/attempts/")
        attempt = begun.json()
        ids["attempts"] = ids["answers"] = attempt["uuid"]
        await learner.read_everything(ids)
        await learner.write_everything(ids, attempt)
        for question in attempt["questions"]:
            if question["kind"] == "essay":
                path = f"/api/attempts/{attempt['uuid']}/answers/{question['uuid']}/"
                await learner.call("PUT", path, json={"answer": "Colour it by depth."})
                essay = question["uuid"]
            if question["kind"] == "multiple_choice":
                path = f"/api/attempts/{attempt['uuid']}/answers/{question['uuid']}/"
                await learner.call("PUT", path, json={"answer": in_uuids(question, ["a triangle"])})
        for _ in range(2):
            await learner.call("POST", f"/api/attempts/{attempt['uuid']}/submit/")
        grade = {"question": essay, "points": 2, "comment": "canary-comment"}
        await world.owner.call("PATCH", f"/api/attempts/{attempt['uuid']}/grade/", json=grade)
        place = f"/api/courses/{ids['courses']}/"
        await world.member.post(f"{place}lessons/{ids['lessons']}/complete/")
        frame = await socket.next(lambda f: f["type"] == "notification", 30)

        async def certified() -> Json | None:
            rows = (await world.member.get(f"/api/certificates/?course={ids['courses']}"))["results"]
            return rows[0] if rows and rows[0]["pdf_file"] else None

        certificate = await eventually(certified, 60)
        ids["certificates"] = certificate["uuid"]
        await learner.read_everything(ids)
        frames = json.dumps([frame, *socket.seen]).encode()
    assert len(learner.seen) > 200
    assert learner.leaks() == set()
    assert certificate["final_score"] is None
    assert not any(canary in frames for canary in CANARIES)
    log = await messages(project)
    assert any(attempt["uuid"].encode() in message for message in log)
    assert [message for message in log if any(canary in message for canary in CANARIES)] == []
    assert await cached(project) == []
    assert set(await asyncio.to_thread(stored, project)) == {"learning"}, (
        "another service knows what is right"
    )


async def messages(project: Project) -> list[bytes]:
    """Keys, headers and values of everything in Kafka."""
    found = []
    for topic in TOPICS:
        for message in await read_log(project, topic.name):
            found.append(repr((message.key, message.headers)).encode() + (message.value or b""))
    return found


async def cached(project: Project) -> list[bytes]:
    """Keys of Valkey in whose values a canary is."""
    leaks = []
    for database in range(4):
        valkey = Redis.from_url(f"{project.valkey_url}/{database}")
        async for key in valkey.scan_iter(count=1000):
            dump = bytes(key) + (await valkey.dump(key) or b"")
            if any(canary in dump for canary in CANARIES):
                leaks.append(bytes(key))
        await valkey.aclose()
    return leaks


def stored(project: Project) -> list[str]:
    """Services in whose tables a canary is."""
    found = []
    for service in SERVICES:
        with psycopg.connect(service_url(project.postgres_url, service)) as connection:
            tables = connection.execute(
                "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM"
                " information_schema.tables WHERE table_schema LIKE %s AND table_type = 'BASE TABLE'"
                " AND has_table_privilege(table_schema || '.' || quote_ident(table_name), 'SELECT')",
                [f"{service}%"],
            ).fetchall()
            for (table,) in tables:
                query = f"SELECT EXISTS (SELECT FROM {table} t WHERE t::text ~ 'canary-|7319[.]25')"
                row = connection.execute(query).fetchone()  # type: ignore[arg-type]
                if row is not None and row[0]:
                    found.append(service)
    return found
