"""Running the rebuilds that were asked for."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import or_, select, update

from libs.common.data.db import enqueue
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.runtime.failpoints import failpoint
from services.analytics.models import Rebuild
from services.analytics.rebuild import RebuildRunning, rebuild
from services.analytics.settings import Settings

TASKS = Tasks("analytics", Settings)
LEASE = timedelta(minutes=2)
"""A worker that has not said anything for so long may be dead; if not, `RebuildRunning` keeps two apart."""
DIFFER = "The digests of these tables differ, so the live read models have stayed."
FAILED = "The rebuild ended with an error: the worker's log names it."


@TASKS.task()
async def run_rebuild(run: TaskRun, uuid: str) -> None:
    """Rebuild from the beginning, whatever an earlier try has left."""
    now = run.clock()
    is_this = Rebuild.uuid == UUID(uuid)
    async with run.db.session() as session:
        is_free = or_(Rebuild.tried_at.is_(None), Rebuild.tried_at < now - LEASE)
        claimed = await session.scalar(
            update(Rebuild)
            .where(is_this, Rebuild.ended_at.is_(None), is_free)
            .values(status="running", tried_at=now, percent=0)
            .returning(Rebuild.uuid)
        )
    if claimed is None:
        return

    async def report(percent: int) -> None:
        async with run.db.session() as session:
            await session.execute(
                update(Rebuild).where(is_this).values(percent=percent, tried_at=run.clock())
            )
        failpoint("rebuild.folded")

    try:
        rebuilt = await rebuild(run.db, run.settings.rebuild_batch, report=report)
    except RebuildRunning:
        return  # the worker of the last try, or the command line: tried again later
    except Exception:
        await _end(run, uuid, status="failed", error=FAILED)
        raise
    failpoint("rebuild.swapped")
    done = {"events": rebuilt.events, "differing": rebuilt.differing}
    if rebuilt.differing:
        await _end(run, uuid, status="failed", error=DIFFER, **done)
    else:
        await _end(run, uuid, status="done", percent=100, **done)


async def _end(run: TaskRun, uuid: str, **values: object) -> None:
    async with run.db.session() as session:
        await session.execute(
            update(Rebuild).where(Rebuild.uuid == UUID(uuid)).values(ended_at=run.clock(), **values)
        )


@TASKS.task(every=60)
async def resume_rebuilds(run: TaskRun) -> None:
    """Start what no worker has, because the broker or a worker was lost."""
    before = run.clock() - LEASE
    async with run.db.session() as session:
        quiet = or_(Rebuild.tried_at < before, Rebuild.tried_at.is_(None) & (Rebuild.created_at < before))
        for uuid in await session.scalars(select(Rebuild.uuid).where(Rebuild.ended_at.is_(None), quiet)):
            enqueue(session, "analytics.run_rebuild", str(uuid))
