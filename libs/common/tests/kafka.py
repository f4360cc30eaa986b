"""Relays and consumers that run for a while, counters that are written, and what stands in the topics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import text

from libs.common.runtime.connections import kafka_arguments
from libs.common.testing.harness import Harness
from libs.common.tests.toy import Counter, count


@asynccontextmanager
async def running(*works) -> AsyncIterator[None]:
    """Run relays and consumers meanwhile. Raises what one of them ended with."""
    tasks = [asyncio.create_task(work.run()) for work in works]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def write(harness: Harness, keys: list[UUID], times: int) -> None:
    """Count each of these counters up, so many times; a transaction each time."""
    for _ in range(times):
        async with harness.db.session() as session:
            for uuid in keys:
                counter = await session.get(Counter, uuid, with_for_update=True)
                if counter is None:
                    counter = Counter(uuid=uuid, value=0, version=0)
                    session.add(counter)
                await count(session, counter, counter.version + 1)


async def pending(harness: Harness) -> int:
    """How many events wait in the outbox."""
    async with harness.db.sessions() as session:
        return int(await session.scalar(text("SELECT count(*) FROM outbox")) or 0)


async def messages_of(harness: Harness, topic: str) -> list[Any]:
    """Every message of a topic of three partitions, as the client gives it; in order per partition."""
    consumer = AIOKafkaConsumer(**kafka_arguments(harness.settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(3)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        for tp in partitions:
            consumer.seek(tp, 0)
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += batch
        return found
    finally:
        await consumer.stop()


async def log_of(harness: Harness, topic: str) -> dict[str, list[int]]:
    """Sequence numbers per key, as they stand in the topic."""
    found: dict[str, list[int]] = {}
    for message in await messages_of(harness, topic):
        found.setdefault(message.key.decode(), []).append(int(dict(message.headers)["ce_sequence"]))
    return found
