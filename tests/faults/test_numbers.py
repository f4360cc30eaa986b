"""The worker is killed at every step of an export and of a report: each ends once, right, mailed once."""

import csv
import hashlib
import io
from typing import Any

import httpx
import pytest

from libs.common.data.jobs import CeleryQueue
from libs.common.runtime.trace import new_trace
from libs.common.testing.harness import eventually
from services.analytics.settings import Settings
from tests.faults.test_work import lesson_of
from tests.faults.world import World
from tests.support import Json, Visitor

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

QUERY = {"measures": ["courses.count", "enrollments.count"], "dimensions": ["courses.title"]}
STEPS = ("opened", "written", "stored")


async def taken_up(world: World, table: str, uuid: str, task: str) -> None:
    """What beat's sweep does half a minute later, once the lease of the killed writer is over."""
    world.rows(
        "analytics",
        f"UPDATE {table} SET tried_at = tried_at - interval '2 minutes' WHERE uuid::text = %s RETURNING 1",
        uuid,
    )
    with world._environment():
        await CeleryQueue(Settings()).enqueue(task, [uuid], new_trace())


async def killed_at(world: World, point: str, ask: Any) -> Json:
    """Arm a real worker, ask for work, see the worker die of it, and start one that lives."""
    await world.restart("worker", f"{point}=kill@1")
    worker = world.process("worker")
    before = int(worker.status()["restarts"])
    asked: Json = await ask()
    await eventually(lambda: int(worker.status()["restarts"]) > before, 60)
    await world.restart("worker")
    return asked


async def ended(teacher: Visitor, job: str) -> Json:
    async def done() -> Json | None:
        found: Json = await teacher.get(f"/api/jobs/analytics/{job}/")
        return found if found["status"] not in ("queued", "running") else None

    found: Json = await eventually(done, 60, interval=0.2)
    assert found["status"] == "done", found
    return found


def objects(world: World, folder: str, uuid: str) -> list[str]:
    place = world.project.directory / "storage" / "analytics" / folder / uuid
    return sorted(path.name for path in place.iterdir())


async def fetched(url: str) -> bytes:
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_a_worker_killed_at_every_step_writes_and_mails_once(world: World) -> None:
    teacher = await world.stage.join("nora", "teacher")
    await lesson_of(teacher, "Numbers under fire")
    path = "/api/analytics/query/"
    wanted = await eventually(lambda: _answer(teacher, path), 30)
    for step in STEPS:
        body = {"query": QUERY, "format": "csv"}
        asked = await killed_at(
            world, f"export.{step}", lambda body=body: teacher.post("/api/analytics/exports/", body, 202)
        )
        await taken_up(world, "exports", asked["uuid"], "analytics.write_export")
        job = await ended(teacher, asked["uuid"])
        content = await fetched(job["result_url"])
        assert hashlib.sha256(content).hexdigest() == job["manifest"]["sha256"]
        assert _rows(content) == wanted
        assert len(objects(world, "exports", asked["uuid"])) == 1
    runs = []
    for step in (*STEPS, "done"):
        body = {"name": f"Killed at {step}", "query": QUERY, "format": "csv", "recipients": [teacher.uuid]}
        report = await _made(teacher, body)
        start = f"/api/analytics/reports/{report['uuid']}/runs/"
        asked = await killed_at(world, f"report.{step}", lambda start=start: teacher.post(start, status=202))
        await taken_up(world, "report_runs", asked["uuid"], "analytics.write_report")
        job = await ended(teacher, asked["uuid"])
        assert _rows(await fetched(job["result_url"])) == wanted
        assert [each["outcome"] for each in job["recipients"]] == ["mailed"]
        assert len(objects(world, "reports", asked["uuid"])) == 1
        mails = await eventually(lambda body=body: _mails(world, teacher, body["name"]), 60)
        assert len(mails) == 1
        runs.append(asked["uuid"])
    await world.healed()
    for step in (*STEPS, "done"):
        assert len(await _mails(world, teacher, f"Killed at {step}")) == 1
    written = [key for key, _, _, headers in await world.log("analytics.events")]
    assert sorted(written) == sorted(runs)


def _rows(content: bytes) -> list[Json]:
    rows = csv.DictReader(io.StringIO(content.decode()))
    return [{name: None if value == "" else value for name, value in row.items()} for row in rows]


async def _answer(teacher: Visitor, path: str) -> list[Json] | None:
    """The query's own answer, as a CSV file has it, once analytics has heard of the course."""
    data = (await teacher.post(path, QUERY))["data"]
    texts = [{n: None if v is None else str(v) for n, v in row.items()} for row in data]
    return texts or None


async def _made(teacher: Visitor, body: Json) -> Json:
    async def made() -> Json | None:
        answer = await teacher.raw("POST", "/api/analytics/reports/", json=body)
        assert answer.status_code in (201, 503), answer.text
        return answer.json() if answer.status_code == 201 else None

    found: Json = await eventually(made)
    return found


async def _mails(world: World, teacher: Visitor, subject: str) -> list[Json]:
    return [mail for mail in await world.stage.mails(teacher.email) if mail["subject"] == subject]
