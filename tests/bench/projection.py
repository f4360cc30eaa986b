"""Applying events to a read model: batches of 500 against one transaction per event, same handler.

The handler is set-based: one INSERT … ON CONFLICT from arrays for the whole batch. Logs are
written, to a file.
"""

import statistics
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Received, Record, Subscription
from libs.common.testing.harness import as_record
from libs.common.tests import toy
from tests.bench.figures import Figure
from tests.bench.world import World

BATCH, BATCHES, SINGLES, KEYS = 500, 20, 600, 500
ROUNDS = 3
MERGE = text(
    "INSERT INTO counter_copies (uuid, value)"
    " SELECT * FROM unnest(CAST(:uuid AS uuid[]), CAST(:value AS integer[]))"
    " ON CONFLICT (uuid) DO UPDATE SET value = excluded.value"
)


async def on_counted(session: AsyncSession, batch: Sequence[Received[toy.Counted]]) -> None:
    """The newest value of each counter: a batch may hold several events of one."""
    newest = {item.event.counter: item.event.value for item in batch if item.event is not None}
    await session.execute(MERGE, {"uuid": list(newest), "value": list(newest.values())})


def records(keys: list[UUID], first: int, count: int) -> list[Record]:
    """`count` events of counters taking turns, numbered on from `first`."""
    return [
        as_record(toy.Counted(counter=keys[n % len(keys)], value=n % 1000), first + n // len(keys))
        for n in range(count)
    ]


async def measure(world: World) -> list[Figure]:
    await world.empty()
    subscription = Subscription("toy", {toy.Counted: on_counted})
    batched: list[float] = []
    single: list[float] = []
    for number in range(ROUNDS + 1):
        keys = [uuid4() for _ in range(KEYS)]
        many = records(keys, 1, BATCH * BATCHES)
        start = time.perf_counter()
        for at in range(0, len(many), BATCH):
            outcome = await apply_batch(world.db, subscription, many[at : at + BATCH])
            assert outcome.applied == BATCH, outcome
        batched_rate = len(many) / (time.perf_counter() - start)
        few = records(keys, BATCH * BATCHES // KEYS + 1, SINGLES)
        start = time.perf_counter()
        for record in few:
            outcome = await apply_batch(world.db, subscription, [record])
            assert outcome.applied == 1, outcome
        if number:
            batched.append(batched_rate)
            single.append(SINGLES / (time.perf_counter() - start))
    return [
        Figure(
            "projection, batches against one transaction per event",
            statistics.median(b / s for b, s in zip(batched, single, strict=True)),
            " ×",
            least=20,
            aim=50,
            detail=f"{statistics.median(batched):,.0f} events/s in batches of {BATCH}, "
            f"{statistics.median(single):,.0f} one by one; medians of {ROUNDS} rounds",
            reason="the Python of each event (decoding, checks, its log line) costs the same in a batch",
        )
    ]
