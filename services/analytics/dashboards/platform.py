"""What managers see of the whole platform."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import rules
from services.analytics.charts import chart
from services.analytics.dashboards.student import recent_activity
from services.analytics.queries import as_of, one, rows
from services.analytics.rules import TAKING_PART

STATS = (
    "SELECT (SELECT count(*) FROM users) AS total_users,"
    ' (SELECT count(DISTINCT "user") FROM active_days WHERE day >= :week) AS active_users_7d,'
    " (SELECT count(*) FROM courses WHERE status <> 'archived') AS total_courses,"
    " (SELECT count(*) FROM courses WHERE status = 'published') AS published_courses,"
    f" (SELECT count(*) FROM enrollments WHERE {TAKING_PART}) AS total_enrollments,"
    " (SELECT count(*) FROM enrollments WHERE status = 'completed') AS completions,"
    " (SELECT count(*) FROM certificates WHERE NOT revoked) AS certificates,"
    " (SELECT count(*) FROM discussions) AS discussions,"
    " (SELECT count(*) FROM tickets WHERE status NOT IN ('resolved', 'closed')) AS active_tickets"
)
GROWTH = (
    "SELECT d::date AS date,"
    " (SELECT count(*) FROM users WHERE date_joined >= d AND date_joined < d + interval '1 day')"
    " AS new_users,"
    " (SELECT count(*) FROM enrollments WHERE enrolled_at >= d AND enrolled_at < d + interval '1 day'"
    " AND status <> 'waitlisted')"
    " AS enrollments,"
    " (SELECT count(*) FROM enrollments WHERE completed_at >= d AND completed_at < d + interval '1 day')"
    " AS completions,"
    " (SELECT count(*) FROM active_days WHERE day = d::date) AS active_users"
    " FROM generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz), interval '1 day') d"
    " ORDER BY 1"
)
CATEGORIES = (
    "SELECT coalesce(c.category, 'Uncategorised') AS category, count(DISTINCT c.uuid) AS courses,"
    " count(e.uuid) AS enrollments, coalesce(avg(e.progress), 0) AS progress,"
    " count(e.uuid) FILTER (WHERE e.status = 'completed') AS completed"
    f" FROM courses c LEFT JOIN enrollments e ON e.course = c.uuid AND e.{TAKING_PART}"
    " WHERE c.status = 'published' GROUP BY 1 ORDER BY 3 DESC, 1"
)
HEALTH = (
    "SELECT (SELECT count(*) FROM analytics.dead_letter WHERE resolved_at IS NULL) AS dead_letters,"
    " (SELECT count(*) FROM analytics.key_progress WHERE parked IS NOT NULL) AS parked_keys,"
    " (SELECT max(position) FROM analytics.event_log) AS events_applied"
)
SUPPORT = (
    "SELECT count(*) FILTER (WHERE status NOT IN ('resolved', 'closed')) AS open,"
    " count(*) FILTER (WHERE opened_at > :since) AS opened_7d,"
    " count(*) FILTER (WHERE resolved_at > :since) AS resolved_7d,"
    " avg(extract(epoch FROM first_response_at - opened_at)) / 60 AS first_response_minutes,"
    " avg(rating) AS rating FROM tickets"
)


async def platform_dashboard(session: AsyncSession, now: datetime) -> dict[str, Any]:
    """Numbers over everything. The session uses a projection already."""
    week = now.date() - timedelta(days=6)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    stats = dict((await one(session, STATS, week=week))._mapping)
    growth = [
        {"date": row.date.isoformat(), "new_users": row.new_users, "enrollments": row.enrollments,
         "completions": row.completions, "active_users": row.active_users}
        for row in await rows(session, GROWTH, first=midnight - timedelta(days=29), last=midnight)
    ]  # fmt: skip
    categories = [
        {
            "category": row.category,
            "courses": row.courses,
            "enrollments": row.enrollments,
            "avg_progress": rules.rounded(row.progress),
            "completion_rate": rules.share(row.completed, row.enrollments),
        }
        for row in await rows(session, CATEGORIES)
    ]
    support = await one(session, SUPPORT, since=now - timedelta(days=7))
    newest = growth[-7:]
    applied = await as_of(session, now)
    return {
        "platform_stats": stats,
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
            "active_share_7d": rules.share(stats["active_users_7d"], stats["total_users"]),
            "completion_rate": rules.share(stats["completions"], stats["total_enrollments"]),
        },
        "support_load": {
            "open": support.open,
            "opened_7d": support.opened_7d,
            "resolved_7d": support.resolved_7d,
            "first_response_minutes": rules.rounded(support.first_response_minutes),
            "rating": rules.rounded(support.rating, 2),
        },
        "charts": {
            "growth": chart(
                "line", "Growth over 30 days", [day["date"] for day in growth],
                new_users=[day["new_users"] for day in growth],
                enrollments=[day["enrollments"] for day in growth],
                active_users=[day["active_users"] for day in growth],
            ),
            "categories": chart(
                "pie", "Enrolments by category", [c["category"] for c in categories],
                enrollments=[c["enrollments"] for c in categories],
            ),
        },
        "as_of": applied,
    }  # fmt: skip


def for_moderators(dashboard: dict[str, Any]) -> dict[str, Any]:
    """What moderators see of it: all numbers, but neither what operators look at nor who did what."""
    return dashboard | {
        "health": None,
        "recent_activity": dashboard["recent_activity"] | {"activities": []},
    }
