"""Reads that several dashboards share."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.web.zones import local_date
from services.analytics.rules import TAKING_PART


async def as_of(session: AsyncSession, now: datetime) -> datetime:
    """When the newest applied event occurred; now, while there is none."""
    newest = await session.scalar(text("SELECT as_of FROM analytics.live_projection"))
    return newest or now


async def local_today(session: AsyncSession, user: UUID, now: datetime) -> date:
    """The calendar day at the user's place."""
    name = await session.scalar(text("SELECT time_zone FROM users WHERE uuid = :u"), {"u": user})
    return local_date(now, name)


async def rows(session: AsyncSession, query: str, **values: Any) -> Sequence[Any]:
    return (await session.execute(text(query), values)).all()


async def one(session: AsyncSession, query: str, **values: Any) -> Any:
    return (await session.execute(text(query), values)).one()


async def progress_distribution(session: AsyncSession, courses: list[UUID]) -> dict[str, int]:
    """How many enrolments of these courses have not started, are underway, are completed."""
    row = await one(
        session,
        "SELECT count(*) FILTER (WHERE status <> 'completed' AND progress = 0) AS not_started,"
        " count(*) FILTER (WHERE status <> 'completed' AND progress > 0) AS in_progress,"
        " count(*) FILTER (WHERE status = 'completed') AS completed"
        f" FROM enrollments WHERE course = ANY(:courses) AND {TAKING_PART}",
        courses=courses,
    )
    return dict(row._mapping)


async def active_students(session: AsyncSession, courses: list[UUID], since: date) -> dict[UUID, set[UUID]]:
    """Who learned something since that day, per course they are enrolled on."""
    found = await rows(
        session,
        "SELECT DISTINCT e.course, e.student FROM enrollments e"
        " JOIN learning_days d ON d.student = e.student AND d.local_date >= :since"
        f" WHERE e.course = ANY(:courses) AND {TAKING_PART}",
        courses=courses,
        since=since,
    )
    active: dict[UUID, set[UUID]] = {}
    for course, student in found:
        active.setdefault(course, set()).add(student)
    return active
