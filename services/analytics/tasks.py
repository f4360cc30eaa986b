"""Tasks of analytics."""

import contextlib
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.jobs import TaskRun, Tasks
from services.analytics.analysts import end_long_statements
from services.analytics.exports.tasks import TASKS as EXPORT_TASKS
from services.analytics.lake.tasks import TASKS as LAKE_TASKS
from services.analytics.privacy import PRIVACY
from services.analytics.projection import VERSION
from services.analytics.rebuild import RebuildRunning, rebuild
from services.analytics.rebuilds.tasks import TASKS as REBUILD_TASKS
from services.analytics.reports.tasks import TASKS as REPORT_TASKS
from services.analytics.settings import Settings
from services.analytics.views import publish_if_stale

TASKS = Tasks("analytics", Settings)
TASKS.by_name |= EXPORT_TASKS.by_name | LAKE_TASKS.by_name
TASKS.by_name |= REBUILD_TASKS.by_name | REPORT_TASKS.by_name
PRIVACY.declare(TASKS)
MONTHS_AHEAD = 3
ROLLING = timedelta(minutes=15)
"""How long consumers of two releases may be at work."""


@TASKS.task(every=3600)
async def make_partitions(run: TaskRun) -> None:
    """Make the log's partitions of last month, whose events may be on their way, this, and the next three."""
    async with run.db.session() as session:
        for number in range(-1, MONTHS_AHEAD + 1):
            await make_partition(session, run.clock(), number)


@TASKS.task(every=300)
async def fold_anew(run: TaskRun) -> None:
    """Fold the log anew after an upgrade whose read models are others, once the release before is gone.

    Its consumers do not fill what is new; meanwhile the projection lacks what they applied.
    """
    async with run.db.session() as session:
        live = (await session.execute(text("SELECT version, since FROM live_projection"))).one_or_none()
    if live is None or live.version >= VERSION or run.clock() - live.since < ROLLING:
        return
    with contextlib.suppress(RebuildRunning):
        await rebuild(run.db, Settings().rebuild_batch, swap_differing=True)


@TASKS.task(every=15)
async def publish_stale_views(run: TaskRun) -> None:
    """Make the analysts' views where there are none, or those of another release's dictionary."""
    async with run.db.session() as session:
        await publish_if_stale(session)


@TASKS.task(every=10)
async def end_long_analyst_statements(run: TaskRun) -> None:
    """Hold analysts to 30 seconds a statement, whatever their sessions have set."""
    async with run.db.session() as session:
        await end_long_statements(session)


async def make_partition(session: AsyncSession, now: datetime, months_ahead: int) -> None:
    """One month of the log. A month that the default partition holds events of already stays there."""
    month = now.year * 12 + now.month - 1 + months_ahead
    first, following = (f"{m // 12:04d}-{m % 12 + 1:02d}-01" for m in (month, month + 1))
    name = f"event_log_{first[:7].replace('-', '_')}"
    taken = await session.scalar(
        text(
            "SELECT to_regclass(:name) IS NOT NULL OR EXISTS (SELECT 1 FROM event_log_default"
            " WHERE occurred_at >= CAST(:first AS timestamptz)"
            " AND occurred_at < CAST(:following AS timestamptz))"
        ),
        {"name": name, "first": first, "following": following},
    )
    if not taken:
        await session.execute(
            text(f"CREATE TABLE {name} PARTITION OF event_log FOR VALUES FROM ('{first}') TO ('{following}')")
        )
