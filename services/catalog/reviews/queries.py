"""Reviews as their readers see them."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, false, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.tokens import Principal
from libs.common.web.paging import Paging
from services.catalog.models import HelpfulVote, Review, User

HELPFUL = (
    select(func.count())
    .where(HelpfulVote.review_uuid == Review.uuid)
    .correlate(Review)
    .scalar_subquery()
    .label("helpful_count")
)
ORDERS: dict[str, tuple[Any, ...]] = {
    "newest": (Review.created_at.desc(), Review.uuid),
    "oldest": (Review.created_at, Review.uuid),
    "helpful": (HELPFUL.desc(), Review.created_at.desc(), Review.uuid),
    "highest": (Review.rating.desc(), Review.created_at.desc(), Review.uuid),
    "lowest": (Review.rating, Review.created_at.desc(), Review.uuid),
}
SHOWN = 10
"""Reviews that come with a course."""


def _rows(who: Principal | None) -> Select[Any]:
    mine = (
        exists().where(HelpfulVote.review_uuid == Review.uuid, HelpfulVote.user == who.user)
        if who
        else false()
    )
    return (
        select(
            Review.uuid,
            Review.course_uuid.label("course"),
            Review.student,
            func.coalesce(User.full_name, "").label("student_name"),
            User.avatar.label("student_avatar"),
            Review.rating,
            Review.comment,
            HELPFUL,
            mine.label("is_helpful"),
            ((Review.student == who.user) if who else false()).label("is_own"),
            Review.created_at,
            Review.updated_at,
        )
        .outerjoin(User, User.uuid == Review.student)
        .where(Review.removed_at.is_(None))
    )


async def list_reviews(
    session: AsyncSession,
    who: Principal | None,
    course: UUID,
    page: Paging,
    *,
    order: str = "newest",
    rating: int | None = None,
) -> dict[str, Any]:
    """One page of a course's reviews."""
    wanted = [Review.course_uuid == course, Review.removed_at.is_(None)]
    if rating is not None:
        wanted.append(Review.rating == rating)
    count = await session.scalar(select(func.count()).select_from(Review).where(*wanted)) or 0
    query = _rows(who).where(*wanted).order_by(*ORDERS[order]).limit(page.size).offset(page.offset)
    rows = (await session.execute(query)).mappings()
    return page.answer(count, [dict(row) for row in rows])


async def newest_reviews(session: AsyncSession, who: Principal | None, course: UUID) -> list[dict[str, Any]]:
    """The reviews that are shown with the course itself."""
    query = _rows(who).where(Review.course_uuid == course).order_by(*ORDERS["newest"]).limit(SHOWN)
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def own_review(session: AsyncSession, who: Principal, course: UUID) -> dict[str, Any] | None:
    """The caller's own review of the course, if there is one."""
    query = _rows(who).where(Review.course_uuid == course, Review.student == who.user)
    row = (await session.execute(query)).mappings().one_or_none()
    return dict(row) if row else None


async def review_answer(session: AsyncSession, who: Principal, uuid: UUID) -> dict[str, Any]:
    return dict((await session.execute(_rows(who).where(Review.uuid == uuid))).mappings().one())
