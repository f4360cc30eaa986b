"""The Kafka side of consuming: fetch a batch, apply it, then commit the offset as a hint.

Infrastructure failures are retried for ever with backoff; the offset never runs ahead of the database.
A consumer that parks too much stops itself, because a bad deploy must not drain a topic into dead letters.
"""

import asyncio
import random

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from psycopg import Error as DatabaseError

from libs.common import metrics
from libs.common.db import Database
from libs.common.errors import is_transient
from libs.common.failpoints import failpoint
from libs.common.inbox import Outcome, Record, Subscription, apply_batch
from libs.common.logs import get_logger

log = get_logger(__name__)

# A killed member holds up its group for this long, and everything must be applied 30 s after a healing.
SESSION_MS = 12_000
REQUEST_MS = 40_000
WATCHDOG_INTERVAL = 20.0
WATCHDOG_LIMIT = 60.0
HALT_IN_A_ROW = 100
HALT_SHARE = 0.01
HALT_WINDOW = 1_000


class ConsumerHalted(RuntimeError):
    """Too large a share of events could not be applied; nothing more is read until someone has looked."""


class ConsumerStuck(RuntimeError):
    """Kafka has new events and this consumer does not move: the process must be restarted."""


def to_record(message: ConsumerRecord, prefix: str) -> Record:
    """A Kafka message as the inbox takes it; undecodable headers become empty rather than an error."""
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers}
    key = message.key.decode("utf-8", "replace") if message.key else None
    return Record(
        message.topic.removeprefix(prefix), key, message.value, headers, message.partition, message.offset
    )


class Consumer:
    """Runs one subscription until cancelled. Raises ConsumerHalted or ConsumerStuck."""

    def __init__(self, db: Database, subscription: Subscription) -> None:
        self.db = db
        self.subscription = subscription
        self.settings = db.settings
        self.halted = False
        self._seen = 0
        self._failed = 0
        self._in_a_row = 0

    async def run(self) -> None:
        backoff = 0.2
        while True:
            consumer = self._make()
            try:
                await consumer.start()
                backoff = 0.2
                await self._consume(consumer)
            except (KafkaError, OSError) as error:
                log.warning("consumer_interrupted", error=repr(error), retry_in=round(backoff, 2))
            finally:
                await _stop(consumer)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.5))
            backoff = min(backoff * 2, 5.0)

    def _make(self) -> AIOKafkaConsumer:
        prefix = self.settings.topic_prefix
        return AIOKafkaConsumer(
            *(prefix + topic for topic in self.subscription.topics),
            bootstrap_servers=self.settings.kafka,
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
            await self._apply(consumer, messages)
            await self._commit(consumer, {tp: batch[-1].offset + 1 for tp, batch in fetched.items() if batch})
            failpoint("consumer.after_offset")

    async def _apply(self, consumer: AIOKafkaConsumer, messages: list[ConsumerRecord]) -> None:
        """Apply the batch however long the database is away, keeping the membership of the group alive."""
        records = [to_record(message, self.settings.topic_prefix) for message in messages]
        backoff = 0.1
        while True:
            try:
                self._judge(await apply_batch(self.db, self.subscription, records), len(records))
                return
            except Exception as error:
                if not (is_transient(error) or isinstance(error, DatabaseError)):
                    raise
                log.warning("apply_delayed", error=repr(error)[:300], retry_in=round(backoff, 2))
            assigned = consumer.assignment()
            consumer.pause(*assigned)
            try:
                await asyncio.sleep(backoff * random.uniform(0.5, 1.5))
                await consumer.getmany(timeout_ms=0)
            finally:
                consumer.resume(*(assigned & consumer.assignment()))
            backoff = min(backoff * 2, 5.0)

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
        try:
            await consumer.commit({tp: offset for tp, offset in offsets.items() if tp in mine})
        except KafkaError as error:
            log.info("offset_not_committed", error=repr(error))

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        loop = asyncio.get_running_loop()
        last: dict[TopicPartition, tuple[int, float]] = {}
        while True:
            await asyncio.sleep(WATCHDOG_INTERVAL)
            try:
                assigned = consumer.assignment()
                ends = await consumer.end_offsets(list(assigned)) if assigned else {}
                for tp, end in ends.items():
                    position = await asyncio.wait_for(consumer.position(tp), 5)
                    seen, since = last.get(tp, (-1, loop.time()))
                    if position >= end or position != seen:
                        last[tp] = (position, loop.time())
                    elif loop.time() - since > WATCHDOG_LIMIT:
                        raise ConsumerStuck(f"{tp.topic}/{tp.partition} stands at {position} of {end}")
            except (KafkaError, OSError) as error:
                log.info("watchdog_cannot_see", error=repr(error))


async def _stop(consumer: AIOKafkaConsumer) -> None:
    try:
        await asyncio.wait_for(consumer.stop(), 10)
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("consumer_stop_failed", error=repr(error))
