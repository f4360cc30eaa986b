"""Letting old months of the log go, once the lake holds them.

A partition is dropped when what the lake gives back of it, loaded as a rebuild would load it, has the same
digest. Later events of the month go to the log's default partition: the lake's part of a month ends at
`last_position`.
"""

import asyncio
from datetime import date
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.runtime.clock import system_clock
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger
from services.analytics.lake.archive import WINDOW, copy_to
from services.analytics.lake.tables import Lake, between, of_month, position_of, rows_where
from services.analytics.models import LakeErasure, LakeMonth
from services.analytics.rebuild import BATCH, REBUILDING

log = get_logger(__name__)

PARTITIONS = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = 'analytics.event_log'::regclass AND c.relname ~ '^event_log_[0-9]{4}_[0-9]{2}$'"
    " ORDER BY 1"
)
EXTENT = "SELECT count(*) AS events, min(position) AS first, max(position) AS last FROM {}"
DIGEST = (
    "SELECT count(*) || ':' || coalesce(sum(hashtextextended(ROW(position, occurred_at, event_id, topic, key,"
    " seq, type, payload)::text, 0)::numeric), 0) FROM {}"
)


def first_kept(today: date, months: int) -> date:
    """The first day of the oldest month that stays."""
    number = today.year * 12 + today.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


async def let_go(db: Database, lake: Lake, months: int, today: date) -> list[date]:
    """Drop the partitions from before the months that stay, where the lake has them; returns which went."""
    gone = []
    async with db.sessions() as session:
        names = list(await session.scalars(PARTITIONS))
    for name in names:
        month = date(int(name[10:14]), int(name[15:17]), 1)
        if month >= first_kept(today, months):
            continue
        try:
            async with db.session() as session:
                if await _let_go(session, lake, name, month):
                    gone.append(month)
        except OperationalError as error:  # somebody reads the log for long: the next hour is as good
            log.warning("month_not_detached", month=str(month), error=str(error.orig))
    return gone


async def _let_go(session: AsyncSession, lake: Lake, name: str, month: date) -> bool:
    for setting, value in (
        ("statement_timeout", "3600s"), ("idle_in_transaction_session_timeout", "0"), ("lock_timeout", "5s"),
    ):  # fmt: skip
        await session.execute(text(f"SET LOCAL {setting} = '{value}'"))
    if not await session.scalar(text(f"SELECT pg_try_advisory_xact_lock({REBUILDING})")):
        return False  # it has read which months are gone
    extent = (await session.execute(text(EXTENT.format(name)))).one()
    if extent.events:
        digest = await _digest_of_both(session, lake, name, month, extent)
        if digest is None:
            return False
    failpoint("lake.month_compared")
    # Nothing is added, and nothing is blanked, from here on.
    await session.execute(text("SELECT number FROM analytics.live_projection FOR UPDATE"))
    await session.execute(text("LOCK TABLE analytics.event_log IN ACCESS EXCLUSIVE MODE"))
    if (await session.execute(text(EXTENT.format(name)))).one() != extent:
        return False
    if await session.scalar(select(LakeErasure.user).limit(1)):
        return False
    await session.execute(text(f"ALTER TABLE analytics.event_log DETACH PARTITION analytics.{name}"))
    await session.execute(text(f"DROP TABLE analytics.{name}"))
    if extent.events:
        session.add(
            LakeMonth(
                month=month, first_position=extent.first, last_position=extent.last, events=extent.events,
                digest=digest, detached_at=system_clock(),
            )
        )  # fmt: skip
        await session.flush()
    failpoint("lake.month_detached")
    log.info("month_detached", month=str(month), events=extent.events)
    return True


async def _digest_of_both(
    session: AsyncSession, lake: Lake, name: str, month: date, extent: Any
) -> str | None:
    """The digest that partition and lake have in common; None where they differ."""
    table = await asyncio.to_thread(lake.log)
    if position_of(table) < extent.last:
        return None
    await session.execute(BATCH)
    after = extent.first - 1
    while after < extent.last:
        wanted = f"{of_month(month, extent.last)} and {between(after, after + WINDOW)}"
        await copy_to(session, "pg_temp.batch", await asyncio.to_thread(rows_where, table, wanted))
        after += WINDOW
    ours, theirs = [
        str(await session.scalar(text(DIGEST.format(relation)))) for relation in (name, "pg_temp.batch")
    ]
    if ours != theirs:
        log.error("lake_differs_from_log", month=str(month), log=ours, lake=theirs)
        return None
    return ours
