"""How often a course is looked at: each user or network counts once a day, and is not kept.

A request only adds a row of its own; the course's number is raised by a sweep.
"""

import hashlib
import hmac
from datetime import date, datetime, timedelta

from fastapi import Request
from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.networks import network_of
from libs.common.security.tokens import Principal
from libs.common.web.border import client_address
from services.catalog.access import View
from services.catalog.courses.models import CourseView

RETENTION = timedelta(days=2)
COUNT = text(
    "WITH taken AS (UPDATE course_views SET counted = true WHERE NOT counted RETURNING course),"
    " numbers AS (SELECT course, count(*) AS number FROM taken GROUP BY course)"
    " INSERT INTO course_stats AS s (course, views_count) SELECT course, number FROM numbers ORDER BY course"
    " ON CONFLICT (course) DO UPDATE SET views_count = s.views_count + excluded.views_count"
)


async def record_view(
    session: AsyncSession, request: Request, who: Principal | None, view: View, now: datetime
) -> None:
    """Write down that a published course was looked at; its editors do not count."""
    if view.edits or view.course.status != "published":
        return
    day = now.date()
    secret: str = request.app.state.settings.secret.get_secret_value()
    seen = f"{day}\n{who.user if who else network_of(client_address(request))}"
    viewer = hmac.digest(secret.encode(), seen.encode(), hashlib.sha256)[:16]
    row = {"day": day, "course": view.course.uuid, "viewer": viewer}
    await session.execute(insert(CourseView).values(row).on_conflict_do_nothing())


async def count_views(session: AsyncSession, today: date) -> None:
    """Add the views that wait to their courses' numbers, and forget who had been looking."""
    await session.execute(COUNT)
    old = delete(CourseView).where(CourseView.day < today - RETENTION, CourseView.counted)
    await session.execute(old)
