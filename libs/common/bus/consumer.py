"""The Kafka side of consuming: fetch a batch, apply it, then commit the offset as a hint.

Infrastructure failures are retried for ever with backoff; the offset never runs ahead of the database.
A consumer that parks too much stops itself, because a bad deploy must not drain a topic into dead letters.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from psycopg import Error as DatabaseError

from libs.common.bus.epochs import Voids
from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Outcome, Record, Subscription
from libs.common.data.db import Database
from libs.common.runtime import metrics
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.errors import is_transient
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

# A killed member holds up its group for this long, and everything must be applied 30 s after a healing.
SESSION_MS = 12_000
REQUEST_MS = 40_000
ANSWER_SECONDS = 5.0
WATCH_SECONDS = 2.0
STILL_SECONDS = 10.0
"""How long there may be events for a member of the group without it getting on."""
JOINING_SECONDS = 2 * SESSION_MS / 1000
"""The same while it is given its partitions: members that are gone may have to be given up first."""
MOST_ENDS = 2_000
HALT_IN_A_ROW = 100
HALT_SHARE = 0.01
HALT_WINDOW = 1_000


T = TypeVar("T")
_abandoned: set[asyncio.Task[Any]] = set()
"""Calls that are waited for no longer, kept until they end."""


class ConsumerHalted(RuntimeError):
    """Too large a share of events could not be applied; nothing more is read until someone has looked."""


class ConsumerStuck(RuntimeError):
    """Kafka has new events and this consumer does not move: its client is replaced."""


def to_record(message: ConsumerRecord, prefix: str) -> Record:
    """A Kafka message as the inbox takes it; undecodable headers become empty rather than an error."""
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers}
    key = message.key.decode("utf-8", "replace") if message.key else None
    return Record(
        message.topic.removeprefix(prefix), key, message.value, headers, message.partition, message.offset
    )


class Consumer:
    """Runs one subscription until cancelled. Raises ConsumerHalted."""

    def __init__(self, db: Database, subscription: Subscription) -> None:
        self.db = db
        self.subscription = subscription
        self.settings = db.settings
        self.halted = False
        self.lag_seconds = 0.0
        metrics.CONSUMER_HALTED.labels(subscription.consumer).set(0)
        self.applied_at: datetime | None = None
        self._applying = False
        self._standing: dict[TopicPartition, Standing] = {}
        self._voids: Voids | None = None
        self._ends = EndTimes()
        self._seen = 0
        self._failed = 0
        self._in_a_row = 0

    async def run(self) -> None:
        backoff = 0.2
        while True:
            consumer = self._make()
            try:
                await _within(JOINING_SECONDS, consumer.start())
                backoff = 0.2
                await self._consume(consumer)
            except ConsumerStuck as error:
                log.error("consumer_stuck", error=str(error), **self.health())
            except (KafkaError, OSError) as error:
                log.warning("consumer_interrupted", error=repr(error), retry_in=round(backoff, 2))
            finally:
                self._standing = {}
                await _stop(consumer)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.5))
            backoff = min(backoff * 2, 5.0)

    def health(self) -> dict[str, Any]:
        """What this member of the group has been given, and how far it has come, as the watchdog saw it last.

        `lag` counts the events behind, null while a position is not known; `lag_seconds` is the age of the
        oldest of them; `last_applied` is null at first.
        """
        partitions = [
            {
                "topic": tp.topic.removeprefix(self.settings.topic_prefix),
                "partition": tp.partition,
                "position": standing.position,
                "end": standing.end,
            }
            for tp, standing in sorted(self._standing.items())
            if standing.assigned
        ]
        lags = [standing.lag for standing in self._standing.values() if standing.assigned]
        return {
            "consumer": self.subscription.consumer,
            "assigned": len(partitions),
            "lag": None if None in lags else sum(filter(None, lags)),
            "lag_seconds": self.lag_seconds,
            "last_applied": self.applied_at and self.applied_at.isoformat(),
            "halted": self.halted,
            "partitions": partitions,
        }

    def _make(self) -> AIOKafkaConsumer:
        prefix = self.settings.topic_prefix
        return AIOKafkaConsumer(
            *(prefix + topic for topic in self.subscription.topics),
            **kafka_arguments(self.settings),
            group_id=prefix + self.subscription.consumer,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=SESSION_MS,
            request_timeout_ms=REQUEST_MS,
            max_poll_interval_ms=300_000,
            metadata_max_age_ms=30_000,
            max_partition_fetch_bytes=2_000_000,
        )

    async def _consume(self, consumer: AIOKafkaConsumer) -> None:
        tasks = {
            asyncio.create_task(self._follow(consumer), name="consumer"),
            asyncio.create_task(self._watch(consumer), name="consumer-watchdog"),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=500, max_records=self.settings.consumer_batch)
            messages = [message for batch in fetched.values() for message in batch]
            if not messages:
                continue
            await self._apply(messages)
            await self._commit(consumer, {tp: batch[-1].offset + 1 for tp, batch in fetched.items() if batch})
            failpoint("consumer.after_offset")

    async def _apply(self, messages: list[ConsumerRecord]) -> None:
        """Apply the batch however long the database is away.

        Nothing is fetched meanwhile. Should the group give the partitions to somebody else over it, they get
        these events too, and `key_progress` lets each be applied once.
        """
        found = [to_record(message, self.settings.topic_prefix) for message in messages]
        backoff = 0.1
        self._applying = True
        try:
            while True:
                try:
                    records = await self._without_undone(found)
                    self._judge(await apply_batch(self.db, self.subscription, records), len(records))
                    break
                except Exception as error:
                    if not (is_transient(error) or isinstance(error, DatabaseError)):
                        raise
                    log.warning("apply_delayed", error=repr(error)[:300], retry_in=round(backoff, 2))
                await asyncio.sleep(backoff * random.uniform(0.5, 1.5))
                backoff = min(backoff * 2, 5.0)
        finally:
            self._applying = False
        self.applied_at = datetime.now(UTC)

    async def _without_undone(self, found: list[Record]) -> list[Record]:
        """What a restore has undone is dropped here. Nothing runs during a restore: one look is enough."""
        if self._voids is None:
            self._voids = await Voids.load(self.db)
        records = [record for record in found if not self._voids.undid(record)]
        if len(records) < len(found):
            metrics.UNDONE.labels(self.subscription.consumer).inc(len(found) - len(records))
        return records

    def _judge(self, outcome: Outcome, size: int) -> None:
        self._seen += size
        self._failed += outcome.failures
        self._in_a_row = 0 if outcome.applied else self._in_a_row + outcome.failures
        share = self._seen >= HALT_WINDOW and self._failed > HALT_SHARE * self._seen
        if share or self._in_a_row >= HALT_IN_A_ROW:
            self.halted = True
            metrics.CONSUMER_HALTED.labels(self.subscription.consumer).set(1)
            raise ConsumerHalted(
                f"{self._failed} of {self._seen} events failed: see `lectern dlq list`, mend, then restart"
            )
        if self._seen >= HALT_WINDOW:
            self._seen = self._failed = 0

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        """The offset is a hint (key_progress is the truth), so failing to commit it is no failure."""
        mine = consumer.assignment()
        hints = {tp: offset for tp, offset in offsets.items() if tp in mine}
        try:
            await _within(ANSWER_SECONDS, consumer.commit(hints))
        except (KafkaError, TimeoutError) as error:
            log.info("offset_not_committed", error=repr(error))

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Raises ConsumerStuck where there are events for this member and it does not get on.

        Without partitions it looks at the whole group: a member too many is idle by right, but not when
        nobody gets on. A client that cannot see what others can stands still as well.
        """
        since = time.monotonic()
        before: dict[TopicPartition, int | None] | None = None
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                self._standing = await _within(ANSWER_SECONDS, self._look(consumer))
                behind = any(standing.lag != 0 for standing in self._standing.values())
            except (KafkaError, OSError) as error:
                log.info("watchdog_cannot_see", error=repr(error))
                behind = await _listens(self.settings.kafka)
            seen = {tp: standing.position for tp, standing in self._standing.items()}
            self._measure()
            now = time.monotonic()
            if self._applying or not behind or seen != before:
                since, before = now, seen
                continue
            settled = consumer.assignment() and not consumer._subscription.reassignment_in_progress
            if now - since > (STILL_SECONDS if settled else JOINING_SECONDS):
                raise ConsumerStuck(f"no progress for {now - since:.0f} s; {_coordination(consumer)}")

    def _measure(self) -> None:
        lag, seconds = self.health()["lag"], self._ends.waiting(self._standing, time.time())
        metrics.CONSUMER_LAG.labels(self.subscription.consumer).set(lag or 0)
        metrics.CONSUMER_LAG_SECONDS.labels(self.subscription.consumer).set(seconds)
        self.lag_seconds = seconds

    async def _look(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, "Standing"]:
        """Where this member stands in its partitions; where the group does, while it has none."""
        mine = consumer.assignment()
        ends = await consumer.end_offsets(list(mine or _partitions(consumer)))
        if not mine:
            committed = {tp: await consumer.committed(tp) for tp in ends}
            return {tp: Standing(committed[tp] or 0, end, assigned=False) for tp, end in ends.items()}
        return {tp: Standing(await _position(consumer, tp), end) for tp, end in ends.items()}


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a partition has been read: the next offset, None while it is not known, and the end's."""

    position: int | None
    end: int
    assigned: bool = True

    @property
    def lag(self) -> int | None:
        return None if self.position is None else max(0, self.end - self.position)


