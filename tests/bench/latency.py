"""From a commit in one service to its event applied in another: woken by NOTIFY, against a 500 ms poll.

One pipeline: `Database.session` with `record`, the real relay, Kafka, the real consumer in a process of its
own. For the poll only the wake-up is silenced and the interval set. One event is under way at a time.
"""

import asyncio
import os
import random
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from libs.common.bus.relay import Relay
from libs.common.data.db import conninfo
from libs.common.data.notifier import Notifier
from libs.common.tests import toy
from tests.bench.figures import CHECKOUT, Figure
from tests.bench.world import World

ROUNDS, WOKEN, POLLED = 4, 60, 10
POLL = 0.5
COUNTERS = [uuid4() for _ in range(20)]


class Bell(Notifier):
    """The writer's notifier, with a clapper that can be held."""

    held = False

    def wake_relay(self) -> None:
        if not self.held:
            super().wake_relay()


@asynccontextmanager
async def receiver(world: World) -> AsyncIterator[asyncio.StreamReader]:
    """The consuming service; what it writes are the moments of its commits."""
    settings = world.settings
    environment = {
        **os.environ,
        "LECTERN_ENVIRONMENT": "test",
        "LECTERN_KAFKA": settings.kafka,
        "LECTERN_TOPIC_PREFIX": settings.topic_prefix,
        "TOY_DATABASE_URL": settings.database_url.get_secret_value(),
    }
    argv = ("-m", "tests.bench.receiver", str(world.servers.project.directory / "receiver.log"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, env=environment, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()


async def one(world: World, moments: asyncio.StreamReader) -> float:
    """Seconds from the commit of a change of some counter to the consumer's commit."""
    async with world.db.session() as session:
        counter = await session.get(toy.Counter, random.choice(COUNTERS), with_for_update=True)
        assert counter is not None
        await toy.count(session, counter, counter.version + 1)  # records the event
    start = time.monotonic()
    return float(await asyncio.wait_for(moments.readline(), 20)) - start


async def measure(world: World) -> list[Figure]:
    await world.empty()
    await world.fresh_topics()
    async with world.db.sessions.begin() as session:
        session.add_all([toy.Counter(uuid=uuid) for uuid in COUNTERS])
    bell = world.db.notifier = Bell(conninfo(world.settings), "toy")
    ordinary = world.settings.relay_poll
    relay = asyncio.create_task(Relay(world.settings).run())
    woken: list[float] = []
    polled: list[float] = []
    try:
        async with receiver(world) as moments:
            for _ in range(100):
                await one(world, moments)  # opens connections, prepares statements
            for _ in range(ROUNDS):
                bell.held, world.settings.relay_poll = False, ordinary
                await one(world, moments)
                for _ in range(WOKEN):
                    await asyncio.sleep(random.uniform(0.006, 0.02))  # beyond the notifier's pause
                    woken.append(await one(world, moments))
                bell.held, world.settings.relay_poll = True, POLL
                await one(world, moments)
                # Commits spread evenly over the interval, so that few of them give its median.
                for phase in random.sample(range(POLLED), POLLED):
                    await asyncio.sleep(POLL * phase / POLLED)
                    polled.append(await one(world, moments))
    finally:
        world.settings.relay_poll = ordinary
        relay.cancel()
        with suppress(asyncio.CancelledError):
            await relay
        await bell.close()
    fast, slow = statistics.median(woken), statistics.median(polled)
    late = statistics.quantiles(woken, n=100)[98]
    return [
        Figure(
            "commit → applied, p50, against a 500 ms poll",
            slow / fast,
            " ×",
            least=25,
            aim=60,
            detail=f"p50 {fast * 1e3:.1f} ms (p99 {late * 1e3:.1f} ms, {len(woken)} events), by poll "
            f"{slow * 1e3:.0f} ms ({len(polled)} events)",
            reason="writer, relay, consumer, PostgreSQL and Kafka share the cores",
        )
    ]
