"""Tells whether this gateway knows of everything that a service published until a second ago.

A tail of topics, without a group, from their ends. What messages say is not read, only what they are about.
It counts as up to date for `LEASE` seconds after the broker has last said that there is nothing more; so a
tail that hangs, a broker that is away or a process that was stopped all show by themselves.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import SuiteSettings
from libs.common.security.revocation import within

log = get_logger(__name__)

Change = tuple[str, str]
"""Topic and type."""

LEASE = 0.75
"""Seconds; with the relay's few milliseconds well within the second that is promised."""
POLL, PAUSE = 0.15, 0.1
"""Seconds after which the broker answers that there is nothing new, and between two checks of its answers."""
PATIENCE = 5.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Freshness:
    """Calls `on_changes` with the topics and types of what was published, and with all topics and no type
    when something may have been missed."""

    def __init__(
        self, settings: SuiteSettings, topics: Iterable[str], on_changes: Callable[[set[Change]], None]
    ) -> None:
        self._kafka = kafka_arguments(settings)
        self._topics = {settings.topic_prefix + topic: topic for topic in topics}
        self._on_changes = on_changes
        self._now = asyncio.get_running_loop().time
        self._until = 0.0
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def holds(self) -> bool:
        """Whether everything published until a second ago is known."""
        return self._now() < self._until

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="freshness")

    async def stop(self) -> None:
        self._stopping = True  # the client can swallow a cancellation while it closes
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._stopping:
            began = self._now()
            try:
                await self._tail()
            except (KafkaError, OSError, TimeoutError) as error:
                log.info("freshness_interrupted", error=repr(error)[:200])
            except Exception as error:  # a defect here must not end the tail
                log.error("freshness_broken", exc_info=error)
            self._until = 0.0
            if self._now() - began > 30:
                pause = SHORTEST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _tail(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._kafka,
            group_id=None,
            enable_auto_commit=False,
            request_timeout_ms=int(PATIENCE * 1000),
            fetch_max_wait_ms=int(POLL * 1000),
            retry_backoff_ms=200,
            metadata_max_age_ms=30_000,
        )
        try:
            await within(PATIENCE * 2, consumer.start())
            partitions = await within(PATIENCE, self._assign(consumer))
            self._on_changes({(topic, "") for topic in self._topics.values()})
            await self._follow(consumer, partitions)
        finally:
            with contextlib.suppress(Exception):  # stopping may hang on a dead broker
                await within(3, consumer.stop())

    async def _assign(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        partitions = []
        for topic in self._topics:
            await consumer._client.add_topic(topic)  # no public call learns of a topic without assigning it
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise UnknownTopicOrPartitionError(topic)
            partitions += [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        for partition, end in (await consumer.end_offsets(partitions)).items():
            consumer.seek(partition, end)
        return partitions

    async def _follow(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        known = dict(Counter(partition.topic for partition in partitions))
        began = looked = self._now()
        heard = dict.fromkeys(partitions, (None, 0.0))
        while not self._stopping:
            batches = await within(PATIENCE, consumer.getmany(timeout_ms=int(PAUSE * 1000)))
            if batches:
                self._on_changes(
                    {
                        (self._topics[partition.topic], dict(message.headers).get("ce_type", b"").decode())
                        for partition, messages in batches.items()
                        for message in messages
                    }
                )
            now = self._now()
            for partition in partitions:
                stamp = consumer.last_poll_timestamp(partition)
                if stamp != heard[partition][0]:  # the broker has spoken since the last look
                    heard[partition] = (stamp, looked)
            looked = now
            oldest = min(at for _, at in heard.values())
            if await within(PATIENCE, _at_end(consumer, partitions)):
                self._until = oldest + LEASE
            if now - max(oldest, began) > PATIENCE:
                raise TimeoutError("the broker says nothing any more")
            if {topic: len(consumer.partitions_for_topic(topic) or ()) for topic in self._topics} != known:
                raise TimeoutError("a topic has other partitions now")


async def _at_end(consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> bool:
    """Whether everything up to the last known end of each partition has been read."""
    for partition in partitions:
        end = consumer.highwater(partition)
        if end is None or await consumer.position(partition) < end:
            return False
    return True
