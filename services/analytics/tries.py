"""Files that a worker writes from the beginning at each try: exports and runs of reports."""

from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics.exports.writing import TooManyRows
from services.analytics.models import Export, ReportRun
from services.analytics.query.errors import QueryTooExpensive

LEASE = timedelta(seconds=60)
"""A writer that has not said anything for so long is taken for dead."""
MOST_TRIES = 5
OPEN = ("queued", "running")

Job = TypeVar("Job", Export, ReportRun)


async def begin_try(session: AsyncSession, kind: type[Job], uuid: str, now: datetime) -> Job | None:
    """The job, running with one try more, or failed where it had all of them; None where it is over, or
    another writer is at it."""
    job = await session.get(kind, UUID(uuid), with_for_update={"skip_locked": True})
    if job is None or job.status not in OPEN:
        return None
    if job.tried_at is not None and now - job.tried_at < LEASE:
        return None
    if job.attempts >= MOST_TRIES:
        job.status, job.ended_at, job.error = "failed", now, "not_written"
    else:
        job.attempts += 1
        job.status, job.tried_at, job.percent = "running", now, 0
    return job


def silent(kind: type[Export] | type[ReportRun], now: datetime) -> Select[Any]:
    """Ids of what waits, and of what has been silent for its lease."""
    is_silent = or_(kind.tried_at.is_(None), kind.tried_at <= now - LEASE)
    return select(kind.uuid).where(kind.status.in_(OPEN), is_silent)


def code_of(error: Exception) -> str:
    """What the job's owner is told of an error that another try would not mend."""
    codes = {TooManyRows: "too_many_rows", QueryTooExpensive: "query_too_expensive"}
    return codes.get(type(error), "not_allowed")
