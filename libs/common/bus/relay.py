"""The outbox relay: moves committed events to Kafka, in order per key, losing none.

Any number of replicas may run. A lane belongs to the replica that holds its advisory lock; the lock, the
reads and the deletes share one connection, so a relay that has lost its session owns nothing. Each wave is
one produce batch per partition: it is acknowledged or refused as a whole, so no later event of a key can
overtake an earlier one. A kill at any point can only send something twice.
"""

import asyncio
import random
import time
from collections import defaultdict
from typing import Any

import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from psycopg.rows import tuple_row

from libs.common.bus.spans import Deliveries
from libs.common.data.db import connect_direct
from libs.common.data.notifier import relay_channel
from libs.common.data.tables import LANES
from libs.common.runtime import metrics
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import ServiceSettings

log = get_logger(__name__)

LANES_A_WAVE = 8
WAVE = 4_000
ACK_TIMEOUT = 30.0
CLAIM_INTERVAL = 1.0
LOCK_SPACE = 0x4C45  # first key of the advisory locks, so that they collide with nobody else's

SELECT = (
    "SELECT lane, seq, id, topic, key, key_seq, type, occurred_at, headers, payload FROM outbox"
    " WHERE lane = ANY(%s) ORDER BY lane, seq LIMIT %s"
)
DELETE = (
    "DELETE FROM outbox USING unnest(%s::smallint[], %s::bigint[]) AS done(lane, seq)"
    " WHERE outbox.lane = done.lane AND outbox.seq = done.seq"
)
Row = tuple[Any, ...]


