"""The relay deletes what Kafka has acknowledged, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from prometheus_client import REGISTRY
from sqlalchemy import text

from libs.common.bus.relay import Relay
from libs.common.data.db import conninfo
from libs.common.data.outbox import lane_of, record
from libs.common.data.tables import LANES
from libs.common.runtime import failpoints
from libs.common.runtime.connections import kafka_arguments
from libs.common.testing.harness import Harness, eventually
from libs.common.tests.kafka import log_of, messages_of, pending, running, write
from libs.common.tests.toy import CounterState, Renamed

EVERY_LANE = list(range(LANES))


@asynccontextmanager
async def kafka_admin(harness: Harness) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka_arguments(harness.settings))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def relaying(
    harness: Harness,
) -> AsyncIterator[tuple[Relay, psycopg.AsyncConnection, AIOKafkaProducer]]:
    """A relay, with a connection and a producer for its waves."""
    async with await psycopg.AsyncConnection.connect(
        conninfo(harness.settings), autocommit=True, options=f"-c search_path={harness.service},public"
    ) as connection:
        producer = AIOKafkaProducer(
            **kafka_arguments(harness.settings),
            acks="all",
            enable_idempotence=True,
            max_batch_size=1_000_000,
            max_request_size=4_000_000,
            retry_backoff_ms=20,
        )
        await producer.start()
        try:
            yield Relay(harness.settings), connection, producer
        finally:
            # It would wait for what Kafka does not take, even if it were cancelled.
            await asyncio.wait({asyncio.ensure_future(producer.stop())}, timeout=2)


async def test_what_kafka_does_not_take_in_time_stays_and_arrives_later(
    toy_service: Harness, prefix: str, monkeypatch: pytest.MonkeyPatch
):
    """The topic goes away under a producer that knows it, so Kafka asks it to try again."""
    monkeypatch.setattr("libs.common.bus.relay.ACK_TIMEOUT", 0.3)
    topic = prefix + "toy.events"
    keys = [uuid4() for _ in range(6)]
    await write(toy_service, keys, 2)
    async with kafka_admin(toy_service) as admin, relaying(toy_service) as (relay, connection, producer):
        await producer.partitions_for(topic)
        await admin.delete_topics([topic])
        with pytest.raises(TimeoutError):
            await relay.wave(connection, producer, EVERY_LANE)
        assert await pending(toy_service) == 12
        await admin.create_topics([NewTopic(topic, 3, 1)])
    async with relaying(toy_service) as (relay, connection, producer):
        assert await relay.wave(connection, producer, EVERY_LANE) == 12
        assert await relay.wave(connection, producer, EVERY_LANE) == 0
    assert await pending(toy_service) == 0
    log = await log_of(toy_service, topic)
    assert {key: list(dict.fromkeys(seqs)) for key, seqs in log.items()} == {str(u): [1, 2] for u in keys}


async def test_of_a_wave_that_is_half_refused_the_refused_half_stays(toy_service: Harness, prefix: str):
    keys = [uuid4() for _ in range(6)]
    await write(toy_service, keys, 1)
    async with toy_service.db.session() as session:
        for uuid in keys:
            record(session, CounterState(uuid=uuid, value=1), 1)
    async with kafka_admin(toy_service) as admin, relaying(toy_service) as (relay, connection, producer):
        limit = {"max.message.bytes": "1"}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, prefix + "toy.events", configs=limit)]
        )
        with pytest.raises(KafkaError):
            await relay.wave(connection, producer, EVERY_LANE)
    async with toy_service.db.sessions() as session:
        rows = await session.execute(text("SELECT topic, count(*) FROM outbox GROUP BY topic"))
        assert [(topic, count) for topic, count in rows] == [("toy.events", 6)]
    assert len(await log_of(toy_service, prefix + "toy.counters")) == 6


async def test_a_key_lies_on_the_partition_where_every_producer_puts_it(toy_service: Harness, prefix: str):
    keys = [uuid4() for _ in range(24)]
    await write(toy_service, keys, 1)
    async with relaying(toy_service) as (relay, connection, producer):
        assert await relay.wave(connection, producer, EVERY_LANE) == 24
        count = len(await producer.partitions_for(prefix + "toy.events"))
    found = {m.key.decode(): m.partition for m in await messages_of(toy_service, prefix + "toy.events")}
    everywhere = list(range(count))
    chosen = {str(key): DefaultPartitioner()(str(key).encode(), everywhere, everywhere) for key in keys}
    assert found == chosen
    assert len(set(found.values())) > 1


async def test_what_does_not_fit_a_batch_goes_with_the_next_wave(toy_service: Harness, prefix: str):
    uuid = uuid4()
    async with toy_service.db.session() as session:
        for seq in range(1, 8):
            record(session, Renamed(counter=uuid, name=str(seq) * 300_000), seq)
    async with relaying(toy_service) as (relay, connection, producer):
        left = [7]
        while left[-1]:
            assert await relay.wave(connection, producer, EVERY_LANE) == left[-1]
            left.append(await pending(toy_service))
    assert left == [7, 4, 1, 0]
    assert await log_of(toy_service, prefix + "toy.events") == {str(uuid): [1, 2, 3, 4, 5, 6, 7]}


async def test_a_wave_is_told_in_numbers(toy_service: Harness, prefix: str):
    def told() -> tuple[float | None, ...]:
        names = ("outbox_delay_seconds_count", "outbox_lanes_owned", "outbox_failures_total")
        return tuple(REGISTRY.get_sample_value(f"lectern_{name}") for name in names)

    def relayed() -> float:
        return REGISTRY.get_sample_value("lectern_outbox_relayed_total", {"topic": "toy.events"}) or 0.0

    before, waves = relayed(), told()[0] or 0
    await write(toy_service, [uuid4() for _ in range(5)], 2)
    async with relaying(toy_service) as (relay, connection, producer):
        await relay.wave(connection, producer, EVERY_LANE)
        delayed = told()[0]
        assert delayed is not None
        assert delayed > waves
        await relay.wave(connection, producer, EVERY_LANE)
        assert told()[0] == delayed
    assert relayed() == before + 10
    relay = Relay(toy_service.settings)
    async with running(relay):
        await eventually(lambda: told()[1] == LANES)
    assert told()[1] == 0


async def test_only_the_lanes_of_a_wave_are_moved(toy_service: Harness, prefix: str):
    keys = [uuid4() for _ in range(12)]
    await write(toy_service, keys, 1)
    lanes = {lane_of("toy.events", str(uuid)) for uuid in keys}
    mine, rest = sorted(lanes)[:2], sorted(lanes)[2:]
    async with relaying(toy_service) as (relay, connection, producer):
        moved = await relay.wave(connection, producer, mine)
        assert moved == sum(lane_of("toy.events", str(uuid)) in mine for uuid in keys)
        assert await pending(toy_service) == 12 - moved
        await relay.wave(connection, producer, rest)
    assert await pending(toy_service) == 0


@pytest.mark.parametrize("point", ["relay.after_send", "relay.after_ack"])
async def test_what_was_not_deleted_is_sent_twice_rather_than_lost(
    toy_service: Harness, prefix: str, point: str
):
    uuid = uuid4()
    await write(toy_service, [uuid], 3)
    async with relaying(toy_service) as (relay, connection, producer):
        failpoints.arm(f"{point}=raise@1")
        try:
            with pytest.raises(failpoints.InjectedFault):
                await relay.wave(connection, producer, EVERY_LANE)
        finally:
            failpoints.arm("")
        assert await pending(toy_service) == 3
        await relay.wave(connection, producer, EVERY_LANE)
    log = await log_of(toy_service, prefix + "toy.events")
    assert list(dict.fromkeys(log[str(uuid)])) == [1, 2, 3]


async def test_a_message_is_a_cloudevent_with_the_trace_of_its_request(toy_service: Harness, prefix: str):
    uuid = uuid4()
    await write(toy_service, [uuid], 1)
    async with relaying(toy_service) as (relay, connection, producer):
        await relay.wave(connection, producer, EVERY_LANE)
    [message] = await messages_of(toy_service, prefix + "toy.events")
    headers = {name: value.decode() for name, value in message.headers}
    assert message.key.decode() == headers["ce_partitionkey"] == str(uuid)
    assert UUID(headers["ce_id"])
    assert headers["ce_time"].endswith("+00:00")
    assert {name: headers[name] for name in headers if name.startswith("ce_") or name == "content-type"} == {
        "ce_specversion": "1.0",
        "ce_id": headers["ce_id"],
        "ce_type": "toy.counted.v1",
        "ce_source": "/lectern/toy",
        "ce_time": headers["ce_time"],
        "ce_partitionkey": str(uuid),
        "ce_sequence": "1",
        "content-type": "application/json",
    }
    assert headers["traceparent"]
    assert message.timestamp == int(datetime.fromisoformat(headers["ce_time"]).timestamp() * 1000)


async def test_a_relay_sends_what_is_there_and_wakes_for_what_comes(toy_service: Harness, prefix: str):
    """Told by the commit: it would look by itself only after a minute."""
    toy_service.settings.relay_poll, before = 60.0, toy_service.settings.relay_poll
    keys = [uuid4() for _ in range(5)]
    await write(toy_service, keys, 1)
    relay = Relay(toy_service.settings)
    try:
        async with running(relay):
            await eventually(lambda: is_empty(toy_service))
            assert relay.lanes == EVERY_LANE
            for _ in range(3):
                await write(toy_service, keys, 1)
                await eventually(lambda: is_empty(toy_service), 5)
    finally:
        toy_service.settings.relay_poll = before
    assert relay.lanes == []
    assert await log_of(toy_service, prefix + "toy.events") == {str(uuid): [1, 2, 3, 4] for uuid in keys}


async def is_empty(harness: Harness) -> bool:
    return await pending(harness) == 0


async def test_a_relay_whose_session_is_ended_goes_on_with_a_new_one(toy_service: Harness, prefix: str):
    uuid = uuid4()
    relay = Relay(toy_service.settings)
    async with running(relay):
        await write(toy_service, [uuid], 1)
        await eventually(lambda: is_empty(toy_service))
        async with toy_service.db.sessions() as session:
            ended = await session.scalars(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name = 'lectern-toy-relay' AND datname = current_database()"
                )
            )
            assert ended.all() == [True]
        await write(toy_service, [uuid], 2)
        await eventually(lambda: is_empty(toy_service))
        assert relay.lanes == EVERY_LANE
    log = await log_of(toy_service, prefix + "toy.events")
    assert list(dict.fromkeys(log[str(uuid)])) == [1, 2, 3]


async def test_a_second_relay_owns_nothing_until_the_first_has_gone(toy_service: Harness, prefix: str):
    first, second = Relay(toy_service.settings), Relay(toy_service.settings)
    uuid = uuid4()
    async with running(first):
        await eventually(lambda: len(first.lanes) == LANES)
        async with running(second):
            await write(toy_service, [uuid], 2)
            await eventually(lambda: is_empty(toy_service))
            assert (len(first.lanes), second.lanes) == (LANES, [])


async def test_of_a_backlog_every_lane_gets_its_turn(
    toy_service: Harness, prefix: str, monkeypatch: pytest.MonkeyPatch
):
    """A lane with more than a wave holds up the few that are read with it, and no other."""
    monkeypatch.setattr("libs.common.bus.relay.WAVE", 10)
    monkeypatch.setattr("libs.common.bus.relay.LANES_A_WAVE", 4)
    busy, *others = [uuid4() for _ in range(30)]
    async with toy_service.db.session() as session:
        for seq in range(1, 61):
            record(session, Renamed(counter=busy, name="x"), seq)
        for uuid in others:
            record(session, Renamed(counter=uuid, name="x"), 1)
    turns: list[list[int]] = []

    class Watched(Relay):
        async def wave(
            self, connection: psycopg.AsyncConnection, producer: AIOKafkaProducer, lanes: list[int]
        ) -> int:
            turns.append(lanes)
            return await super().wave(connection, producer, lanes)

    async with running(Watched(toy_service.settings)):
        await eventually(lambda: is_empty(toy_service), 20)
    assert turns[0] == EVERY_LANE
    assert turns[1:9] == [EVERY_LANE[start : start + 4] for start in range(0, LANES, 4)]
    assert turns[9] == EVERY_LANE
    log = await log_of(toy_service, prefix + "toy.events")
    assert log == {str(busy): list(range(1, 61))} | {str(uuid): [1] for uuid in others}
