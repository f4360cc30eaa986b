"""A consumer that cannot apply too large a share stops, rather than drain a topic into dead letters."""

import asyncio
from collections.abc import Iterable
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import text

from libs.common.bus import consumer as consuming
from libs.common.bus.consumer import Consumer, ConsumerHalted
from libs.common.runtime.connections import kafka_arguments
from libs.common.testing.harness import Harness, as_record, eventually
from libs.common.tests import toy
from libs.common.tests.kafka import running
from libs.common.tests.toy import Counted

WINDOW = 100


@pytest.fixture(autouse=True)
def _small_window(toy_service: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is judged over a hundred events instead of a thousand; a batch is a fifth of that."""
    monkeypatch.setattr(consuming, "HALT_WINDOW", WINDOW)
    monkeypatch.setattr(toy_service.settings, "consumer_batch", WINDOW // 5)
    toy.Switch.poisoned = True


async def produce(harness: Harness, values: Iterable[int]) -> None:
    """One event each, of a counter of its own, into one partition: they are read in this order."""
    producer = AIOKafkaProducer(**kafka_arguments(harness.settings))
    await producer.start()
    try:
        for value in values:
            message = as_record(Counted(counter=uuid4(), value=value), 1)
            headers = [(name, text.encode()) for name, text in message.headers.items()]
            await producer.send(
                harness.settings.topic_prefix + message.topic,
                message.value,
                message.key.encode() if message.key else None,
                partition=0,
                headers=headers,
            )
        await producer.flush()
    finally:
        await producer.stop()


def with_poison(size: int, every: int) -> list[int]:
    return [13 if number % every == every - 1 else 1 for number in range(size)]


async def count_of(harness: Harness, table: str) -> int:
    async with harness.db.sessions() as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def test_more_than_one_in_a_hundred_halts(toy_service: Harness, prefix: str):
    await produce(toy_service, with_poison(4 * WINDOW, WINDOW // 3))
    consumer = Consumer(toy_service.db, toy.SUBSCRIPTION)
    with pytest.raises(ConsumerHalted, match="events failed"):
        await asyncio.wait_for(consumer.run(), 20)
    assert consumer.health()["halted"] is True
    assert WINDOW // 5 < await count_of(toy_service, "seen") < 2 * WINDOW


async def test_one_in_two_hundred_halts_nothing(toy_service: Harness, prefix: str):
    await produce(toy_service, with_poison(10 * WINDOW, 2 * WINDOW))
    consumer = Consumer(toy_service.db, toy.SUBSCRIPTION)
    async with running(consumer):
        await eventually(lambda: _all_done(toy_service, 10 * WINDOW), 20)
    assert consumer.health()["halted"] is False
    assert await count_of(toy_service, "dead_letter") == 5


async def _all_done(harness: Harness, size: int) -> bool:
    return await count_of(harness, "seen") + await count_of(harness, "dead_letter") == size


async def test_the_share_is_not_judged_by_a_few_events(toy_service: Harness, prefix: str):
    await produce(toy_service, with_poison(WINDOW - 1, 10))
    consumer = Consumer(toy_service.db, toy.SUBSCRIPTION)
    async with running(consumer):
        await eventually(lambda: _all_done(toy_service, WINDOW - 1), 20)
    assert consumer.health()["halted"] is False


async def test_a_row_of_failures_halts_at_once(
    toy_service: Harness, prefix: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(consuming, "HALT_IN_A_ROW", 20)
    await produce(toy_service, [1] * 20 + [13] * 40)
    consumer = Consumer(toy_service.db, toy.SUBSCRIPTION)
    with pytest.raises(ConsumerHalted):
        await asyncio.wait_for(consumer.run(), 20)
    assert await count_of(toy_service, "seen") == 20
    assert 20 <= await count_of(toy_service, "dead_letter") < 60
