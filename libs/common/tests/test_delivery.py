"""From the outbox through Kafka to the handlers."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from sqlalchemy import text

from libs.common.bus.consumer import Consumer
from libs.common.bus.relay import Relay
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.errors import is_transient
from libs.common.testing.harness import Harness, eventually
from libs.common.tests import toy
from libs.common.tests.kafka import log_of, pending, running, write


async def test_committed_events_reach_the_handlers_in_order(toy_service: Harness, prefix: str):
    keys = [uuid4() for _ in range(20)]
    async with running(Relay(toy_service.settings), Consumer(toy_service.db, toy.SUBSCRIPTION)):
        await write(toy_service, keys, 5)

        async def arrived() -> bool:
            async with toy_service.db.sessions() as session:
                return await session.scalar(text("SELECT count(*) FROM seen")) == 100

        await eventually(arrived, 20)
    async with toy_service.db.sessions() as session:
        wrong = await session.scalar(
            text(
                "SELECT count(*) FROM"
                " (SELECT key, array_agg(value ORDER BY id) AS v FROM seen GROUP BY key) s"
                " WHERE v <> ARRAY[1,2,3,4,5]"
            )
        )
    assert wrong == 0
    assert await pending(toy_service) == 0


async def test_three_relays_keep_the_order_per_key(toy_service: Harness, prefix: str):
    keys = [uuid4() for _ in range(50)]
    relays = [Relay(toy_service.settings) for _ in range(3)]
    async with running(*relays):
        writes = [write(toy_service, keys[i::5], 20) for i in range(5)]
        await asyncio.gather(*writes)
        await eventually(lambda: _empty(toy_service), 20)
    assert sum(len(relay.lanes) for relay in relays) == 0
    log = await log_of(toy_service, prefix + "toy.events")
    assert log == {str(uuid): list(range(1, 21)) for uuid in keys}


async def _empty(harness: Harness) -> bool:
    return await pending(harness) == 0


async def test_a_relay_that_dies_is_followed_by_another(toy_service: Harness, prefix: str):
    keys = [uuid4() for _ in range(10)]
    first, second = Relay(toy_service.settings), Relay(toy_service.settings)
    async with running(second):
        async with running(first):
            await write(toy_service, keys, 3)
            await eventually(lambda: bool(first.lanes or second.lanes))
        await write(toy_service, keys, 3)
        await eventually(lambda: _empty(toy_service), 20)
    log = await log_of(toy_service, prefix + "toy.events")
    for uuid in keys:
        firsts = list(dict.fromkeys(log[str(uuid)]))
        assert firsts == [1, 2, 3, 4, 5, 6]


async def test_a_malformed_message_does_not_stop_the_topic(toy_service: Harness, prefix: str):
    producer = AIOKafkaProducer(**kafka_arguments(toy_service.settings))
    await producer.start()
    await producer.send_and_wait(prefix + "toy.events", b"not an event", key=b"\xff")
    await producer.stop()
    uuid = uuid4()
    async with running(Relay(toy_service.settings), Consumer(toy_service.db, toy.SUBSCRIPTION)):
        await write(toy_service, [uuid], 2)

        async def arrived() -> bool:
            async with toy_service.db.sessions() as session:
                seen = await session.scalar(text("SELECT count(*) FROM seen"))
                letters = await session.scalar(text("SELECT count(*) FROM dead_letter"))
                return (seen, letters) == (2, 1)

        await eventually(arrived, 20)


async def test_a_lost_database_delays_the_consumer_and_loses_nothing(toy_service: Harness, prefix: str):
    uuid = uuid4()
    consumer = Consumer(toy_service.db, toy.SUBSCRIPTION)
    async with running(Relay(toy_service.settings), consumer):
        await write(toy_service, [uuid], 1)
        async with toy_service.db.sessions() as session:
            await session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = current_user AND pid <> pg_backend_pid()"
                )
            )
        await write_until_done(toy_service, uuid)

        async def arrived() -> bool:
            async with toy_service.db.sessions() as session:
                return await session.scalar(text("SELECT max(value) FROM seen")) == 5

        await eventually(arrived, 20)


async def test_a_group_that_changes_while_the_database_is_away_loses_nothing(
    toy_service: Harness, prefix: str, monkeypatch: pytest.MonkeyPatch
):
    keys = [uuid4() for _ in range(12)]
    one, other = (Consumer(toy_service.db, toy.SUBSCRIPTION) for _ in range(2))
    async with running(Relay(toy_service.settings), one):
        await write(toy_service, keys, 1)
        await eventually(lambda: applied(toy_service, 12), 20)
        monkeypatch.setattr(toy.Switch, "away", True)
        await write(toy_service, keys, 1)
        async with running(other):
            await eventually(lambda: share_of(one) == share_of(other) == 3, 20)
            await write(toy_service, keys, 1)
            await eventually(lambda: _empty(toy_service))
            monkeypatch.setattr(toy.Switch, "away", False)
            await eventually(lambda: applied(toy_service, 36), 20)


def share_of(consumer: Consumer) -> int:
    """Partitions of a member of the group."""
    return len(consumer.health()["partitions"])


async def applied(harness: Harness, count: int) -> bool:
    async with harness.db.sessions() as session:
        return await session.scalar(text("SELECT count(*) FROM seen WHERE kind = 'counted'")) == count


async def write_until_done(harness: Harness, uuid: UUID) -> None:
    """Connections of the pool were cut: each error is one used-up connection."""

    async def done() -> bool:
        try:
            async with harness.db.sessions() as session:
                version = await session.scalar(
                    text("SELECT version FROM counters WHERE uuid = :u"), {"u": uuid}
                )
            if version < 5:
                await write(harness, [uuid], 1)
                return False
            return True
        except Exception as error:
            if not is_transient(error):
                raise
            return False

    await eventually(done)


async def test_a_member_says_where_it_stands(toy_service: Harness, prefix: str):
    keys = [uuid4() for _ in range(6)]
    consumer = Consumer(toy_service.db, toy.SUBSCRIPTION)
    assert (consumer.health()["assigned"], consumer.health()["last_applied"]) == (0, None)
    async with running(Relay(toy_service.settings), consumer):
        await write(toy_service, keys, 2)
        await eventually(lambda: applied(toy_service, 12), 20)
        await eventually(lambda: sum(part["end"] for part in consumer.health()["partitions"]) == 12, 10)
        health = consumer.health()
        assert (health["consumer"], health["assigned"], health["lag"], health["halted"]) == (
            "toy",
            6,
            0,
            False,
        )
        assert {part["topic"] for part in health["partitions"]} == {"toy.events", "toy.counters"}
        assert all(part["position"] == part["end"] for part in health["partitions"])
        assert datetime.fromisoformat(health["last_applied"]) > datetime.now(UTC) - timedelta(seconds=20)


@pytest.mark.parametrize("assigned", [True, False])
async def test_a_member_that_stands_still_is_replaced_within_seconds(
    toy_service: Harness, prefix: str, monkeypatch: pytest.MonkeyPatch, assigned: bool
):
    """Its client fetches nothing, or was given no partitions, though there are events."""
    monkeypatch.setattr("libs.common.bus.consumer.WATCH_SECONDS", 0.2)
    monkeypatch.setattr("libs.common.bus.consumer.STILL_SECONDS", 1.0)
    monkeypatch.setattr("libs.common.bus.consumer.JOINING_SECONDS", 4.0)
    made: list[AIOKafkaConsumer] = []

    class Lame(Consumer):
        def _make(self) -> AIOKafkaConsumer:
            client = super()._make()
            if not made and not assigned:
                client._partition_assignment_strategy = (NothingForAnybody,)
            made.append(client)
            return client

    consumer = Lame(toy_service.db, toy.SUBSCRIPTION)
    async with running(Relay(toy_service.settings), consumer):
        if assigned:
            await eventually(lambda: made and len(made[0].assignment()) == 6, 20)
            made[0].pause(*made[0].assignment())  # as deaf as one whose fetches are never answered
        await write(toy_service, [uuid4()], 1)
        await eventually(lambda: applied(toy_service, 1), 25)
    assert len(made) == 2


class NothingForAnybody(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """A leader that saw no partitions when it shared them out."""

    @classmethod
    def assign(cls, cluster: Any, members: dict[str, Any]) -> dict[str, ConsumerProtocolMemberAssignment]:
        return {name: ConsumerProtocolMemberAssignment(cls.version, [], b"") for name in members}
