"""Real processes are killed, stopped and cut off while writes go on; afterwards the invariants hold."""

import asyncio
import re
import signal
from uuid import UUID

import httpx
import pytest
from redis.asyncio import Redis

from libs.common.testing.harness import eventually
from tests.conftest import run_module
from tests.faults.world import World
from tests.poison import Poison

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


async def test_relays_killed_at_each_step_lose_and_reorder_nothing(world: World):
    """Three relays on one outbox, each killed again and again: after the send, the ack, the delete."""
    names = ["support", "support-worker-2", "support-worker-3"]
    for name in names[1:]:
        await asyncio.to_thread(world.process(name).start, wait=False)
    for step in ("after_send", "after_ack", "after_delete"):
        point = f"relay.{step}=kill@{world.random.randint(2, 9)}"
        await asyncio.gather(*(world.restart(name, point, wait=False) for name in names))
        await asyncio.gather(*(asyncio.to_thread(world.process(name).wait_ready) for name in names))
        before = sum(_restarts(world, name) for name in names)
        async with world.writing():
            await eventually(lambda before=before: sum(_restarts(world, name) for name in names) > before, 60)
    for name in names[1:]:
        await asyncio.to_thread(world.process(name).stop)
    await world.restart("support")
    await world.healed()


def _restarts(world: World, name: str) -> int:
    return int(world.process(name).status()["restarts"])


async def test_consumers_killed_around_their_commit_apply_once(world: World):
    names = ("analytics", "notify")
    for step in ("before_commit", "after_commit"):
        point = f"consumer.{step}=kill@{world.random.randint(3, 8)}"
        await asyncio.gather(*(world.restart(name, point) for name in names))
        before = sum(_restarts(world, name) for name in names)
        async with world.writing():
            await eventually(lambda before=before: sum(_restarts(world, name) for name in names) > before, 60)
    await asyncio.gather(*(world.restart(name) for name in names))
    await world.healed()


async def test_a_relay_that_was_stopped_longer_than_its_session_does_no_harm(world: World):
    """Stopped for over 15 s: its database session ends, another takes its lanes, then it wakes up."""
    second = world.process("support-worker-2")
    await asyncio.to_thread(second.start)
    owner = world.process("support")
    await world.write(10)
    owner.pause()
    try:

        async def taken_over() -> bool:
            locks = world.rows(
                "support",
                "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE l.locktype = 'advisory' AND a.application_name = 'lectern-support-relay'"
                " AND a.client_port = ANY(%s)",
                _ports(second.pid),
            )
            return bool(locks[0][0] == 32)

        await eventually(taken_over, 60, interval=0.5)
    finally:
        owner.resume()
    await asyncio.to_thread(owner.wait_ready)
    async with world.writing():
        await asyncio.wait([asyncio.create_task(world.write(10))])
    await asyncio.to_thread(second.stop)
    await world.healed()


def _ports(pid: int | None) -> list[int]:
    import psutil

    assert pid is not None
    return [c.laddr.port for c in psutil.Process(pid).net_connections("tcp") if c.laddr]


async def test_writes_go_on_while_kafka_is_away(world: World):
    kafka = world.process("kafka")
    async with world.writing():
        await asyncio.to_thread(kafka.kill, stay_down=True)
        before = dict(world.load.statuses)
        count = len(world.load.messages)
        await eventually(lambda: len(world.load.messages) >= count + 30, 60)
        assert set(world.load.statuses) == {201}, (before, dict(world.load.statuses))
        await asyncio.to_thread(kafka.start)
    await world.healed()


async def test_a_database_that_stops_at_once_costs_no_answered_write(world: World):
    """503 and no hang meanwhile; the pools heal by themselves."""
    async with world.writing():
        await asyncio.to_thread(world.process("postgres").signal, signal.SIGQUIT)
        await eventually(lambda: world.load.statuses[503] + world.load.statuses[0] >= 1, 30)
        await asyncio.to_thread(world.process("postgres").wait_ready)
        count = len(world.load.messages)
        await eventually(lambda: len(world.load.messages) >= count + 20, 60)
    assert world.load.longest < 20
    await world.healed(60)


