"""Recording events in the transaction of the write that they report."""

import zlib
from collections.abc import Collection
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy import event as sa_event
from sqlalchemy.orm import Session

from libs.common.data.tables import LANES
from libs.common.data.uuids import ordered
from libs.common.events.base import Event
from libs.common.runtime.clock import system_clock
from libs.common.runtime.trace import Trace, current_trace

# In the order in which they were recorded: `seq` is given in it, and the relay sends in it. One JSON
# parameter, because to bind many columns costs more than to parse it.
INSERT = """
INSERT INTO outbox (lane, id, topic, key, key_seq, type, occurred_at, headers, payload)
 SELECT lane, id, topic, key, key_seq, type, occurred_at, headers, convert_to(payload, 'UTF8')
 FROM ROWS FROM (json_to_recordset(%(rows)s::json) AS (lane int2, id uuid, topic text, key text,
  key_seq int8, type text, occurred_at timestamptz, headers jsonb, payload text)) WITH ORDINALITY
  AS e(lane, id, topic, key, key_seq, type, occurred_at, headers, payload, place) ORDER BY place
"""


class Recorder(Protocol):
    """A transaction that events are recorded in: SQLAlchemy's session, or one of psycopg alone."""

    @property
    def info(self) -> dict[Any, Any]: ...


def lane_of(topic: str, key: str) -> int:
    """Lane of an aggregate: the same for all events of one key, so that their order is kept."""
    return zlib.crc32(f"{topic}\0{key}".encode()) % LANES


def outbox_row(
    topic: str, key: str, seq: int, kind: str, payload: str | None, trace: Trace, at: datetime | None = None
) -> dict[str, Any]:
    """Values of one outbox row."""
    return {
        "lane": lane_of(topic, key),
        "id": ordered(),
        "topic": topic,
        "key": key,
        "key_seq": seq,
        "type": kind,
        "occurred_at": at or system_clock(),
        "headers": trace.headers(),
        "payload": payload,
    }


def record(session: Recorder, event: Event, seq: int, *, trace: Trace | None = None) -> UUID:
    """Publish `event` if and only if this transaction commits; returns its id.

    `seq` is the version of the aggregate after the change. The caller holds the aggregate's row lock and has
    bumped the version, so per-key order is commit order. A consumer passes the trace of what it received.
    """
    payload = event.model_dump_json()
    row = outbox_row(event.topic, event.key, seq, event.type, payload, trace or current_trace())
    record_row(session, row)
    number: UUID = row["id"]
    return number


def record_tombstone(
    session: Recorder, state: type[Event], key: UUID, seq: int, *, trace: Trace | None = None
) -> None:
    """Delete the aggregate from its state topic if and only if this transaction commits."""
    record_row(session, outbox_row(state.topic, str(key), seq, state.type, None, trace or current_trace()))


def take_recorded(session: Recorder) -> dict[str, str] | None:
    """The parameter of `INSERT`; None where nothing was recorded."""
    rows = session.info.pop("outbox", None)
    return {"rows": orjson.dumps(rows).decode()} if rows else None


def record_row(session: Recorder, row: dict[str, Any]) -> None:
    """Publish an `outbox_row` if and only if this transaction commits."""
    session.info.setdefault("outbox", []).append(row)
    session.info.setdefault("tokens", {})[row["topic"], row["key"]] = row["key_seq"]


@sa_event.listens_for(Session, "before_commit")
def _insert_recorded(session: Session) -> None:
    session.flush()
    rows = take_recorded(session)
    if rows is not None:
        session.connection().exec_driver_sql(INSERT, rows)


@sa_event.listens_for(Session, "after_rollback")
def _forget_recorded(session: Session) -> None:
    session.info.pop("outbox", None)
    for name in ("tokens", "tasks", "live"):
        session.info.pop(name, None)


def consistency_token(session: Recorder, keys: Collection[str] | None = None) -> str | None:
    """`topic:key:seq` of everything that this session published, or of these keys; comma separated."""
    tokens: dict[tuple[str, str], int] = session.info.get("tokens", {})
    parts = [f"{topic}:{key}:{seq}" for (topic, key), seq in tokens.items() if keys is None or key in keys]
    return ",".join(parts[-8:]) or None
