"""Tokens that died before their time: ended sessions, and users whose access changed.

Every process tails `identity.events` by itself, without a consumer group, from some hours ago: a signed link
to a file lives that long (a token ten minutes), so whatever is older cannot matter. Valkey has no part in
this. What is known is never given up because Kafka is away; what is missed meanwhile is read again later.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from libs.common.events.topics import topic
from libs.common.runtime.clock import Clock, system_clock
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import SuiteSettings
from libs.common.security.tokens import LEEWAY, LIFETIME, Principal

log = get_logger(__name__)

SESSION_ENDED = b"identity.session_ended.v1"
ACCESS_CHANGED = b"identity.access_changed.v1"
LINK_SECONDS = 12 * 3600
"""Life of a signed link that names its reader: the longest of what a revocation can hit."""
LOOK_BACK = max(LIFETIME, LINK_SECONDS) + 60
"""Seconds before now at which the tail begins: the longest life, and clocks and relays that lag."""
KEEP = max(LIFETIME, LINK_SECONDS) + 2 * LEEWAY
POLL = 0.5
CHECK = 5.0
"""Seconds between looks of the watchdog; two in a row without progress rebuild the consumer."""


T = TypeVar("T")
_abandoned: set[asyncio.Task[Any]] = set()


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or a TimeoutError in time: the Kafka client can swallow its cancellation."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            _abandoned.add(task)
            task.add_done_callback(_forget)
    if not task.done():
        raise TimeoutError(f"no answer of the Kafka client within {seconds} s")
    if task.cancelled():
        # The client lets a cancellation of its own out when a connection closes; it is none of ours.
        raise TimeoutError("the Kafka client gave up")
    return task.result()


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that nobody complains of it


@dataclass(frozen=True, slots=True)
class Revocation:
    """One session that ended (`session`), or all tokens of `user` whose version is below `version`."""

    user: UUID
    session: UUID | None = None
    version: int = 0

    def covers(self, principal: Principal) -> bool:
        if self.session is not None:
            return principal.session == self.session
        return principal.user == self.user and principal.version < self.version


class RevocationList:
    """Which tokens are dead. `is_revoked` is two dictionary look-ups and never waits."""

    def __init__(self, settings: SuiteSettings, clock: Clock = system_clock) -> None:
        self._kafka = kafka_arguments(settings)
        self._topic = topic("identity.events", settings.topic_prefix)
        self._clock = clock
        self._sessions: dict[UUID, float] = {}
        self._versions: dict[UUID, tuple[int, float]] = {}
        self._callbacks: list[Callable[[Revocation], None]] = []
        self._caught_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._dropped_at = 0.0
        self._stopping = False
        self.connected = False
        self.complete = False
        """Whether all that ended since `LOOK_BACK` is known, however Kafka was when the process began."""

    @property
    def ready(self) -> bool:
        return self._caught_up.is_set()

    def is_revoked(self, principal: Principal) -> bool:
        if self._sessions and principal.session in self._sessions:
            return True
        known = self._versions.get(principal.user) if self._versions else None
        return known is not None and principal.version < known[0]

    def on_revoked(self, callback: Callable[[Revocation], None]) -> None:
        """Call `callback` for every revocation that is news, so that open sockets can be closed."""
        self._callbacks.append(callback)

    async def start(self, patience: float = 5.0) -> None:
        """Begin to tail. Returns when the past is read, or after `patience` seconds with a warning: a
        process must start while Kafka is away, and it catches up as soon as Kafka is back."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="revocations")
            self._task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(patience):
                await self._caught_up.wait()
        except TimeoutError:
            log.warning("revocations_not_caught_up", waited=patience)
            self._caught_up.set()

    async def stop(self) -> None:
        self._stopping = True  # the client can swallow a cancellation while it closes
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._stopping:
            log.critical("revocations_ended", error=repr(None if task.cancelled() else task.exception()))

    def revoke(self, revocation: Revocation) -> None:
        """Take a revocation in; the same one again changes nothing and calls nobody."""
        until = self._clock().timestamp() + KEEP
        if revocation.session is not None:
            news = revocation.session not in self._sessions
            self._sessions[revocation.session] = until
        else:
            version = self._versions.get(revocation.user, (0, 0.0))[0]
            news = revocation.version > version
            self._versions[revocation.user] = (max(version, revocation.version), until)
        for callback in self._callbacks if news else ():
            try:
                callback(revocation)
            except Exception as error:  # one socket that cannot be closed must not keep the others open
                log.error("revocation_callback_failed", exc_info=error)

    def apply(self, kind: bytes | None, value: bytes | None) -> None:
        """Take one message in. A malformed one is reported and skipped: it must not stop the others."""
        if kind not in (SESSION_ENDED, ACCESS_CHANGED) or value is None:
            return
        try:
            event = orjson.loads(value)
            user = UUID(event["user"])
            if kind == SESSION_ENDED:
                self.revoke(Revocation(user, session=UUID(event["session"])))
            else:
                self.revoke(Revocation(user, version=int(event["ver"])))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("revocation_malformed", type=kind.decode(), error=repr(error))

    def drop_outlived(self) -> None:
        """Forget what no living token can be hit by any more."""
        now = self._clock().timestamp()
        if now - self._dropped_at < 10:
            return
        self._dropped_at = now
        self._sessions = {session: until for session, until in self._sessions.items() if until > now}
        self._versions = {user: known for user, known in self._versions.items() if known[1] > now}

    async def _run(self) -> None:
        """Tail for ever; whatever goes wrong, build a new consumer and read the last minutes again."""
        pause = 0.2
        while not self._stopping:
            began = asyncio.get_running_loop().time()
            try:
                await self._tail()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("revocations_interrupted", error=repr(error))
            except Exception as error:  # a defect here must not end the tail
                log.error("revocations_broken", exc_info=error)
            self.connected = False
            if asyncio.get_running_loop().time() - began > 30:
                pause = 0.2
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)  # well below the five seconds in which a revocation takes effect

    async def _tail(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._kafka,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=5_000,
            retry_backoff_ms=200,
            metadata_max_age_ms=30_000,
        )
        try:
            await within(10, consumer.start())
            partitions = await within(10, self._assign(consumer))
            ends = await within(CHECK, consumer.end_offsets(partitions))
            self.connected = True
            await self._follow(consumer, partitions, ends)
        finally:
            # Stopping may hang on a dead broker, or end in a cancellation of the client's own before its
            # connections are closed: they, and the task that refreshes what it knows, would stay for ever.
            for close in (consumer.stop, consumer._client.close):
                with contextlib.suppress(Exception):
                    await within(3, close())

    async def _assign(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        await consumer._client.add_topic(self._topic)  # no public call learns of a topic without assigning it
        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise UnknownTopicOrPartitionError(self._topic)
        partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        since = int((self._clock().timestamp() - LOOK_BACK) * 1000)
        found = await consumer.offsets_for_times({partition: since for partition in partitions})
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            first = found.get(partition)
            # Nothing that recent: begin at the end, as it was before anything newer could be missed.
            consumer.seek(partition, first.offset if first is not None else ends[partition])
        return partitions

    async def _follow(
        self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], ends: dict[TopicPartition, int]
    ) -> None:
        loop = asyncio.get_running_loop()
        checked, stuck_at = loop.time(), None
        while not self._stopping:
            batches = await within(CHECK, consumer.getmany(timeout_ms=int(POLL * 1000), max_records=2000))
            for batch in batches.values():
                for record in batch:
                    self.apply(dict(record.headers).get("ce_type"), record.value)
            positions = {each: await within(CHECK, consumer.position(each)) for each in partitions}
            if not self.complete and all(positions[each] >= ends[each] for each in partitions):
                log.info("revocations_caught_up", known=len(self._sessions) + len(self._versions))
                self.complete = True
                self._caught_up.set()
            self.drop_outlived()
            if loop.time() - checked >= CHECK:
                checked = loop.time()
                stuck_at = await self._look(consumer, positions, stuck_at)

    async def _look(
        self,
        consumer: AIOKafkaConsumer,
        positions: dict[TopicPartition, int],
        stuck_at: dict[TopicPartition, int] | None,
    ) -> dict[TopicPartition, int] | None:
        """The watchdog: known hangs of the client are silent, so compare with the end of the topic."""
        ends = await within(CHECK, consumer.end_offsets(list(positions)))
        if set(consumer.partitions_for_topic(self._topic) or ()) != {each.partition for each in positions}:
            raise TimeoutError("the topic has other partitions now")
        behind = {each: at for each, at in positions.items() if at < ends[each]}
        if stuck_at and any(stuck_at.get(each) == at for each, at in behind.items()):
            raise TimeoutError("the end of the topic moves and the position does not")
        return behind
