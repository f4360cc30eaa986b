"""Changes of reviews. Each is a version of the course, written under the course's row lock."""

from uuid import UUID, uuid4

from sqlalchemy import delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.events.catalog import ReviewChanged, ReviewFact, ReviewPosted, ReviewRemoved
from libs.common.runtime.errors import Forbidden, NotFound, Unprocessable
from libs.common.security.auth import is_staff
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.catalog.access import View, access_course
from services.catalog.errors import AlreadyReviewed, NotEnrolled, OwnReview
from services.catalog.models import CourseStats, HelpfulVote, Review
from services.catalog.reviews.access import access_review
from services.catalog.reviews.schemas import ReviewCreate, ReviewUpdate
from services.catalog.versions import publish_version, transaction_time


async def _publish(
    session: AsyncSession, view: View, who: Principal, review: Review, fact: type[ReviewFact]
) -> None:
    """Recompute the course's rating and record the event. The caller holds the course's lock."""
    await session.flush()
    number, average = (
        await session.execute(
            select(func.count(), func.coalesce(func.avg(Review.rating), 0)).where(
                Review.course_uuid == review.course_uuid, Review.removed_at.is_(None)
            )
        )
    ).one()
    values = {"reviews_count": number, "average_rating": func.round(average, 2)}
    await session.execute(
        insert(CourseStats)
        .values(course=review.course_uuid, **values)
        .on_conflict_do_update(index_elements=["course"], set_=values)
    )
    await publish_version(
        session,
        view.course,
        who,
        fact,
        edited=False,
        review=review.uuid,
        student=review.student,
        rating=review.rating,
    )


async def post_review(session: AsyncSession, who: Principal, body: ReviewCreate) -> Review:
    """Review a course that the caller is enrolled in, once. Raises NotEnrolled, AlreadyReviewed."""
    view = await access_course(session, who, body.course, lock=True)
    if not view.enrolled:
        raise NotEnrolled
    mine = exists().where(
        Review.course_uuid == body.course, Review.student == who.user, Review.removed_at.is_(None)
    )
    if await session.scalar(select(mine)):
        raise AlreadyReviewed
    now = await transaction_time(session)
    review = Review(
        uuid=uuid4(),
        course_uuid=body.course,
        student=who.user,
        rating=body.rating,
        comment=body.comment,
        version=1,
        created_at=now,
        updated_at=now,
    )
    session.add(review)
    await _publish(session, view, who, review, ReviewPosted)
    return review


async def change_review(
    session: AsyncSession, who: Principal, uuid: UUID, body: ReviewUpdate, if_match: Precondition
) -> Review:
    """Apply the fields that were sent and differ; for the author only."""
    view, review = await access_review(session, who, uuid, lock=True)
    if review.student != who.user:
        raise Forbidden("This review is somebody else's.")
    if_match.check(review.version)
    given = {name: getattr(body, name) for name in body.model_fields_set}
    if given.pop("course", None) not in (None, review.course_uuid):
        raise Unprocessable.field("course", "a review stays with its course")
    changed = {name: value for name, value in given.items() if getattr(review, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(review, name, value)
        review.version += 1
        review.updated_at = await transaction_time(session)
        await _publish(session, view, who, review, ReviewChanged)
    return review


async def remove_review(session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition) -> None:
    """Remove a review, as its author or as staff; what staff do is written to the audit log."""
    view, review = await access_review(session, who, uuid, lock=True)
    if review.student != who.user:
        if not is_staff(who):
            raise Forbidden("This review is somebody else's.")
        await write_entry(
            session,
            "review_removed",
            review.uuid,
            actor=who.user,
            details={"course": str(review.course_uuid), "student": str(review.student)},
        )
    if_match.check(review.version)
    review.removed_at = await transaction_time(session)
    review.comment = ""
    review.version += 1
    await _publish(session, view, who, review, ReviewRemoved)


async def toggle_helpful(session: AsyncSession, who: Principal, uuid: UUID) -> None:
    """Add or remove the caller's helpful vote. Raises OwnReview, NotFound."""
    _, review = await access_review(session, who, uuid)
    if review.student == who.user:
        raise OwnReview
    # Two clicks of one person take turns: the second undoes the first.
    await session.refresh(review, with_for_update=True)
    if review.removed_at is not None:
        raise NotFound
    vote = (HelpfulVote.review_uuid == uuid, HelpfulVote.user == who.user)
    taken_back = await session.scalar(delete(HelpfulVote).where(*vote).returning(HelpfulVote.user))
    if taken_back is None:
        session.add(HelpfulVote(review_uuid=uuid, user=who.user))
        await session.flush()
