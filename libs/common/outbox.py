"""Recording events in the transaction of the write that they report."""

import zlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils
from sqlalchemy import event as sa_event
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import bindparam

from libs.common.clock import system_clock
from libs.common.events.base import Event
from libs.common.tables import LANES
from libs.common.trace import Trace, current_trace

INSERT = text(
    "INSERT INTO outbox (lane, id, topic, key, key_seq, type, occurred_at, headers, payload) VALUES"
    " (:lane, :id, :topic, :key, :key_seq, :type, :occurred_at, :headers, :payload)"
).bindparams(bindparam("headers", type_=JSONB))


def lane_of(topic: str, key: str) -> int:
    """Lane of an aggregate: the same for all events of one key, so that their order is kept."""
    return zlib.crc32(f"{topic}\0{key}".encode()) % LANES


def outbox_row(
    topic: str, key: str, seq: int, kind: str, payload: bytes | None, trace: Trace, at: datetime | None = None
) -> dict[str, Any]:
    """Values of one outbox row; hot paths pass them to a statement of their own."""
    return {
        "lane": lane_of(topic, key),
        "id": UUID(bytes=uuid_utils.uuid7().bytes),
        "topic": topic,
        "key": key,
        "key_seq": seq,
        "type": kind,
        "occurred_at": at or system_clock(),
        "headers": trace.headers(),
        "payload": payload,
    }


def record(session: AsyncSession, event: Event, seq: int, *, trace: Trace | None = None) -> UUID:
    """Publish `event` if and only if this transaction commits; returns its id.

    `seq` is the version of the aggregate after the change. The caller holds the aggregate's row lock and has
    bumped the version, so per-key order is commit order. A consumer passes the trace of what it received.
    """
    payload = event.model_dump_json().encode()
    row = outbox_row(event.topic, event.key, seq, event.type, payload, trace or current_trace())
    _add(session, row)
    number: UUID = row["id"]
    return number


def record_tombstone(session: AsyncSession, state: type[Event], key: UUID, seq: int) -> None:
    """Delete the aggregate from its state topic if and only if this transaction commits."""
    _add(session, outbox_row(state.topic, str(key), seq, state.type, None, current_trace()))


def take_recorded(session: AsyncSession, count: int) -> list[dict[str, Any]]:
    """The rows of the `count` events that were recorded last, for a hot path that inserts them itself."""
    rows: list[dict[str, Any]] = session.info["outbox"]
    taken = rows[-count:]
    del rows[-count:]
    return taken


def recorded(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Announce rows that a hot path has inserted itself, so that the relay wakes and the token is set."""
    session.info.setdefault("tokens", {}).update({(r["topic"], r["key"]): r["key_seq"] for r in rows})


def _add(session: AsyncSession, row: dict[str, Any]) -> None:
    session.info.setdefault("outbox", []).append(row)
    recorded(session, [row])


@sa_event.listens_for(Session, "before_commit")
def _insert_recorded(session: Session) -> None:
    session.flush()
    rows = session.info.pop("outbox", None)
    if rows:
        session.execute(INSERT, rows)


@sa_event.listens_for(Session, "after_rollback")
def _forget_recorded(session: Session) -> None:
    session.info.pop("outbox", None)
    for name in ("tokens", "tasks", "live"):
        session.info.pop(name, None)


def consistency_token(session: AsyncSession, keys: Collection[str] | None = None) -> str | None:
    """`topic:key:seq` of everything that this session published, or of these keys; comma separated."""
    tokens: dict[tuple[str, str], int] = session.info.get("tokens", {})
    parts = [f"{topic}:{key}:{seq}" for (topic, key), seq in tokens.items() if keys is None or key in keys]
    return ",".join(parts[-8:]) or None
