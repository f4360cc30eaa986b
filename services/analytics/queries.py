"""Reads that several dashboards share. None of them grows with the history: they read aggregates."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.uuids import as_v4
from libs.common.web import zones
from services.analytics import rules
from services.analytics.period import Period
from services.analytics.rules import TAKING_PART

DAY = "(quarter AT TIME ZONE :zone)::date"
ACTIVITIES = (
    'SELECT a.event_id AS uuid, a."user", a.kind, a.course AS course_uuid, c.title AS course_title,'
    " a.title, a.at FROM activities a LEFT JOIN courses c ON c.uuid = a.course"
)
AT_RISK = (
    "SELECT e.student, e.course, e.progress, e.enrolled_at, l.last_day,"
    " l.score / nullif(l.quizzes, 0) AS score"
    " FROM enrollments e LEFT JOIN (SELECT * FROM learners WHERE course = ANY(:courses)) l"
    " ON l.course = e.course AND l.student = e.student"
    " WHERE e.course = ANY(:courses) AND e.status IN ('enrolled', 'in_progress')"
    " AND (coalesce(l.last_day, e.enrolled_at::date) < :idle OR l.score < :score * l.quizzes)"
    " ORDER BY e.progress, e.student LIMIT :most"
)


async def as_of(session: AsyncSession, now: datetime) -> datetime:
    """When the newest applied event occurred; now, while there is none."""
    newest = await session.scalar(text("SELECT as_of FROM analytics.live_projection"))
    return newest or now


async def zone_of(session: AsyncSession, user: UUID) -> tzinfo:
    """The user's time zone; UTC where it is not known."""
    name = await session.scalar(text("SELECT time_zone FROM users WHERE uuid = :u"), {"u": user})
    return zones.zone(name) or UTC


async def rows(session: AsyncSession, query: str, **values: Any) -> Sequence[Any]:
    return (await session.execute(text(query), values)).all()


async def one(session: AsyncSession, query: str, **values: Any) -> Any:
    return (await session.execute(text(query), values)).one()


async def by_day(
    session: AsyncSession, period: Period, courses: list[UUID] | None, *measures: tuple[str, str]
) -> list[list[int]]:
    """Measures, each an aggregate's `(name, measure)` by quarters of an hour, for each day of the period in
    its zone; over these courses, or over the platform for None."""
    where = "" if courses is None else " AND course = ANY(:courses)"
    found = await rows(
        session,
        " UNION ALL ".join(
            f"SELECT {place} AS place, {DAY} AS day, sum({measure}) AS n FROM {name}"
            f" WHERE quarter >= :start AND quarter < :end{where} GROUP BY 2"
            for place, (name, measure) in enumerate(measures)
        ),
        courses=courses,
        **period.values(),
    )
    counted = {(row.place, row.day): int(row.n) for row in found}
    return [[counted.get((place, day), 0) for day in period.days] for place in range(len(measures))]


async def minutes_by_day(session: AsyncSession, period: Period, course: UUID | None = None) -> list[float]:
    """Study time on a course, or on all, on each of the learners' own days of the period."""
    source = "course_study WHERE course = :c AND" if course else "platform_study WHERE"
    found = await rows(
        session,
        f"SELECT local_date, seconds FROM {source} local_date BETWEEN :first AND :last",
        c=course,
        first=period.first,
        last=period.last,
    )
    seconds = {row.local_date: row.seconds for row in found}
    return [rules.rounded(seconds.get(day, 0) / 60) for day in period.days]


async def progress_distribution(session: AsyncSession, courses: list[UUID]) -> dict[str, int]:
    """How many enrolments of these courses have not started, are underway, are completed."""
    row = await one(
        session,
        "SELECT coalesce(sum(not_started), 0) AS not_started, coalesce(sum(in_progress), 0) AS in_progress,"
        " coalesce(sum(completed), 0) AS completed FROM course_totals WHERE course = ANY(:courses)",
        courses=courses,
    )
    return {name: int(value) for name, value in row._mapping.items()}


async def active_students(session: AsyncSession, courses: list[UUID], first: date, last: date) -> int:
    """Learners taking part who learned something on one of the courses in these days."""
    row = await one(
        session,
        "SELECT count(DISTINCT d.student) AS n FROM course_days d"
        f" JOIN enrollments e ON e.course = d.course AND e.student = d.student AND e.{TAKING_PART}"
        " WHERE d.course = ANY(:courses) AND d.local_date BETWEEN :first AND :last",
        courses=courses,
        first=first,
        last=last,
    )
    return int(row.n)


async def students_at(session: AsyncSession, courses: list[UUID], end: datetime) -> dict[str, int]:
    """Distinct learners, seats and completions of those who take part now, as they were before `end`."""
    row = await one(
        session,
        "SELECT count(DISTINCT student) AS students, count(*) AS seats,"
        " count(*) FILTER (WHERE completed_at < :end) AS completed"
        f" FROM enrollments WHERE course = ANY(:courses) AND {TAKING_PART} AND enrolled_at < :end",
        courses=courses,
        end=end,
    )
    return dict(row._mapping)


async def at_risk(
    session: AsyncSession, courses: list[UUID], today: date, most: int
) -> list[tuple[Any, list[str]]]:
    """Learners underway who may be falling behind, those with the least progress first, and why."""
    idle = rules.idle_since(today)
    found = await rows(session, AT_RISK, courses=courses, idle=idle, score=rules.AT_RISK_SCORE, most=most)
    return [(row, rules.risks(row.last_day, row.enrolled_at.date(), row.score, idle)) for row in found]


async def recent_activity(session: AsyncSession, user: UUID | None, most: int = 10) -> list[dict[str, Any]]:
    """The newest lines of the activity feed, of one user or of all."""
    where = 'WHERE a."user" = :u ' if user else ""
    found = await rows(
        session,
        f"{ACTIVITIES} {where}ORDER BY a.at DESC, a.event_id DESC LIMIT :most",
        u=user,
        most=most,
    )
    return [{**row._mapping, "uuid": as_v4(row.uuid)} for row in found]
