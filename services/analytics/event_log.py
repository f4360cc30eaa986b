"""The event log: every event that was applied, in order, and what the read models become by it."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events import forum, identity
from services.analytics.fold import fold
from services.analytics.projection import use_live

# Received[…] of the class that the handler is registered for.
Batch = Sequence[Any]
PERSONAL = ("email", "first_name", "last_name", "full_name", "bio")
APPEND = text(
    "WITH added AS (INSERT INTO analytics.event_log (occurred_at, event_id, topic, key, seq, type, payload)"
    " SELECT * FROM unnest(CAST(:at AS timestamptz[]), CAST(:id AS uuid[]), CAST(:topic AS text[]),"
    " CAST(:key AS text[]), CAST(:seq AS bigint[]), CAST(:type AS text[]), CAST(:payload AS jsonb[]))"
    " RETURNING position, occurred_at)"
    " UPDATE analytics.live_projection SET position = a.last, as_of = greatest(as_of, a.newest)"
    " FROM (SELECT min(position) AS first, max(position) AS last, min(occurred_at) AS oldest,"
    " max(occurred_at) AS newest FROM added) a RETURNING a.first, a.last, a.oldest, a.newest"
)
# The log's partitions are found by time, and the events in them by position.
ADDED = (
    "(SELECT * FROM analytics.event_log WHERE position BETWEEN :first AND :last"
    " AND occurred_at BETWEEN :oldest AND :newest)"
)


def without_personal(kind: str, value: bytes | None) -> str | None:
    """The payload as the log keeps it: names, addresses and what people may delete are blanked, avatars
    dropped."""
    if value is None:
        return None
    if kind not in (identity.UserState.type, forum.DiscussionState.type):
        return value.decode()
    state = orjson.loads(value)
    if kind == forum.DiscussionState.type:
        return orjson.dumps(state | {"title": ""}).decode()
    return orjson.dumps(state | dict.fromkeys(PERSONAL, "") | {"avatar": None}).decode()


async def append_to_log(session: AsyncSession, batch: Batch) -> None:
    """Keep every applied event, whatever its type, and fold it into the live projection."""
    await use_live(session, writing=True)
    added = await session.execute(
        APPEND,
        {
            "at": [item.occurred_at for item in batch],
            "id": [item.id for item in batch],
            "topic": [item.topic for item in batch],
            "key": [item.key for item in batch],
            "seq": [item.seq for item in batch],
            "type": [item.type for item in batch],
            "payload": [without_personal(item.type, item.record.value) for item in batch],
        },
    )
    await fold(session, ADDED, {item.type for item in batch}, **added.one()._mapping)
