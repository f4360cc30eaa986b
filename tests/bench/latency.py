"""From a commit in one service to its event applied in another: woken by NOTIFY, against a 500 ms poll.

One pipeline: `Database.session` with `record`, the real relay, Kafka, the real consumer into a database pool
of its own. For the poll only the wake-up is silenced and the interval set. One event is under way at a time.
"""

import asyncio
import random
import statistics
import time
from contextlib import suppress
from uuid import uuid4

from libs.common.consumer import Consumer
from libs.common.db import conninfo
from libs.common.inbox import Subscription
from libs.common.notifier import Notifier
from libs.common.outbox import record
from libs.common.relay import Relay
from libs.common.tests import toy
from tests.bench.figures import Figure
from tests.bench.world import World

ROUNDS, WOKEN, POLLED = 4, 60, 10
POLL = 0.5


class Bell(Notifier):
    """The writer's notifier, with a clapper that can be held."""

    held = False

    def wake_relay(self) -> None:
        if not self.held:
            super().wake_relay()


async def one(world: World, applied: asyncio.Event) -> float:
    """Seconds from the commit of one event to the consumer's commit."""
    counter = uuid4()
    applied.clear()
    async with world.db.session() as session:
        session.add(toy.Counter(uuid=counter, value=1, version=1))
        record(session, toy.Counted(counter=counter, value=1), 1)
    start = time.perf_counter()
    await asyncio.wait_for(applied.wait(), 20)
    return time.perf_counter() - start


async def measure(world: World) -> list[Figure]:
    await world.empty()
    await world.fresh_topics()
    bell = world.db.notifier = Bell(conninfo(world.settings), "toy")
    ordinary = world.settings.relay_poll
    receiver = world.database()
    applied = asyncio.Event()

    async def announce() -> None:
        async with receiver.progressed:
            while True:
                await receiver.progressed.wait()
                applied.set()

    subscription = Subscription("toy", {toy.Counted: toy.on_counted})
    tasks = [
        asyncio.create_task(work)
        for work in (Relay(world.settings).run(), Consumer(receiver, subscription).run(), announce())
    ]
    woken: list[float] = []
    polled: list[float] = []
    try:
        for _ in range(5):
            await one(world, applied)  # opens every connection
        for _ in range(ROUNDS):
            bell.held, world.settings.relay_poll = False, ordinary
            await one(world, applied)
            for _ in range(WOKEN):
                woken.append(await one(world, applied))
                await asyncio.sleep(random.uniform(0.006, 0.02))  # beyond the notifier's pause
            bell.held, world.settings.relay_poll = True, POLL
            await one(world, applied)
            # Commits spread evenly over the interval, so that few of them give its median.
            for phase in random.sample(range(POLLED), POLLED):
                await asyncio.sleep(POLL * phase / POLLED)
                polled.append(await one(world, applied))
    finally:
        world.settings.relay_poll = ordinary
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await receiver.close()
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
