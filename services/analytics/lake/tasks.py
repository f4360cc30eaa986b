"""Tasks of the lake. One at a time writes: whoever lost that turn fails at its commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.exc import OperationalError

from libs.common.data.db import Database
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger
from services.analytics.models import IcebergTable, LakeErasure
from services.analytics.settings import Settings

if TYPE_CHECKING:
    from services.analytics.lake.tables import Lake

log = get_logger(__name__)
TASKS = Tasks("analytics", Settings)


@asynccontextmanager
async def turn(db: Database, seconds: int = 30) -> AsyncIterator[bool]:
    """Whether it is this caller's turn to write the lake; waits for it."""
    async with db.session() as guard:
        await guard.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await guard.execute(text(f"SET LOCAL lock_timeout = '{seconds}s'"))
        await guard.execute(text(f"SET LOCAL statement_timeout = '{seconds + 5}s'"))
        try:
            await guard.execute(text("SELECT pg_advisory_xact_lock(hashtext('analytics.lake'))"))
        except OperationalError:
            await guard.rollback()
            yield False
            return
        yield True


@TASKS.task(every=300)
async def write_lake(run: TaskRun) -> None:
    """Write new events to the lake, follow erasures, and put small files together."""
    if not run.settings.lake:
        await erase_in_lake(run)  # of a lake that was written before
        return
    async with turn(run.db, 1) as mine:
        if mine:
            await bring_on(run, run.settings)


async def bring_on(run: TaskRun, settings: Settings) -> int:
    """What `write_lake` does in its turn; returns how many events were written."""
    from services.analytics.lake import write
    from services.analytics.lake.tables import open_lake

    with open_lake(settings) as lake:
        written = await write.catch_up(run.db, lake, settings.lake_batch)
        await follow_erasures(run, lake)
        compacted = await asyncio.to_thread(write.compact, lake)
    if written or compacted:
        log.info("lake_written", events=written, compacted=compacted)
    return written


@TASKS.task()
async def erase_in_lake(run: TaskRun) -> None:
    """Follow an erasure at once; `write_lake` would do so within minutes."""
    async with turn(run.db) as mine:
        if not mine:
            return
        async with run.db.session() as session:
            if not await session.scalar(select(IcebergTable.table_name).limit(1)):
                await session.execute(delete(LakeErasure))
                return
        from services.analytics.lake.tables import open_lake

        with open_lake(run.settings) as lake:
            await follow_erasures(run, lake)


async def follow_erasures(run: TaskRun, lake: "Lake") -> None:
    """Erase in the lake who is erased in the log, and delete every file that knew them."""
    from services.analytics.lake import tidy, views, write
    from services.analytics.lake.tables import LOG

    async with run.db.sessions() as session:
        users: list[UUID] = list(await session.scalars(select(LakeErasure.user).order_by(LakeErasure.user)))
    if not users:
        return
    await asyncio.to_thread(write.erase, lake, users)
    failpoint("lake.erased")
    names = [LOG]
    if "people" in await asyncio.to_thread(lake.names):
        await views.write_views(run.db, lake, ["people"])
        names.append("people")
    for name in names:
        await asyncio.to_thread(partial(tidy.tidy, lake, name, run.clock(), now=True))
    async with run.db.session() as session:
        await session.execute(delete(LakeErasure).where(LakeErasure.user.in_(users)))


@TASKS.task(every=3600)
async def tidy_lake(run: TaskRun) -> None:
    """Let old months of the log go, then what the lake needs no more."""
    settings: Settings = run.settings
    if not settings.lake:
        return
    from services.analytics.lake.retention import let_go
    from services.analytics.lake.tables import open_lake
    from services.analytics.lake.tidy import tidy

    async with turn(run.db) as mine:
        if not mine:
            return
        before = run.clock() - timedelta(hours=settings.lake_hours)
        with open_lake(settings) as lake:
            if settings.log_months:
                await let_go(run.db, lake, settings.log_months, run.clock().date())
            for name in await asyncio.to_thread(lake.names):
                await asyncio.to_thread(tidy, lake, name, before)


@TASKS.task(every=86_400)
async def write_lake_views(run: TaskRun) -> None:
    """Write the analysts' views to the lake, where that is wished."""
    if run.settings.lake and run.settings.lake_views:
        from services.analytics.lake.tables import open_lake
        from services.analytics.lake.views import write_views

        async with turn(run.db) as mine:
            if mine:
                with open_lake(run.settings) as lake:
                    await write_views(run.db, lake)