class EndTimes:
    """When each partition's end was first seen where it is: tells how long an unread event has waited.

    Nothing has to be read for it, so it rises while a consumer stands still. What was there before the first
    look counts from then on.
    """

    def __init__(self) -> None:
        self._seen: dict[TopicPartition, deque[tuple[int, float]]] = {}

    def waiting(self, standings: Mapping[TopicPartition, Standing], now: float) -> float:
        """Seconds that the oldest unread event of all partitions has waited at most; 0 where none is."""
        self._seen = {tp: self._seen.get(tp) or deque() for tp in standings}
        longest = 0.0
        for tp, standing in standings.items():
            ends = self._seen[tp]
            while ends and standing.position is not None and ends[0][0] <= standing.position:
                ends.popleft()
            known = ends[-1][0] if ends else -1
            if standing.assigned and standing.lag != 0 and known < standing.end and len(ends) < MOST_ENDS:
                ends.append((standing.end, now))
            if ends and standing.lag:
                longest = max(longest, now - ends[0][1])
        return longest


def _partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    return [
        TopicPartition(topic, number)
        for topic in consumer.subscription()
        for number in consumer.partitions_for_topic(topic) or ()
    ]


async def _position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int | None:
    try:
        return int(await _within(0.5, consumer.position(tp)))
    except (IllegalStateError, TimeoutError):
        return None


