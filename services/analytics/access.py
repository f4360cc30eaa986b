"""Who may see which numbers."""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import NotFound
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal


async def access_course(session: AsyncSession, who: Principal, uuid: UUID) -> Any:
    """A course that the caller teaches, any for managers. Raises NotFound for others, as for missing ones.

    The session uses a projection already.
    """
    row = (
        await session.execute(
            text(
                "SELECT uuid, title, status, instructor, instructors, lessons, average_rating, reviews_count"
                " FROM courses WHERE uuid = :u"
            ),
            {"u": uuid},
        )
    ).one_or_none()
    mine = (
        at_least(who, "teacher")
        and row is not None
        and (row.instructor == who.user or str(who.user) in (row.instructors or []))
    )
    if row is None or not (mine or at_least(who, "manager")):
        raise NotFound
    return row
