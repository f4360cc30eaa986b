"""What managers see of the whole platform."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import rules
from services.analytics.charts import chart
from services.analytics.period import Period, compared
from services.analytics.queries import as_of, by_day, minutes_by_day, one, recent_activity, rows

NOW = (
    "SELECT (SELECT coalesce(sum(people), 0) FROM people_totals) AS total_users,"
    " (SELECT count(*) FROM courses WHERE status <> 'archived') AS total_courses,"
    " (SELECT count(*) FROM courses WHERE status = 'published') AS published_courses,"
    " (SELECT coalesce(sum(students), 0) FROM course_totals) AS total_enrollments,"
    " (SELECT coalesce(sum(completed), 0) FROM course_totals) AS completions,"
    " (SELECT coalesce(sum(certificates), 0) FROM certificate_totals) AS certificates,"
    " (SELECT coalesce(sum(discussions), 0) FROM discussion_totals) AS discussions,"
    " (SELECT coalesce(sum(tickets), 0) FROM ticket_totals WHERE status NOT IN ('resolved', 'closed'))"
    " AS active_tickets"
)
# What has come since the end of an earlier period is taken away from what there is now.
SINCE = (
    "SELECT (SELECT coalesce(sum(people), 0) FROM sign_ups WHERE quarter >= :end) AS total_users,"
    " (SELECT count(*) FROM courses WHERE status <> 'archived' AND created_at >= :end) AS total_courses,"
    " (SELECT count(*) FROM courses WHERE status = 'published' AND published_at >= :end)"
    " AS published_courses,"
    " (SELECT coalesce(sum(enrollments), 0) FROM platform_enrollments WHERE quarter >= :end)"
    " AS total_enrollments,"
    " (SELECT coalesce(sum(completions), 0) FROM platform_enrollments WHERE quarter >= :end) AS completions,"
    " (SELECT coalesce(sum(certificates), 0) FROM certificates_issued WHERE quarter >= :end) AS certificates,"
    " (SELECT coalesce(sum(discussions), 0) FROM platform_discussions WHERE quarter >= :end) AS discussions,"
    " (SELECT coalesce(sum(opened), 0) FROM tickets_opened WHERE quarter >= :end)"
    " - (SELECT coalesce(sum(resolved), 0) FROM tickets_resolved WHERE quarter >= :end) AS active_tickets"
)
# Active on a day of the period, and on none of it before that: everybody once.
ACTIVE = (
    "SELECT coalesce(sum(people), 0) AS people FROM returning_days"
    " WHERE day BETWEEN :first AND :last AND (before IS NULL OR before < :first)"
)
CATEGORIES = (
    "SELECT coalesce(c.category, 'Uncategorised') AS category, count(*) AS courses,"
    " coalesce(sum(t.students), 0) AS enrollments, coalesce(sum(t.progress), 0) AS progress,"
    " coalesce(sum(t.completed), 0) AS completed"
    " FROM courses c LEFT JOIN course_totals t ON t.course = c.uuid"
    " WHERE c.status = 'published' GROUP BY 1 ORDER BY 3 DESC, 1"
)
HEALTH = (
    "SELECT (SELECT count(*) FROM analytics.dead_letter WHERE resolved_at IS NULL) AS dead_letters,"
    " (SELECT count(*) FROM analytics.key_progress WHERE parked IS NOT NULL) AS parked_keys,"
    " (SELECT nullif(position, 0) FROM analytics.live_projection) AS events_applied"
)
SUPPORT = (
    "SELECT coalesce(sum(opened), 0) AS opened, coalesce(sum(answered), 0) AS answered,"
    " coalesce(sum(response_seconds), 0) AS response_seconds, coalesce(sum(rated), 0) AS rated,"
    " coalesce(sum(rating), 0) AS rating FROM tickets_opened WHERE quarter >= :start AND quarter < :end"
)
RESOLVED = (
    "SELECT coalesce(sum(resolved), 0) AS n FROM tickets_resolved WHERE quarter >= :start AND quarter < :end"
)


async def platform_dashboard(session: AsyncSession, period: Period, now: datetime) -> dict[str, Any]:
    """Numbers over everything. The session uses a projection already."""
    stats = await _stats(session, period)
    growth = await _growth(session, period)
    newest = growth[-7:] if len(growth) >= 7 else await _growth(session, period.week)
    categories = await _categories(session)
    support = await _support(session, period)
    minutes = await minutes_by_day(session, period)
    return {
        "period": {"from": period.first, "to": period.last},
        "platform_stats": stats,
        "comparison": compared(stats, await _stats(session, period.previous)) if period.compare else None,
        "recent_activity": {
            "new_users_7d": sum(day["new_users"] for day in newest),
            "enrollments_7d": sum(day["enrollments"] for day in newest),
            "completions_7d": sum(day["completions"] for day in newest),
            "activities": await recent_activity(session, None),
        },
        "growth_metrics": growth,
        "category_insights": categories,
        "health": dict((await one(session, HEALTH))._mapping),
        "engagement": {
            "active_users": await _active(session, period),
            "active_share_7d": rules.share(stats["active_users_7d"], stats["total_users"]),
            "completion_rate": rules.share(stats["completions"], stats["total_enrollments"]),
            "study_minutes": rules.rounded(sum(minutes)),
        },
        "support_load": support,
        "charts": {
            "growth": chart(
                "line", "Growth by day", [day["date"] for day in growth],
                new_users=[day["new_users"] for day in growth],
                enrollments=[day["enrollments"] for day in growth],
                active_users=[day["active_users"] for day in growth],
            ),
            "categories": chart(
                "pie", "Enrolments by category", [c["category"] for c in categories],
                enrollments=[c["enrollments"] for c in categories],
            ),
            "engagement": chart("line", "Minutes studied by day", period.days, minutes=minutes),
            "support": chart(
                "bar", "Tickets by priority", [load["priority"] for load in support["by_priority"]],
                open=[load["open"] for load in support["by_priority"]],
            ),
        },
        "as_of": await as_of(session, now),
    }  # fmt: skip


async def _stats(session: AsyncSession, period: Period) -> dict[str, int]:
    """The platform as it was at the end of the period."""
    found = {name: int(n) for name, n in (await one(session, NOW))._mapping.items()}
    if not period.is_now:
        since = (await one(session, SINCE, end=period.end))._mapping
        found = {name: max(0, n - int(since[name])) for name, n in found.items()}
    week = period.week
    return {
        "total_users": found.pop("total_users"),
        "active_users_7d": await _active(session, week),
        **found,
    }


async def _active(session: AsyncSession, period: Period) -> int:
    row = await one(session, ACTIVE, first=period.first, last=period.last)
    return int(row.people)


async def _growth(session: AsyncSession, period: Period) -> list[dict[str, Any]]:
    """Days of the period in the caller's zone; who was active counts by days of UTC."""
    people, enrollments, completions = await by_day(
        session, period, None,
        ("sign_ups", "people"), ("platform_enrollments", "enrollments"),
        ("platform_enrollments", "completions"),
    )  # fmt: skip
    active = {
        row.day: row.people
        for row in await rows(
            session,
            "SELECT day, people FROM active_users WHERE day BETWEEN :first AND :last",
            first=period.first,
            last=period.last,
        )
    }
    return [
        {
            "date": day.isoformat(),
            "new_users": people[place],
            "enrollments": enrollments[place],
            "completions": completions[place],
            "active_users": active.get(day, 0),
        }
        for place, day in enumerate(period.days)
    ]


