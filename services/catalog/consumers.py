"""Handlers of the events that catalog consumes: users and enrolments, from state topics."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from libs.common.bus.received import Handler, Received
from libs.common.bus.replicas import replicate
from libs.common.events.base import Event
from libs.common.events.identity import UserState
from libs.common.events.learning import EnrollmentState
from services.catalog.courses.removal import restore_courses
from services.catalog.models import Course, CourseStats, Enrollment, User
from services.catalog.privacy import PRIVACY
from services.catalog.rules import ENROLLED
from services.catalog.search.lexemes import add_words, remove_names

USER_FIELDS = tuple(column.name for column in User.__table__.columns)
ENROLLMENT_FIELDS = tuple(column.name for column in Enrollment.__table__.columns)

# The lock order of every writer of several courses is that of their ids.
RENAME = text(
    "WITH renamed AS (SELECT c.uuid, c.instructor_name AS before, coalesce(u.full_name, '') AS name"
    " FROM courses c LEFT JOIN users u ON u.uuid = c.instructor WHERE c.instructor = ANY(:users)"
    " AND c.instructor_name <> coalesce(u.full_name, '') ORDER BY c.uuid FOR UPDATE OF c)"
    " UPDATE courses c SET instructor_name = renamed.name FROM renamed WHERE renamed.uuid = c.uuid"
    " RETURNING c.uuid, renamed.before"
).bindparams(bindparam("users", type_=ARRAY(Uuid())))


async def on_user(session: AsyncSession, batch: Sequence[Received[UserState]]) -> None:
    """Update the replica, and the name by which an instructor's courses are found."""
    await PRIVACY.lock(session, batch)
    await PRIVACY.on_tombstones(session, batch)
    await replicate(session, User, batch, lambda user: {name: getattr(user, name) for name in USER_FIELDS})
    renamed = (await session.execute(RENAME, {"users": [UUID(item.key) for item in batch]})).all()
    await remove_names(session, {before for _, before in renamed})
    await add_words(session, [course for course, _ in renamed])


def _row(enrollment: EnrollmentState) -> dict[str, Any]:
    row = {name: getattr(enrollment, name) for name in ENROLLMENT_FIELDS}
    return row | {"completed_lessons": list(enrollment.completed_lessons)}


async def on_enrollment(session: AsyncSession, batch: Sequence[Received[EnrollmentState]]) -> None:
    """Update the replica, and the number of learners in every course that it touches.

    A course that was deleted before its first enrolment was known here comes back, archived.
    """
    ids = [UUID(item.key) for item in batch]
    old = select(Enrollment.uuid, Enrollment.course, Enrollment.status).where(Enrollment.uuid.in_(ids))
    before = (await session.execute(old)).all()
    courses = {row.course for row in before} | {item.event.course for item in batch if item.event is not None}
    seated = {row.uuid for row in before if row.status != "waitlisted"}
    seats = [item.event for item in batch if item.event is not None and item.event.uuid not in seated]
    entered = {seat.course for seat in seats if seat.status != "waitlisted"}
    # The course before its counts, as everywhere. Who deletes it is seen here, or waits and sees the seat.
    await session.execute(
        select(Course.uuid)
        .where(Course.uuid.in_(entered))
        .order_by(Course.uuid)
        .with_for_update(key_share=True)
    )
    # The counts' rows before counting: who counts a course sees what the one before wrote.
    ordered = [{"course": course} for course in sorted(courses)]
    await session.execute(insert(CourseStats).on_conflict_do_nothing(), ordered)
    await session.execute(
        select(CourseStats.course)
        .where(CourseStats.course.in_(courses))
        .order_by(CourseStats.course)
        .with_for_update()
    )
    await replicate(session, Enrollment, batch, _row)
    count = (
        select(func.count())
        .where(Enrollment.course == CourseStats.course, Enrollment.status.in_(ENROLLED))
        .scalar_subquery()
    )
    await session.execute(
        update(CourseStats).where(CourseStats.course.in_(courses)).values(enrolled_count=count)
    )
    await restore_courses(session, entered)


HANDLERS: dict[type[Event], Handler] = {
    UserState: on_user,
    EnrollmentState: on_enrollment,
    **PRIVACY.handlers,
}
