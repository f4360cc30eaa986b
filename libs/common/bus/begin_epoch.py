"""Begin an epoch (epochs.py): `python -m libs.common.bus.begin_epoch --restored-to TIME [--offsets FILE]`.

Runs after a restore, before anything else does: with the databases of all services, and with a user of Kafka
that may read all topics and commit for all groups.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from inspect import isawaitable
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy import Text, cast, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.audit import Versions, published
from libs.common.bus.dlq import open_service
from libs.common.bus.epochs import Place, epoch_of
from libs.common.bus.received import Record
from libs.common.data.outbox import outbox_row, record_row
from libs.common.events.base import REGISTRY
from libs.common.events.topics import TOPICS
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.settings import SERVICES, SuiteSettings
from libs.common.runtime.trace import current_trace

BATCH = 200
READ_SECONDS = 30.0
Offsets = dict[str, dict[str, dict[str, int]]]  # group → topic → partition → next offset


@dataclass
class Future:
    """What the log holds that a restore has undone: per key its last sequence number."""

    tops: dict[Place, int] = field(default_factory=dict)
    events: int = 0
    epoch: int = 0
    """The highest that was seen."""

    def look(self, record: Record, heads: Versions) -> None:
        """Take in one record. `heads` are the newest sequence numbers that the databases know of."""
        try:
            epoch, seq = epoch_of(record.headers), int(record.headers["ce_sequence"])
        except (KeyError, ValueError):
            return
        self.epoch = max(self.epoch, epoch)
        key = record.key or ""
        if seq > heads.get(record.topic, {}).get(key, 0):
            self.events += 1
            self.tops[record.topic, key] = max(seq, self.tops.get((record.topic, key), 0))


@dataclass(frozen=True)
class Begun:
    """What `begin` has done."""

    epoch: int
    undone: int
    """Events of the log that did not happen."""
    keys: dict[Place, tuple[int, int]]
    """Of the keys that they belong to, the last sequence number that counts and the last that does not."""
    restated: int


async def begin(settings: SuiteSettings, restored_to: datetime, offsets: Offsets | None = None) -> Begun:
    """Begin an epoch. Nothing else of the suite may run; run twice, it begins two, which is harmless.

    `offsets` are the groups' of the moment of the backup: consumers read from there again, and skip what they
    know. Without them they read from the beginning.
    """
    heads = await known_heads()
    future = await _read_future(settings, heads, offsets or {})
    number = 1 + max(future.epoch, await _newest_epoch())
    keys = {place: (heads.get(place[0], {}).get(place[1], 0), top) for place, top in future.tops.items()}
    for service in SERVICES:
        db, _ = open_service(service)
        async with db.session() as session:
            await _write(session, number, restored_to, {place: last for place, (last, _) in keys.items()})
        await db.close()
    restated = await _restate_undone(keys)
    await set_offsets(settings, offsets)
    return Begun(number, future.events, keys, restated)


async def known_heads() -> Versions:
    """The newest sequence number of every key that any database knows: of aggregates, of outboxes, of what
    consumers have applied."""
    heads, _ = await published(list(SERVICES))
    for service in SERVICES:
        db, _ = open_service(service)
        async with db.sessions() as session:
            rows = await session.execute(
                text(
                    "SELECT topic, key, max(seq) FROM (SELECT topic, key, key_seq AS seq FROM outbox"
                    " UNION ALL SELECT topic, key, last_seq FROM key_progress UNION ALL"
                    " SELECT topic, key, seq FROM dead_letter WHERE key IS NOT NULL AND seq IS NOT NULL)"
                    " AS known GROUP BY topic, key"
                )
            )
            for topic, key, seq in rows:
                known = heads.setdefault(topic, {})
                known[key] = max(seq, known.get(key, 0))
        await db.close()
    return heads


async def restate(service: str, topic: str, keys: Collection[str] | None = None) -> int:
    """Publish the states of a topic again as they are, of all aggregates or of these; returns how many.

    Each at its own version: who has it skips it. What waits in the outbox anyway is left out.
    """
    publish: Callable[[AsyncSession, Any], Any] = import_module(f"services.{service}.worker").RESTATE
    base = import_module(f"services.{service}.models").Base
    (model,) = {m.class_ for m in base.registry.mappers if topic in getattr(m.class_, "__topics__", ())}
    db, _ = open_service(service)
    async with db.sessions() as session:
        waiting = set(
            await session.scalars(text("SELECT key FROM outbox WHERE topic = :topic"), {"topic": topic})
        )
        found = await session.scalars(
            select(cast(model.uuid, Text)).where(model.version > 0).order_by(model.uuid)
        )
        uuids = [key for key in found if key not in waiting and (keys is None or key in keys)]
    for start in range(0, len(uuids), BATCH):
        async with db.session() as session:
            chosen = await session.scalars(
                select(model).where(model.uuid.in_(uuids[start : start + BATCH])).with_for_update()
            )
            for aggregate in chosen.all():
                told = publish(session, aggregate)
                if isawaitable(told):
                    await told
    await db.close()
    return len(uuids)


async def set_offsets(settings: SuiteSettings, offsets: Offsets | None) -> None:
    """Let the consumers begin at these offsets, and at the beginning of what they do not name."""
    for service in SERVICES:
        db, subscription = open_service(service)
        await db.close()
        if subscription is None:
            continue
        group = settings.topic_prefix + subscription.consumer
        consumer = AIOKafkaConsumer(**kafka_arguments(settings), group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            topics = [settings.topic_prefix + topic for topic in subscription.topics]
            places = await partitions_of(consumer, topics)
            consumer.assign(places)
            first, end = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
            known = (offsets or {}).get(group, {})
            wanted = {tp: known.get(tp.topic, {}).get(str(tp.partition), first[tp]) for tp in places}
            await consumer.commit({tp: min(max(at, first[tp]), end[tp]) for tp, at in wanted.items()})
        finally:
            await consumer.stop()


async def partitions_of(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> list[TopicPartition]:
    """Those of the topics that are there."""
    await consumer._client.force_metadata_update()
    known = await consumer.topics()
    return [
        TopicPartition(topic, number)
        for topic in topics
        if topic in known
        for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]


async def _read_future(settings: SuiteSettings, heads: Versions, offsets: Offsets) -> Future:
    future = Future()
    consumer = AIOKafkaConsumer(**kafka_arguments(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        places = await partitions_of(consumer, [settings.topic_prefix + topic.name for topic in TOPICS])
        if not places:
            return future
        consumer.assign(places)
        first, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        # What a group had read by then is no future. Times are no help: a producer's clock may be wrong.
        for tp in places:
            read = [group.get(tp.topic, {}).get(str(tp.partition), 0) for group in offsets.values()]
            first[tp] = min(max([first[tp], *read]), ends[tp])
            consumer.seek(tp, first[tp])
        left = {tp for tp in places if first[tp] < ends[tp]}
        while left:
            fetched = await asyncio.wait_for(
                consumer.getmany(timeout_ms=1000, max_records=5000), READ_SECONDS
            )
            for messages in fetched.values():
                for message in messages:
                    headers = {
                        name: (value or b"").decode("utf-8", "replace") for name, value in message.headers
                    }
                    key = message.key.decode("utf-8", "replace") if message.key else None
                    topic = message.topic.removeprefix(settings.topic_prefix)
                    future.look(Record(topic, key, message.value, headers), heads)
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()
    return future


async def _newest_epoch() -> int:
    newest = 0
    for service in SERVICES:
        db, _ = open_service(service)
        async with db.sessions() as session:
            newest = max(newest, await session.scalar(text("SELECT max(number) FROM epochs")) or 0)
        await db.close()
    return newest


async def _write(session: AsyncSession, number: int, restored_to: datetime, last: dict[Place, int]) -> None:
    await session.execute(
        text("INSERT INTO epochs (number, restored_to) VALUES (:n, :at)"), {"n": number, "at": restored_to}
    )
    await session.execute(
        text(
            "INSERT INTO void_events (topic, key, epoch, last_seq)"
            " SELECT topic, key, :n, last FROM unnest(CAST(:t AS text[]), CAST(:k AS text[]),"
            " CAST(:s AS bigint[])) AS undone(topic, key, last)"
        ),
        {"n": number, "t": [t for t, _ in last], "k": [k for _, k in last], "s": list(last.values())},
    )


async def _restate_undone(keys: dict[Place, tuple[int, int]]) -> int:
    """A compacted topic keeps the newest record of a key, be it undone: put the true one behind it."""
    count = 0
    for topic in TOPICS:
        undone = {key: ends for (name, key), ends in keys.items() if name == topic.name}
        if topic.kind != "state" or not undone:
            continue
        count += await restate(topic.producer, topic.name, {key for key, (last, _) in undone.items() if last})
        phantoms = {key: top for key, (last, top) in undone.items() if not last}
        (state,) = {cls for cls in REGISTRY.values() if cls.topic == topic.name and cls.state}
        db, _ = open_service(topic.producer)
        async with db.session() as session:
            for key, top in phantoms.items():
                record_row(session, outbox_row(topic.name, key, top + 1, state.type, None, current_trace()))
        await db.close()
        count += len(phantoms)
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description="Begin an epoch after a restore, before the suite starts.")
    parser.add_argument("--restored-to", required=True, type=datetime.fromisoformat, metavar="TIME")
    parser.add_argument(
        "--offsets", type=Path, metavar="FILE", help="the groups' offsets of the backup, JSON"
    )
    arguments = parser.parse_args()
    if arguments.restored_to.tzinfo is None:
        parser.error("--restored-to needs a zone, as in 2026-01-31T12:00:00Z")
    offsets = orjson.loads(arguments.offsets.read_bytes()) if arguments.offsets else None
    try:
        begun = asyncio.run(begin(SuiteSettings(), arguments.restored_to, offsets))
    except KafkaError as error:
        print(
            f"Kafka: {error!r}: stop all processes of the suite, and name a user that may do it",
            file=sys.stderr,
        )
        return 1
    for (topic, key), (last, top) in sorted(begun.keys.items())[:20]:
        print(f"undone {topic} {key}: {last + 1} to {top}")
    print(
        f"epoch {begun.epoch} has begun: {begun.undone} events of {len(begun.keys)} keys did not happen,"
        f" {begun.restated} states are told again"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