def _coordination(consumer: AIOKafkaConsumer) -> str:
    """What the client knows of its group: for whoever asks why it stood still."""
    group = consumer._coordinator
    return (
        f"coordinator {group.coordinator_id}, generation {group.generation},"
        f" member {group.member_id or 'none'}, rejoining {consumer._subscription.reassignment_in_progress}"
    )


async def _within(seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """The call's result. Raises TimeoutError, and then waits no longer: a client of Kafka may not end when it
    is cancelled, which `asyncio.wait_for` would wait for."""
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise TimeoutError(f"not within {seconds:g} s")
    return task.result()


def _abandon(task: asyncio.Task[Any]) -> None:
    """Wait for it no longer; its error, should there be one, is reported when it ends."""

    def report(ended: asyncio.Task[Any]) -> None:
        _abandoned.discard(ended)
        if not ended.cancelled() and (error := ended.exception()):
            log.info("abandoned_call_failed", error=repr(error))

    _abandoned.add(task)
    task.add_done_callback(report)
    task.cancel()


async def _listens(bootstrap: str) -> bool:
    """Whether one of the brokers takes connections, from whomever."""
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 1)
        except OSError:
            continue
        writer.close()
        return True
    return False


async def _stop(consumer: AIOKafkaConsumer) -> None:
    try:
        await _within(ANSWER_SECONDS, consumer.stop())
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("consumer_stop_failed", error=repr(error))
