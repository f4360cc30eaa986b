"""Loading reviews; loading authorises as well."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import NotFound
from libs.common.security.tokens import Principal
from services.catalog.access import View, access_course
from services.catalog.models import Review


async def access_review(
    session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False
) -> tuple[View, Review]:
    """Load a review of a course that this person may see; `lock` locks both. Raises NotFound."""
    review = await session.get(Review, uuid)
    if review is None:
        raise NotFound
    view = await access_course(session, who, review.course_uuid, lock=lock)
    if lock:
        await session.refresh(review)
    if review.removed_at is not None:
        raise NotFound
    return view, review
