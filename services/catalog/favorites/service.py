"""Courses that somebody wants to find again."""

from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.tokens import Principal
from services.catalog.access import access_course
from services.catalog.models import Favorite


async def is_favorite(session: AsyncSession, who: Principal | None, course: UUID) -> bool:
    if who is None:
        return False
    mine = exists().where(Favorite.user == who.user, Favorite.course_uuid == course)
    return bool(await session.scalar(select(mine)))


async def add_favorite(session: AsyncSession, who: Principal, course: UUID) -> None:
    """Add a course that the person may see to their favourites; idempotent."""
    await access_course(session, who, course)
    await session.execute(insert(Favorite).values(user=who.user, course_uuid=course).on_conflict_do_nothing())


async def remove_favorite(session: AsyncSession, who: Principal, course: UUID) -> None:
    """Remove a course from the favourites, also one that the person may no longer see; idempotent."""
    await session.execute(delete(Favorite).where(Favorite.user == who.user, Favorite.course_uuid == course))