def kafka_headers(source: str, row: Row, epoch: int = 0) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0 attributes in Kafka binary mode, and the trace of the request.

    `epoch` is an extension attribute: absent until the first restore, see epochs.py.
    """
    _, _, event_id, _, key, key_seq, kind, occurred_at, trace, _ = row
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event_id).encode()),
        ("ce_type", kind.encode()),
        ("ce_source", source.encode()),
        ("ce_time", occurred_at.isoformat().encode()),
        ("ce_partitionkey", key.encode()),
        ("ce_sequence", b"%d" % key_seq),
        *([("ce_epoch", b"%d" % epoch)] if epoch else []),
        ("content-type", b"application/json"),
        *((name, value.encode()) for name, value in trace.items()),
    ]


class Relay:
    """Delivers the outbox of one service until cancelled."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.lanes: list[int] = []
        self._partitions: dict[str, int] = {}
        self._deliveries = Deliveries()
        self._next_lane = 0
        self._source = f"/lectern/{settings.service}"
        self._epoch = 0

    async def run(self) -> None:
        backoff = 0.1
        while True:
            try:
                async with await self._connect() as connection:
                    cursor = await connection.execute("SELECT coalesce(max(number), 0) FROM epochs")
                    (self._epoch,) = await cursor.fetchone() or (0,)
                    producer = await self._start_producer()
                    try:
                        backoff = 0.1
                        await self._pump(connection, producer)
                    finally:
                        self._own([])
                        await _stop(producer)
            except (psycopg.Error, KafkaError, OSError, TimeoutError) as error:
                metrics.RELAY_FAILURES.inc()
                log.warning("relay_interrupted", error=repr(error), retry_in=round(backoff, 2))
            await asyncio.sleep(backoff * random.uniform(0.5, 1.5))
            backoff = min(backoff * 2, 5.0)

    async def _connect(self) -> psycopg.AsyncConnection:
        connection = await connect_direct(
            self.settings,
            application_name=f"lectern-{self.settings.service}-relay",
            # A stopped relay is silent: the server ends its session, and with it its locks, after 15 s.
            options=f"-c search_path={self.settings.service},public -c idle_session_timeout=15s"
            " -c statement_timeout=20s -c tcp_user_timeout=15000",
        )
        await connection.execute(f"LISTEN {relay_channel(self.settings.service)}")
        return connection

    async def _start_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **kafka_arguments(self.settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            request_timeout_ms=15_000,
            max_batch_size=1_000_000,
            max_request_size=4_000_000,
        )
        try:
            await producer.start()
        except BaseException:
            await _stop(producer)
            raise
        self._partitions.clear()
        return producer

    async def _pump(self, connection: psycopg.AsyncConnection, producer: AIOKafkaProducer) -> None:
        loop = asyncio.get_running_loop()
        claim_at = 0.0
        full = False
        while True:
            if loop.time() >= claim_at:
                await self._claim(connection)
                claim_at = loop.time() + CLAIM_INTERVAL
            lanes = self._take_turn() if full else self.lanes
            read = await self.wave(connection, producer, lanes) if lanes else 0
            full = read >= WAVE or (full and len(lanes) < len(self.lanes) and self._next_lane != 0)
            if not read and not full:
                async for _ in connection.notifies(timeout=self.settings.relay_poll, stop_after=1):
                    pass

    def _take_turn(self) -> list[int]:
        """A few lanes at a time while there is a backlog, so that no lane waits for a busier one."""
        start = self._next_lane
        lanes = self.lanes[start : start + LANES_A_WAVE]
        self._next_lane = start + LANES_A_WAVE if start + LANES_A_WAVE < len(self.lanes) else 0
        return lanes

    def _own(self, lanes: list[int]) -> None:
        self.lanes = lanes
        self._next_lane = 0
        metrics.LANES_OWNED.set(len(lanes))

    async def _claim(self, connection: psycopg.AsyncConnection) -> None:
        missing = sorted(set(range(LANES)) - set(self.lanes))
        if not missing:
            return
        cursor = await connection.execute(
            "SELECT lane FROM unnest(%s::int[]) AS lane WHERE pg_try_advisory_lock(%s, hashtext(%s) # lane)",
            (missing, LOCK_SPACE, self.settings.service),
        )
        won = [lane for (lane,) in await cursor.fetchall()]
        if won:
            self._own(sorted({*self.lanes, *won}))
            log.info("lanes_claimed", count=len(won), owned=len(self.lanes))

    async def wave(
        self, connection: psycopg.AsyncConnection, producer: AIOKafkaProducer, lanes: list[int]
    ) -> int:
        """Deliver one wave; returns the number of rows read. Raises after deleting what was acknowledged."""
        async with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            await cursor.execute(SELECT, (lanes, WAVE))
            rows = await cursor.fetchall()
        if not rows:
            return 0
        sent = await self._send(producer, self._deliveries.begin(rows))
        failpoint("relay.after_send")
        results = await asyncio.gather(
            *(asyncio.wait_for(future, ACK_TIMEOUT) for future, _ in sent), return_exceptions=True
        )
        failpoint("relay.after_ack")
        acknowledged: list[Row] = []
        failure: BaseException | None = None
        for (_, batch), result in zip(sent, results, strict=True):
            if isinstance(result, BaseException):
                failure = result
            else:
                acknowledged.extend(batch)
                metrics.RELAYED.labels(batch[0][3]).inc(len(batch))
                self._deliveries.end(batch)
                metrics.OUTBOX_DELAY.observe(time.time() - min(row[7] for row in batch).timestamp())
        if acknowledged:
            await connection.execute(
                DELETE, ([row[0] for row in acknowledged], [row[1] for row in acknowledged])
            )
            failpoint("relay.after_delete")
        if failure is not None:
            raise failure
        return len(rows)

    async def _send(
        self, producer: AIOKafkaProducer, rows: list[Row]
    ) -> list[tuple[asyncio.Future[Any], list[Row]]]:
        """Hand one batch per partition to the producer. Rows that do not fit wait for the next wave."""
        by_partition: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in rows:
            topic = self.settings.topic_prefix + row[3]
            count = self._partitions.get(topic)
            if count is None:
                count = self._partitions[topic] = len(await producer.partitions_for(topic))
            by_partition[topic, (murmur2(row[4].encode()) & 0x7FFFFFFF) % count].append(row)
        sent = []
        for (topic, partition), batch in by_partition.items():
            builder = producer.create_batch()
            taken = 0
            for row in batch:
                fits = builder.append(
                    key=row[4].encode(),
                    value=row[9],
                    timestamp=int(row[7].timestamp() * 1000),
                    headers=kafka_headers(self._source, row, self._epoch),
                )
                if fits is None:
                    break
                taken += 1
            if not taken:
                raise ValueError(f"an event of {len(batch[0][9])} bytes does not fit a produce batch")
            builder.close()
            future = await producer.send_batch(builder, topic, partition=partition)
            sent.append((future, batch[:taken]))
        return sent


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        await asyncio.wait_for(producer.stop(), 5)
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("producer_stop_failed", error=repr(error))