async def _categories(session: AsyncSession) -> list[dict[str, Any]]:
    return [
        {
            "category": row.category,
            "courses": row.courses,
            "enrollments": int(row.enrollments),
            "avg_progress": rules.rounded(row.progress / row.enrollments) if row.enrollments else 0.0,
            "completion_rate": rules.share(row.completed, row.enrollments),
        }
        for row in await rows(session, CATEGORIES)
    ]


async def _support(session: AsyncSession, period: Period) -> dict[str, Any]:
    row = await one(session, SUPPORT, start=period.start, end=period.end)
    resolved = await one(session, RESOLVED, start=period.start, end=period.end)
    opened, resolved_7d = await by_day(
        session, period.week, None, ("tickets_opened", "opened"), ("tickets_resolved", "resolved")
    )
    loads = await rows(
        session,
        "SELECT priority, sum(tickets) FILTER (WHERE status NOT IN ('resolved', 'closed')) AS open,"
        " sum(tickets) AS tickets FROM ticket_totals GROUP BY priority HAVING sum(tickets) > 0 ORDER BY 1",
    )
    by_priority = [
        {"priority": load.priority, "open": int(load.open or 0), "tickets": int(load.tickets)}
        for load in loads
    ]
    return {
        "open": sum(load["open"] for load in by_priority),
        "opened": int(row.opened),
        "resolved": int(resolved.n),
        "opened_7d": sum(opened),
        "resolved_7d": sum(resolved_7d),
        "first_response_minutes": rules.rounded(row.response_seconds / row.answered / 60)
        if row.answered
        else 0.0,
        "rating": rules.rounded(row.rating / row.rated, 2) if row.rated else 0.0,
        "by_priority": by_priority,
    }


def for_moderators(dashboard: dict[str, Any]) -> dict[str, Any]:
    """What moderators see of it: all numbers, but neither what operators look at nor who did what."""
    return dashboard | {
        "health": None,
        "recent_activity": dashboard["recent_activity"] | {"activities": []},
    }
