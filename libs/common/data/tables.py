"""Tables that every service has in its own schema, and the mixins of its aggregates.

`service_tables(metadata)` adds those that every service has; SQL elsewhere in `libs.common` names them
without a schema, because each service connects with its own `search_path`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    any_,
    func,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.runtime.clock import system_clock

LANES = 32


def is_any_of(column: Any, uuids: Iterable[UUID]) -> ColumnElement[bool]:
    """`column = ANY(uuids)`: the same statement however many there are, so that it stays prepared."""
    return cast(ColumnElement[bool], column == any_(literal(list(uuids), ARRAY(Uuid()))))


NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# How Python types become columns: text without a length, timestamps with a zone, objects as jsonb.
TYPES: dict[Any, Any] = {
    str: Text(),
    datetime: DateTime(timezone=True),
    UUID: Uuid(),
    dict[str, Any]: JSONB(),
    list[Any]: JSONB(),
}


def service_metadata() -> MetaData:
    """Metadata of one service, with the tables that every service has."""
    metadata = MetaData(naming_convention=NAMING)
    service_tables(metadata)
    return metadata


MOMENT = DateTime(timezone=True)


def service_tables(metadata: MetaData) -> None:
    """Add what every service has beside its own tables."""
    for add in (_outbox, _key_progress, _dead_letter, _idempotency_keys, _epochs, _void_events, _processes):
        add(metadata)


def _outbox(metadata: MetaData) -> None:
    Table(
        "outbox",
        metadata,
        Column("lane", SmallInteger, primary_key=True),
        Column("seq", BigInteger, Identity(always=True), primary_key=True),
        Column("id", Uuid, nullable=False, unique=True),
        Column("topic", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("key_seq", BigInteger, nullable=False),
        Column("type", Text, nullable=False),
        Column("occurred_at", MOMENT, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("payload", LargeBinary),
        UniqueConstraint("topic", "key", "key_seq"),
        CheckConstraint(f"lane >= 0 AND lane < {LANES}", name="lane"),
        comment="Events that Kafka has not acknowledged yet; the relay deletes what it delivered.",
    )


def _key_progress(metadata: MetaData) -> None:
    Table(
        "key_progress",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("topic", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("last_seq", BigInteger, nullable=False),
        Column("parked", Text, comment="error or gap: later events of this key wait in dead_letter"),
        CheckConstraint("parked IN ('error', 'gap')", name="parked"),
        Index(None, "parked", postgresql_where=text("parked IS NOT NULL")),
        comment="Sequence number of the last event applied, per consumer, topic and key.",
    )


def _dead_letter(metadata: MetaData) -> None:
    Table(
        "dead_letter",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("consumer", Text, nullable=False),
        Column("topic", Text, nullable=False),
        Column("partition", Integer),
        Column("offset", BigInteger),
        Column("key", Text),
        Column("seq", BigInteger),
        Column("type", Text),
        Column("headers", JSONB, nullable=False),
        Column("payload", LargeBinary),
        Column("reason", Text, nullable=False, comment="error, behind, gap or malformed"),
        Column("error", Text),
        Column("parked_at", MOMENT, nullable=False, server_default=func.now()),
        Column("resolved_at", MOMENT),
        Column("resolution", Text, comment="who or what resolved it, and how"),
        UniqueConstraint("consumer", "topic", "key", "seq"),
        UniqueConstraint("consumer", "topic", "partition", "offset"),
        comment="Events that could not be applied, and those waiting behind them.",
    )


def _idempotency_keys(metadata: MetaData) -> None:
    Table(
        "idempotency_keys",
        metadata,
        Column("principal", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("request_hash", LargeBinary, nullable=False),
        Column("status", SmallInteger, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("created_at", MOMENT, nullable=False, server_default=func.now(), index=True),
        comment="Answers to requests that carried an Idempotency-Key, kept 24 hours.",
    )


def _epochs(metadata: MetaData) -> None:
    Table(
        "epochs",
        metadata,
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("restored_to", MOMENT, nullable=False, comment="what happened until then has happened"),
        Column("began_at", MOMENT, nullable=False, server_default=func.now()),
        comment="A restore begins an epoch; the newest is stamped on every event. None: the first, 0.",
    )


def _void_events(metadata: MetaData) -> None:
    Table(
        "void_events",
        metadata,
        Column("topic", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("epoch", BigInteger, primary_key=True, autoincrement=False),
        Column("last_seq", BigInteger, nullable=False),
        comment="Of epochs before `epoch`, events of the key beyond `last_seq` were undone by a restore.",
    )


def _processes(metadata: MetaData) -> None:
    Table(
        "processes",
        metadata,
        Column("instance", Text, primary_key=True),
        Column("kind", Text, primary_key=True, comment="api, worker, or tasks (a Celery worker)"),
        Column("started_at", MOMENT, nullable=False),
        Column("seen_at", MOMENT, nullable=False),
        Column("facts", JSONB, nullable=False, comment="release, consumers, connections, recent errors"),
        comment="Processes of the service, each as it said of itself a few seconds ago.",
        prefixes=["UNLOGGED"],
    )


class Aggregate:
    """Mixin of an aggregate root: public id and version (ETag, optimistic lock, event sequence)."""

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    version: Mapped[int] = mapped_column(BigInteger, default=0)


class Timestamps:
    """Mixin: when the row was made, and when it last changed."""

    created_at: Mapped[datetime] = mapped_column(default=system_clock, server_default=func.now())
    # Set here and not by the server, so that the row can be read on after a flush.
    updated_at: Mapped[datetime] = mapped_column(
        default=system_clock, server_default=func.now(), onupdate=system_clock
    )
