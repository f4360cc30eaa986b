"""Tasks: started after the commit, by a broker that may be away, run in one event loop per process."""

import asyncio
from uuid import uuid4

import pytest
from celery.contrib.testing.worker import start_worker
from sqlalchemy import text

from libs.common.data.db import Database, enqueue
from libs.common.data.jobs import CeleryQueue, Tasks, celery_app
from libs.common.runtime import failpoints
from libs.common.runtime.settings import SuiteSettings
from libs.common.runtime.trace import current_trace, new_trace, tracing
from libs.common.testing.harness import Harness, eventually
from libs.common.tests import toy


async def noted(harness: Harness) -> int:
    async with harness.db.sessions() as session:
        return int(await session.scalar(text("SELECT count(*) FROM seen WHERE kind = 'task'")) or 0)


async def test_a_started_task_runs_with_the_trace_of_its_request(toy_service: Harness):
    seen: list[str] = []
    tasks = Tasks("toy", lambda: toy_service.settings)

    @tasks.task()
    async def note_counter(run, uuid: str) -> None:
        seen.append(current_trace().request_id)
        await toy.note_counter(run, uuid)

    app = celery_app(toy_service.settings, tasks)
    queue = CeleryQueue(toy_service.settings)
    with start_worker(app, pool="threads", concurrency=1, perform_ping_check=False, queues=["toy"]):
        with tracing(new_trace("story-9")) as trace:
            await queue.enqueue("toy.note_counter", [str(uuid4())], trace)
        await eventually(lambda: noted(toy_service))
    assert seen == ["story-9"]


async def test_a_rolled_back_transaction_starts_nothing(toy_service: Harness):
    async def fail() -> None:
        async with toy_service.db.session() as session:
            enqueue(session, "toy.note_counter", "x")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await fail()
    assert toy_service.queue.started == []


async def test_a_broker_that_is_away_fails_no_write(toy_service: Harness):
    db = Database(toy_service.settings, CeleryQueue(SuiteSettings(broker_url="redis://127.0.0.1:9/0")))
    try:
        async with asyncio.timeout(20), db.session() as session:
            enqueue(session, "toy.note_counter", str(uuid4()))
            await session.execute(
                text("INSERT INTO seen (key, kind, value) VALUES (gen_random_uuid(), 'w', 0)")
            )
    finally:
        await db.close()
    async with toy_service.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM seen WHERE kind = 'w'")) == 1


def test_sweeps_are_scheduled_on_the_queue_of_their_service(toy_service: Harness):
    tasks = Tasks("toy", lambda: toy_service.settings)

    @tasks.task(every=30)
    async def sweep_all(run) -> None: ...

    schedule = celery_app(toy_service.settings, tasks).conf.beat_schedule["toy.sweep_all"]
    assert (schedule["schedule"], schedule["options"]["queue"]) == (30, "toy")


def test_failpoints_fire_at_the_visit_they_name():
    failpoints.arm("toy.point=raise@2")
    try:
        failpoints.failpoint("toy.other")
        failpoints.failpoint("toy.point")
        with pytest.raises(failpoints.InjectedFault):
            failpoints.failpoint("toy.point")
        failpoints.failpoint("toy.point")
        with pytest.raises(ValueError, match="not one of"):
            failpoints.arm("toy.point=explode")
    finally:
        failpoints.arm("")
