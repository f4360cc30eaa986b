"""Loading assignments and submissions and authorising in one step."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import Forbidden, NotFound
from libs.common.security.tokens import Principal
from services.learning.access import is_enrolled, teaches
from services.learning.assignments.rules import is_closed
from services.learning.errors import AssignmentClosed, NotEnrolled
from services.learning.models import Assignment, Course, Enrollment, Submission


async def access_assignment(session: AsyncSession, who: Principal, uuid: UUID) -> tuple[Assignment, bool]:
    """An assignment that they may see, and whether they teach it: else its course's learners see it."""
    row = (
        await session.execute(
            select(Assignment, Course)
            .join(Course, Course.uuid == Assignment.course)
            .where(Assignment.uuid == uuid, Assignment.deleted_at.is_(None))
        )
    ).one_or_none()
    if row is None:
        raise NotFound
    assignment, course = row
    if teaches(who, course):
        return assignment, True
    if await is_enrolled(session, who, assignment.course):
        return assignment, False
    raise NotFound


async def access_open_assignment(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime
) -> Assignment:
    """An assignment for which they may hand in work now. Raises NotFound, NotEnrolled, AssignmentClosed."""
    try:
        assignment, _ = await access_assignment(session, who, uuid)
    except NotFound:
        if await _has_left(session, who, uuid):
            raise NotEnrolled from None
        raise
    if not await is_enrolled(session, who, assignment.course):
        raise NotEnrolled
    if is_closed(now, assignment.closes_at):
        raise AssignmentClosed
    return assignment


async def _has_left(session: AsyncSession, who: Principal, uuid: UUID) -> bool:
    """Whether they were enrolled in its course before."""
    query = select(Enrollment.uuid).join(Assignment, Assignment.course == Enrollment.course)
    there = query.where(
        Assignment.uuid == uuid, Assignment.deleted_at.is_(None), Enrollment.student == who.user
    )
    return await session.scalar(there) is not None


async def access_taught_assignment(session: AsyncSession, who: Principal, uuid: UUID) -> Assignment:
    """An assignment that they may edit, locked."""
    assignment, taught = await access_assignment(session, who, uuid)
    if not taught:
        raise Forbidden
    await session.refresh(assignment, with_for_update={"key_share": True})
    if assignment.deleted_at is not None:
        raise NotFound
    return assignment


async def hold_assignment(session: AsyncSession, assignment: Assignment) -> None:
    """Lock an assignment against changes until the transaction ends; graders do not wait for each other."""
    await session.refresh(assignment, with_for_update={"read": True})


async def access_submission(
    session: AsyncSession, who: Principal, uuid: UUID
) -> tuple[Submission, Assignment, bool]:
    """A submission, its assignment, and whether the user teaches it; else it is their own. Raises
    NotFound."""
    row = (
        await session.execute(
            select(Submission, Assignment, Course)
            .join(Assignment, Assignment.uuid == Submission.assignment)
            .join(Course, Course.uuid == Assignment.course)
            .where(Submission.uuid == uuid)
        )
    ).one_or_none()
    if row is None:
        raise NotFound
    submission, assignment, course = row
    own = submission.student == who.user
    taught = teaches(who, course)
    given = assignment.posted and submission.status != "submitted"
    if not taught and not (own and (submission.number or given)):
        raise NotFound
    return submission, assignment, not own
