"""Draining the outbox by the real relay, against aiokafka sending the same messages without an outbox.

Both sides: idempotent, acks=all, linger 0, the same keys, values, headers and timestamps, a topic of six
partitions. The relay also reads the rows, makes the headers, waits for each wave and deletes what was sent.
"""

import asyncio
import statistics
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import psycopg
from aiokafka import AIOKafkaProducer
from psycopg.types.json import Jsonb

from libs.common.bus.relay import Relay, kafka_headers
from libs.common.data.db import conninfo
from libs.common.data.notifier import relay_channel
from libs.common.data.outbox import outbox_row
from libs.common.runtime import metrics
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.trace import new_trace
from libs.common.tests import toy
from tests.bench.figures import Figure
from tests.bench.world import World

EVENTS, KEYS, BYTES = 20_000, 500, 350
DEFAULT, BEST = 16_384, 131_072  # bytes of a batch: the library's default, and the quickest of those tried
ROUNDS = 5
COLUMNS = ("lane", "id", "topic", "key", "key_seq", "type", "occurred_at", "headers", "payload")
Rows = list[dict[str, Any]]


def make_rows(first: int) -> Rows:
    """The outbox rows of `KEYS` aggregates taking turns; `first` continues their numbers."""
    keys = [str(uuid4()) for _ in range(KEYS)]
    now = datetime.now(UTC)
    rows = []
    for number in range(EVENTS):
        key = keys[number % KEYS]
        value = {"counter": key, "value": number, "text": ""}
        value["text"] = "x" * (BYTES - len(orjson.dumps(value)))
        seq = first + number // KEYS
        row = outbox_row(toy.Counted.topic, key, seq, toy.Counted.type, "", new_trace(), now)
        rows.append(row | {"payload": orjson.dumps(value)})
    return rows


async def drain(world: World, rows: Rows, relayed: Any, connection: psycopg.AsyncConnection) -> float:
    """Seconds from the commit that makes all rows visible until the outbox is empty."""
    before = relayed._value.get()
    async with connection.transaction():
        copy = f"COPY outbox ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
        async with connection.cursor() as cursor, cursor.copy(copy) as sink:
            sink.set_types(["int2", "uuid", "text", "text", "int8", "text", "timestamptz", "jsonb", "bytea"])
            for row in rows:
                await sink.write_row([Jsonb(row[n]) if n == "headers" else row[n] for n in COLUMNS])
        start = time.perf_counter()
    await connection.execute("SELECT pg_notify(%s, '')", [relay_channel("toy")])
    while relayed._value.get() - before < len(rows):  # noqa: ASYNC110 - the relay sets no event
        await asyncio.sleep(0.002)
    while True:
        cursor = await connection.execute("SELECT EXISTS (SELECT FROM outbox)")
        found = await cursor.fetchone()
        assert found is not None
        if not found[0]:
            return time.perf_counter() - start
        await asyncio.sleep(0.001)


async def send(world: World, messages: list[tuple[bytes, bytes, int, Any]], batch: int) -> float:
    """Seconds of handing every message to `send` and having all acknowledged."""
    producer = AIOKafkaProducer(
        **kafka_arguments(world.settings),
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=batch,
    )
    await producer.start()
    try:
        await producer.partitions_for(world.topic)
        start = time.perf_counter()
        futures = [
            await producer.send(world.topic, value, key=key, timestamp_ms=at, headers=headers)
            for key, value, at, headers in messages
        ]
        await asyncio.gather(*futures)
        return time.perf_counter() - start
    finally:
        await producer.stop()


def as_messages(rows: Rows) -> list[tuple[bytes, bytes, int, Any]]:
    """What the relay sends for these rows, made beforehand."""
    messages = []
    for row in rows:
        columns = (0, 0, row["id"], row["topic"], row["key"], row["key_seq"], row["type"])
        headers = kafka_headers("/lectern/toy", (*columns, row["occurred_at"], row["headers"], None))
        at = int(row["occurred_at"].timestamp() * 1000)
        messages.append((row["key"].encode(), row["payload"], at, headers))
    return messages


async def measure(world: World) -> list[Figure]:
    await world.empty()
    await world.fresh_topics()
    relayed = metrics.RELAYED.labels(toy.Counted.topic)
    task = asyncio.create_task(Relay(world.settings).run())
    drained: list[float] = []
    sent: list[float] = []
    plain: list[float] = []
    try:
        async with await psycopg.AsyncConnection.connect(
            conninfo(world.settings), autocommit=True, options="-c search_path=toy,public"
        ) as connection:
            for number in range(ROUNDS + 1):
                rows = make_rows(1)
                messages = as_messages(rows)
                drain_seconds = await drain(world, rows, relayed, connection)
                send_seconds = await send(world, messages, BEST)
                plain_seconds = await send(world, messages, DEFAULT)
                if number:  # the first round warms all up
                    drained.append(EVENTS / drain_seconds)
                    sent.append(EVENTS / send_seconds)
                    plain.append(EVENTS / plain_seconds)
                await connection.execute("VACUUM outbox")
                assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    rate, limit, default = (statistics.median(rates) for rates in (drained, sent, plain))
    return [
        Figure(
            "relay drain against aiokafka send",
            statistics.median(d / s for d, s in zip(drained, sent, strict=True)),
            least=0.45,
            aim=0.65,
            detail=f"{rate:,.0f} events/s drained, {limit:,.0f} sent with the quickest batch size "
            f"(the measure), {default:,.0f} with the default; {EVENTS:,} events of {BYTES} bytes, "
            f"{KEYS} keys, medians of {ROUNDS} rounds",
            reason="relay, PostgreSQL and Kafka share the cores, and each wave waits for its acknowledgement",
        )
    ]
