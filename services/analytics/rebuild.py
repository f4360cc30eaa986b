"""Rebuilding the read models beside the live ones: `python -m services.analytics.rebuild [--json]`.

The event log is folded into a new projection while the live one goes on. At the end writers wait for a
moment, what has come meanwhile is folded too, the digests are compared, and the new projection becomes the
live one in the same transaction. Digests that differ mean that a handler is not a fold: nothing is swapped.
"""

import argparse
import asyncio
import sys
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.inbox import handle
from libs.common.bus.received import Received, Record, Subscription, decode
from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue
from services.analytics.consumers import READ_MODELS
from services.analytics.projection import create_projection, digest, schema_name, use_live, use_projection
from services.analytics.settings import Settings

READ = text(
    "SELECT position, event_id, topic, key, seq, type, occurred_at, payload::text AS payload"
    " FROM analytics.event_log WHERE position > :after AND position <= :upto ORDER BY position LIMIT :most"
)
# The log itself is not written again, and nobody is exported or erased again.
FOLD = Subscription("analytics", READ_MODELS)


@dataclass
class Rebuilt:
    """What a rebuild did. `differing` names tables whose digests differ, and then nothing was swapped."""

    events: int
    number: int
    differing: list[str]
    live: dict[str, str]
    rebuilt: dict[str, str]


async def rebuild(db: Database, batch: int, *, swap_differing: bool = False) -> Rebuilt:
    """Fold the log anew. With `swap_differing` new handlers take over although their result differs."""
    async with db.session() as session:
        live = await use_live(session)
        number = live + 1
        await create_projection(session, number)
    async with db.session() as session:
        barrier = await _hold_writers(session)
    position = events = 0
    while position < barrier:
        async with db.session() as session:
            await use_projection(session, number)
            count, position = await _fold(session, position, barrier, batch)
        events += count
    async with db.session() as session:
        last = await _hold_writers(session)
        await use_projection(session, number)
        while position < last:
            count, position = await _fold(session, position, last, batch)
            events += count
        before, after = await digest(session, live), await digest(session, number)
        differing = [name for name in before if before[name] != after[name]]
        if not differing or swap_differing:
            await session.execute(
                text("UPDATE analytics.live_projection SET number = :n, since = now()"), {"n": number}
            )
            await session.execute(text(f"DROP SCHEMA IF EXISTS {schema_name(live - 1)} CASCADE"))
    return Rebuilt(events, number, differing, before, after)


async def _hold_writers(session: AsyncSession) -> int:
    """Wait for writers, who hold this row shared until they commit; returns the log's last position.

    While the lock is held the log stands still, so that no lower position can still appear below it.
    """
    await session.execute(text("SET LOCAL lock_timeout = '60s'"))
    await session.execute(text("SET LOCAL statement_timeout = '600s'"))
    await session.execute(text("SELECT number FROM analytics.live_projection FOR UPDATE"))
    return int(await session.scalar(text("SELECT max(position) FROM analytics.event_log")) or 0)


async def _fold(session: AsyncSession, after: int, upto: int, most: int) -> tuple[int, int]:
    rows = (await session.execute(READ, {"after": after, "upto": upto, "most": most})).all()
    await handle(session, FOLD, [_received(row) for row in rows])
    return len(rows), rows[-1].position if rows else upto


def _received(row: Any) -> Received[Any]:
    headers = {
        "ce_specversion": "1.0",
        "ce_id": str(row.event_id),
        "ce_type": row.type,
        "ce_time": row.occurred_at.isoformat(),
        "ce_sequence": str(row.seq),
    }
    value = row.payload.encode() if row.payload is not None else None
    return decode(FOLD, Record(row.topic, row.key, value, headers))


async def run(batch: int, *, swap_differing: bool) -> Rebuilt:
    settings = Settings()
    db = Database(settings, CeleryQueue(settings))
    try:
        return await rebuild(db, batch or settings.rebuild_batch, swap_differing=swap_differing)
    finally:
        await db.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Rebuild the read models from the event log.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--batch", type=int, default=0, help="events folded in one transaction")
    parser.add_argument(
        "--accept-differences",
        action="store_true",
        help="swap although digests differ: handlers have changed",
    )
    arguments = parser.parse_args()
    result = asyncio.run(run(arguments.batch, swap_differing=arguments.accept_differences))
    if arguments.json:
        print(orjson.dumps(asdict(result), option=orjson.OPT_INDENT_2).decode())
    else:
        for table, value in result.rebuilt.items():
            mark = "BAD" if table in result.differing else "ok "
            print(f"{mark} {table:<20} live {result.live[table]:<42} rebuilt {value}")
        verdict = "differ" if result.differing else "are equal"
        print(f"{result.events} events folded into projection {result.number}: the digests {verdict}")
    return 1 if result.differing and not arguments.accept_differences else 0


if __name__ == "__main__":
    sys.exit(main())
