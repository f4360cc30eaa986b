"""Write the log anew where Kafka has lost it: `python -m services.analytics.republish`.

Facts come from the event log, with their ids, times and sequence numbers; states from the services' own rows.
Facts that Kafka had and analytics had not applied yet are lost with Kafka: each is named, and a
`lectern.lost.v1` takes its place, so that no consumer waits for it.

Runs while nothing else does, on empty topics, with the databases of all services and a user of Kafka that may
write all topics.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from sqlalchemy import TextClause, text

from libs.common.bus.audit import published
from libs.common.bus.begin_epoch import partitions_of, restate
from libs.common.bus.dlq import open_service
from libs.common.bus.relay import kafka_headers
from libs.common.data.db import Database
from libs.common.data.uuids import ordered
from libs.common.events.topics import TOPICS, create_topics
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.settings import SERVICES, SuiteSettings
from services.analytics.lake.archive import WINDOW, LakeNotReadable, open_archive

LOST = "lectern.lost.v1"
BATCH = 1_000
LOGS = {topic.name: topic.producer for topic in TOPICS if topic.kind == "log"}
# What analytics could not apply is in its dead letters, and not in its log.
READ = text(
    "SELECT topic, key, seq, event_id AS id, type, occurred_at AS at, payload::text AS payload,"
    " position AS place FROM analytics.event_log"
    " WHERE topic = ANY(:topics) AND position > :after ORDER BY position LIMIT :most"
)
READ_PARKED = text(
    "SELECT topic, key, seq, CAST(headers ->> 'ce_id' AS uuid) AS id, type,"
    " CAST(headers ->> 'ce_time' AS timestamptz) AS at, convert_from(payload, 'UTF8') AS payload, id AS place"
    " FROM dead_letter WHERE topic = ANY(:topics) AND key IS NOT NULL AND resolved_at IS NULL AND id > :after"
    " ORDER BY id LIMIT :most"
)


class NotEmpty(Exception):
    """Kafka still has a log: writing it again would tell everything twice."""


@dataclass
class Rebuilt:
    """Events and states written, and the facts that nobody has any more: topic, key and sequence number."""

    facts: int = 0
    states: int = 0
    lost: list[tuple[str, str, int]] = field(default_factory=list)


async def rebuild_log(settings: SuiteSettings) -> Rebuilt:
    """Raises NotEmpty, and then has written nothing."""
    await create_topics(settings.kafka, settings.topic_prefix)
    await _refuse_a_log(settings)
    result = Rebuilt()
    last: dict[tuple[str, str], int] = defaultdict(int)
    epoch = await _epoch()
    producer = AIOKafkaProducer(**kafka_arguments(settings), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        async for rows in _facts():
            sent = [await _send(producer, settings, row, epoch) for row in rows]
            await asyncio.gather(*sent)
            result.facts += len(rows)
            for row in rows:
                last[row.topic, row.key] = max(row.seq, last[row.topic, row.key])
        for filler in await _lost(last):
            await (await _send(producer, settings, filler, epoch))
            result.lost.append((filler.topic, filler.key, filler.seq))
    finally:
        await producer.stop()
    for each in TOPICS:
        if each.kind == "state":
            result.states += await restate(each.producer, each.name)
    return result


@dataclass(frozen=True)
class _Filler:
    """Stands in the place of a fact that is lost."""

    topic: str
    key: str
    seq: int
    type: str = LOST
    id: Any = field(default_factory=ordered)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def payload(self) -> str:
        return orjson.dumps({"topic": self.topic, "key": self.key, "sequence": self.seq}).decode()


async def _refuse_a_log(settings: SuiteSettings) -> None:
    consumer = AIOKafkaConsumer(**kafka_arguments(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        places = await partitions_of(consumer, [settings.topic_prefix + topic.name for topic in TOPICS])
        full = {tp.topic for tp, end in (await consumer.end_offsets(places)).items() if end}
    finally:
        await consumer.stop()
    if full:
        raise NotEmpty(
            f"{', '.join(sorted(full))} hold events: this writes a lost log anew, and deletes nothing. Where"
            " the log is whole, start the suite; where a part is lost, delete all topics first"
        )


async def _epoch() -> int:
    db, _ = open_service("analytics")
    async with db.sessions() as session:
        epoch = await session.scalar(text("SELECT coalesce(max(number), 0) FROM epochs"))
    await db.close()
    return epoch or 0


@dataclass(frozen=True)
class _Archived:
    """A fact that only the lake has."""

    place: int
    at: datetime
    id: Any
    topic: str
    key: str
    seq: int
    type: str
    payload: str | None


async def _facts() -> AsyncIterator[list[Any]]:
    """Of each key in order: the log has it as it was applied, and what is parked comes after. Raises
    LakeNotReadable."""
    db, _ = open_service("analytics")
    try:
        async for rows in _logged(db):
            yield rows
        after = 0
        while rows := await _rows(db, READ_PARKED, after):
            yield rows
            after = rows[-1].place
    finally:
        await db.close()


async def _logged(db: Database) -> AsyncIterator[list[Any]]:
    """The log in the order of positions, with the months that only the lake has."""
    archive = await open_archive(db)
    after = 0
    while True:
        rows = await _rows(db, READ, after)
        end = rows[-1].place if rows else archive.last
        if archive.last > after:
            end = min(end, after + WINDOW)
        if end <= after:
            return
        archived = [_Archived(*row) for row in await archive.rows(after, end)]
        found = [row for row in rows if row.place <= end]
        found += [row for row in archived if row.topic in LOGS]
        if found:
            yield sorted(found, key=lambda row: row.place)
        after = end


async def _rows(db: Database, query: TextClause, after: int) -> list[Any]:
    async with db.sessions() as session:
        values = {"topics": list(LOGS), "after": after, "most": BATCH}
        return list((await session.execute(query, values)).all())


async def _send(
    producer: AIOKafkaProducer, settings: SuiteSettings, row: Any, epoch: int
) -> "asyncio.Future[Any]":
    fields: Any = (None, None, row.id, row.topic, row.key, row.seq, row.type, row.at, {}, None)
    future: asyncio.Future[Any] = await producer.send(
        settings.topic_prefix + row.topic,
        value=None if row.payload is None else row.payload.encode(),
        key=row.key.encode(),
        headers=kafka_headers(f"/lectern/{LOGS[row.topic]}", fields, epoch),
        timestamp_ms=int(row.at.timestamp() * 1000),
    )
    return future


async def _lost(last: dict[tuple[str, str], int]) -> list[_Filler]:
    """What was published, is not in the log, and does not wait in an outbox."""
    versions, _ = await published(list(SERVICES))
    waiting: dict[tuple[str, str], int] = {}
    for service in SERVICES:
        db, _ = open_service(service)
        async with db.sessions() as session:
            rows = await session.execute(
                text("SELECT topic, key, min(key_seq) FROM outbox GROUP BY topic, key")
            )
            waiting.update({(topic, key): first for topic, key, first in rows})
        await db.close()
    return [
        _Filler(topic, key, seq)
        for topic in LOGS
        for key, version in versions.get(topic, {}).items()
        for seq in range(last[topic, key] + 1, min(version, waiting.get((topic, key), version + 1) - 1) + 1)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Write Kafka's log anew from the event log and the services."
    )
    parser.add_argument("--if-lost", action="store_true", help="do nothing where the log is there")
    arguments = parser.parse_args()
    try:
        result = asyncio.run(rebuild_log(SuiteSettings()))
    except (NotEmpty, LakeNotReadable, KafkaError) as error:
        if arguments.if_lost and isinstance(error, NotEmpty):
            print("the log is there")
            return 0
        print(f"republish: {error}", file=sys.stderr)
        return 1
    for topic, key, seq in result.lost:
        print(f"lost {topic} {key} {seq}")
    print(
        f"{result.facts} facts and {result.states} states are told again, {len(result.lost)} facts are lost"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
