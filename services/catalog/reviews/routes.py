"""HTTP of reviews (api.md §3)."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser, OptionalUser
from libs.common.web import etags
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_uuid
from services.catalog.access import access_course
from services.catalog.errors import AlreadyReviewed, CourseRequired, NotEnrolled, OwnReview
from services.catalog.parameters import one_of
from services.catalog.reviews import service
from services.catalog.reviews.queries import ORDERS, list_reviews, review_answer
from services.catalog.reviews.schemas import ReviewCreate, ReviewRead, ReviewUpdate
from services.catalog.schemas import Done

reviews = APIRouter(prefix="/api/reviews", tags=["reviews"])
of_course = APIRouter(prefix="/api/courses/{course}/reviews", tags=["reviews"])

STARS = ("1", "2", "3", "4", "5")
Ordering = Annotated[str | None, one_of(tuple(ORDERS))]
Stars = Annotated[str | None, one_of(STARS)]


async def _list(
    session: SessionDep,
    who: OptionalUser,
    course: UUID,
    page: PagingDep,
    ordering: str | None,
    rating: str | None,
) -> dict[str, Any]:
    order = choose("ordering", ordering, tuple(ORDERS)) or "newest"
    stars = choose("rating", rating, STARS)
    await access_course(session, who, course)
    return await list_reviews(session, who, course, page, order=order, rating=int(stars) if stars else None)


@of_course.get("/", response_model=Page[ReviewRead])
async def list_course_reviews(
    course: UUID,
    session: SessionDep,
    who: OptionalUser,
    page: PagingDep,
    ordering: Ordering = None,
    rating: Stars = None,
) -> Any:
    """Reviews of a course, the newest first."""
    return await _list(session, who, course, page, ordering, rating)


@reviews.get("/", response_model=Page[ReviewRead], responses=raises(CourseRequired))
async def list_all_reviews(
    session: SessionDep,
    who: OptionalUser,
    page: PagingDep,
    course: str | None = None,
    ordering: Ordering = None,
    rating: Stars = None,
) -> Any:
    """Reviews of a course, with the course as a parameter."""
    uuid = choose_uuid("course", course)
    if uuid is None:
        raise CourseRequired
    return await _list(session, who, uuid, page, ordering, rating)


@reviews.post("/", status_code=201, response_model=ReviewRead, responses=raises(NotEnrolled, AlreadyReviewed))
async def post_review(body: ReviewCreate, session: SessionDep, who: CurrentUser, response: Response) -> Any:
    """Review a course that the caller is enrolled in, once."""
    review = await service.post_review(session, who, body)
    response.headers["ETag"] = etags.etag(review.version)
    return await review_answer(session, who, review.uuid)


@reviews.patch("/{uuid}/", response_model=ReviewRead)
async def change_review(
    uuid: UUID,
    body: ReviewUpdate,
    session: SessionDep,
    who: CurrentUser,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Change the caller's own review."""
    review = await service.change_review(session, who, uuid, body, if_match)
    response.headers["ETag"] = etags.etag(review.version)
    return await review_answer(session, who, uuid)


@reviews.delete("/{uuid}/", response_model=Done)
async def remove_review(uuid: UUID, session: SessionDep, who: CurrentUser, if_match: IfMatch) -> Any:
    """Remove the caller's own review; staff may remove any."""
    await service.remove_review(session, who, uuid, if_match)
    return {"detail": "The review is removed."}


@reviews.post("/{uuid}/helpful/", response_model=ReviewRead, responses=raises(OwnReview))
async def toggle_helpful(uuid: UUID, session: SessionDep, who: CurrentUser) -> Any:
    """Mark somebody else's review as helpful; a second call removes the mark."""
    await service.toggle_helpful(session, who, uuid)
    return await review_answer(session, who, uuid)