async def test_an_empty_valkey_loses_nothing(world: World):
    """Flushed while mails wait: the sweeps find their rows, revoked sessions stay revoked."""
    gone = await world.stage.join("gone")
    await gone.post("/api/accounts/logout/")
    valkey = Redis.from_url(f"{world.project.valkey_url}/0")
    worker = world.process("worker")
    await asyncio.to_thread(worker.stop)
    late = world.stage.visitor("late")
    body = {"email": late.email, "password": "Learn-together-1", "first_name": "Late", "last_name": "L"}
    await late.post("/api/accounts/register/", body, 201)
    async with world.writing():
        await valkey.flushall()
    await valkey.aclose()
    await asyncio.to_thread(worker.start)
    mails = await eventually(lambda: world.stage.mails(late.email), 60)
    assert len([mail for mail in mails if re.search(r"\b\d{6}\b", mail["text"])]) == 1
    answer = await gone.raw("GET", "/api/accounts/users/me/")
    assert answer.status_code == 401
    await world.healed()


async def test_every_event_delivered_three_times_changes_nothing(world: World):
    await world.write(20)
    await world.healed()
    for topic in ("support.events", "identity.users", "identity.events", "notify.events"):
        messages = [(key, value, headers) for key, _, value, headers in await world.log(topic)]
        for _ in range(2):
            await world.publish(topic, messages)
    await world.write(5)
    await world.healed()


async def test_a_poison_event_parks_its_key_and_a_redrive_heals_it(world: World):
    """An event that analytics cannot read parks its key there; all others flow. Mended, it is applied."""
    await world.write(10)
    await world.healed()
    before = world.dead_letters()
    poison = await Poison.publish(world.project, UUID(world.customers[0].uuid))
    ticket, good = UUID(poison.key), poison.meant
    await eventually(lambda: world.dead_letters() == before + 1, 20)
    await world.write(10)
    await world.healed()  # I9: no other dead letter, everything else has been applied
    assert world.dead_letters() == before + 1
    failed = await asyncio.to_thread(
        run_module, world.project, "libs.common.bus.dlq", "redrive", "--key", str(ticket)
    )
    assert failed.returncode == 1, failed.stdout
    poison.mend(world.project)
    dry = await asyncio.to_thread(
        run_module, world.project, "libs.common.bus.dlq", "redrive", "--key", str(ticket), "--dry-run"
    )
    assert '"would apply"' in dry.stdout
    assert world.dead_letters() == before + 1
    done = await asyncio.to_thread(
        run_module, world.project, "libs.common.bus.dlq", "redrive", "--key", str(ticket)
    )
    assert done.returncode == 0, done.stdout
    assert world.dead_letters() == before
    number = world.rows("analytics", "SELECT number FROM live_projection")[0][0]
    query = f"DELETE FROM projection_{number}.tickets WHERE ticket = %s RETURNING status"
    assert world.rows("analytics", query, ticket) == [("open",)]
    world.rows("analytics", "DELETE FROM event_log WHERE key = %s RETURNING 1", str(ticket))
    # Out of the log and what was made of it again: no source knows this ticket, and other tests compare.
    query = f"DELETE FROM projection_{number}.activities WHERE event_id = %s RETURNING 1"
    assert world.rows("analytics", query, UUID(good.headers["ce_id"])) == [(1,)]


async def test_a_dead_service_is_503_for_its_own_paths_only(world: World):
    support = world.process("support")
    await asyncio.to_thread(support.kill, stay_down=True)
    try:
        ada = world.customers[0]
        answer = await ada.raw("GET", "/api/core/support-tickets/")
        assert (answer.status_code, bool(answer.headers["retry-after"])) == (503, True)
        assert (await ada.raw("GET", "/api/core/notifications/")).status_code == 200
        async with httpx.AsyncClient(base_url=world.project.gateway_url) as client:
            assert (await client.get("/livez")).status_code == 200
    finally:
        await asyncio.to_thread(support.start)
    await world.write(5)
    await world.healed()
