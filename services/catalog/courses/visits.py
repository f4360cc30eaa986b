"""Views of courses: each user or network counts once a day; who it was is not stored.

A request only adds a row of its own; the course's number is raised by a sweep.
"""

import hashlib
import hmac
from datetime import date, timedelta

from pydantic import SecretStr
from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.networks import network_of
from libs.common.security.tokens import Principal
from services.catalog.access import View
from services.catalog.models import CourseView

RETENTION = timedelta(days=2)
COUNT = text(
    "WITH taken AS (UPDATE course_views SET counted = true WHERE NOT counted RETURNING course),"
    " numbers AS (SELECT course, count(*) AS number FROM taken GROUP BY course)"
    " INSERT INTO course_stats AS s (course, views_count) SELECT course, number FROM numbers ORDER BY course"
    " ON CONFLICT (course) DO UPDATE SET views_count = s.views_count + excluded.views_count"
)


async def record_view(
    session: AsyncSession, who: Principal | None, address: str, view: View, day: date, secret: SecretStr
) -> None:
    """Record a view of a published course by somebody, or by the network of `address`; not by its editors."""
    if view.edits or view.course.status != "published":
        return
    seen = f"{day}\n{who.user if who else network_of(address)}"
    viewer = hmac.digest(secret.get_secret_value().encode(), seen.encode(), hashlib.sha256)[:16]
    row = {"day": day, "course": view.course.uuid, "viewer": viewer}
    await session.execute(insert(CourseView).values(row).on_conflict_do_nothing())


async def count_views(session: AsyncSession, today: date) -> None:
    """Add new views to the numbers of their courses, and delete the rows of past days."""
    await session.execute(COUNT)
    old = delete(CourseView).where(CourseView.day < today - RETENTION, CourseView.counted)
    await session.execute(old)
