"""Events that could not be applied: storing them, and finding them again."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.expression import bindparam

from libs.common.bus.received import Received, Record
from libs.common.runtime import metrics

_INSERT = text(
    "INSERT INTO dead_letter"
    ' (consumer, topic, "partition", "offset", key, seq, type, headers, payload, reason, error) VALUES'
    " (:consumer, :topic, :partition, :offset, :key, :seq, :type, :headers, :payload, :reason, :error)"
    " ON CONFLICT DO NOTHING"
).bindparams(bindparam("headers", type_=JSONB))


def _row(consumer: str, record: Record, reason: str, error: Exception | None) -> dict[str, Any]:
    return {
        "consumer": consumer,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": None,
        "seq": None,
        "type": record.headers.get("ce_type"),
        "headers": record.headers,
        "payload": record.value,
        "reason": reason,
        "error": f"{type(error).__name__}: {error}"[:4000].replace("\0", "") if error else None,
    }


async def store_malformed(
    session: AsyncSession, consumer: str, items: Sequence[tuple[Record, Exception]]
) -> int:
    """Keep messages without a readable envelope. They belong to no key, so nothing waits behind them."""
    stored = 0
    for record, error in items:
        result: Any = await session.execute(_INSERT, _row(consumer, record, "malformed", error))
        stored += result.rowcount
    metrics.PARKED.labels(consumer, "malformed").inc(stored)
    return stored


async def store_held(session: AsyncSession, consumer: str, items: Sequence[tuple[Received[Any], str]]) -> int:
    """Keep events that failed, came too early, or wait behind such a one. Returns how many are new."""
    stored = 0
    for item, reason in items:
        row = _row(consumer, item.record, reason, item.error if reason == "error" else None)
        row |= {"key": item.key, "seq": item.seq}
        result: Any = await session.execute(_INSERT, row)
        stored += result.rowcount
        if result.rowcount:
            metrics.PARKED.labels(consumer, reason).inc()
    return stored


async def waiting(session: AsyncSession, consumer: str, topic: str, key: str) -> Sequence[Any]:
    """Unresolved dead letters of one key, in order."""
    result = await session.execute(
        text(
            'SELECT id, seq, type, headers, payload, "partition", "offset", reason, error FROM dead_letter'
            " WHERE consumer = :c AND topic = :t AND key = :k AND resolved_at IS NULL ORDER BY seq"
        ),
        {"c": consumer, "t": topic, "k": key},
    )
    return result.all()


async def parked_keys(
    session: AsyncSession,
    consumer: str,
    topic: str | None = None,
    key: str | None = None,
    most: int | None = None,
) -> Sequence[Any]:
    """Keys that are parked, of a topic or one of them alone, each with how many events wait and the error
    that parked it."""
    result = await session.execute(
        text(
            "SELECT p.topic, p.key, p.parked, p.last_seq,"
            " count(d.id) AS waiting, min(d.parked_at) AS since,"
            " (array_agg(d.error ORDER BY d.seq) FILTER (WHERE d.error IS NOT NULL))[1] AS error"
            " FROM key_progress p LEFT JOIN dead_letter d ON d.consumer = p.consumer AND d.topic = p.topic"
            " AND d.key = p.key AND d.resolved_at IS NULL"
            " WHERE p.consumer = :c AND p.parked IS NOT NULL"
            " AND (CAST(:t AS text) IS NULL OR p.topic = :t) AND (CAST(:k AS text) IS NULL OR p.key = :k)"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2 LIMIT :most"
        ),
        {"c": consumer, "t": topic, "k": key, "most": most},
    )
    return result.all()


def readable(payload: bytes | None) -> str | None:
    """A message as text, whatever it is: what is no UTF-8, and NUL, as `\\x` and two digits."""
    if payload is None:
        return None
    return bytes(payload).decode("utf-8", "backslashreplace").replace("\0", "\\x00")
