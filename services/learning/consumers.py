"""What learning takes from the others: courses with their structure, copies of them, and users."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

import services.learning.certificates.service  # noqa: F401 (it receives what completing a course sends)
from libs.common.bus.received import Handler, Received
from libs.common.bus.replicas import replicate
from libs.common.events.base import Event
from libs.common.events.catalog import CourseDuplicated, CourseState
from libs.common.events.identity import UserState
from services.learning.completion.service import move_to_revision
from services.learning.copies.service import on_course_duplicated
from services.learning.enrollments.service import fill_seats, leave_waitlists
from services.learning.models import Course, User
from services.learning.privacy import PRIVACY

USER_FIELDS = tuple(column.name for column in User.__table__.columns)
COURSE_FIELDS = tuple(
    column.name for column in Course.__table__.columns if column.name not in ("lessons", "points")
)


def course_row(course: CourseState) -> dict[str, Any]:
    """The replica's row: as it came, with the published lessons in order and their points drawn out."""
    plain = course.model_dump(mode="json")
    native = {
        "uuid",
        "instructor",
        "instructors",
        "prerequisites",
        "created_at",
        "updated_at",
        "published_at",
    }
    row = {name: getattr(course, name) if name in native else plain[name] for name in COURSE_FIELDS}
    lessons = [
        lesson
        for module in sorted(course.modules, key=lambda m: m.order)
        for lesson in sorted(module.lessons, key=lambda x: x.order)
    ]
    return {
        **row,
        "instructors": list(course.instructors),
        "prerequisites": list(course.prerequisites),
        "lessons": [lesson.uuid for lesson in lessons],
        "points": {str(lesson.uuid): lesson.points for lesson in lessons},
    }


async def on_course(session: AsyncSession, batch: Sequence[Received[CourseState]]) -> None:
    """Update the replica; move active learners to a new revision; give seats that a higher limit frees."""
    ordered = sorted(batch, key=lambda item: item.key)  # two batches lock courses in the same order
    await replicate(session, Course, ordered, course_row)
    present = {UUID(item.key): item for item in ordered if item.event is not None}
    courses = await session.scalars(
        select(Course)
        .where(Course.uuid.in_(present))
        .order_by(Course.uuid)
        .execution_options(populate_existing=True)
    )
    for course in courses.all():
        item = present[course.uuid]
        now: datetime = item.occurred_at
        await move_to_revision(session, course, now, item.trace)
        await fill_seats(session, course, now, item.trace)


async def on_user(session: AsyncSession, batch: Sequence[Received[UserState]]) -> None:
    """Update the replica; a tombstone deletes the row, and users who are locked out leave waitlists."""
    await PRIVACY.lock(session, batch)
    locked_out = {
        item.event.uuid: item.trace for item in batch if item.event is not None and not item.event.is_active
    }
    if locked_out:
        await leave_waitlists(session, locked_out)
    await PRIVACY.on_tombstones(session, batch)
    await replicate(session, User, batch, lambda user: {name: getattr(user, name) for name in USER_FIELDS})


HANDLERS: dict[type[Event], Handler] = {
    CourseState: on_course,
    CourseDuplicated: on_course_duplicated,
    UserState: on_user,
    **PRIVACY.handlers,
}
