"""What forum learns from the others: people, courses (each gets its forum) and enrolments."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.received import Handler, Received
from libs.common.bus.replicas import replicate
from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from libs.common.events.learning import EnrollmentState
from services.forum.discussions.service import make_course_forums
from services.forum.models import Course, Enrollment, Person
from services.forum.privacy import PRIVACY, forget_mentions
from services.forum.rules import folded


async def on_user(session: AsyncSession, batch: Sequence[Received[UserState]]) -> None:
    """Keep the replica; a tombstone takes the person's name from everything they wrote, and from mentions."""
    await PRIVACY.lock(session, batch)
    for item in batch:
        if item.event is None:
            await forget_mentions(session, UUID(item.key), item.trace)  # as long as the name is known
    await PRIVACY.on_tombstones(session, batch)
    await replicate(
        session,
        Person,
        batch,
        lambda user: {
            "uuid": user.uuid,
            "full_name": user.full_name,
            "avatar": user.avatar,
            "role": user.role,
            "is_active": user.is_active,
            "folded_name": folded(user.full_name),
            "folded_first_name": folded(user.first_name),
        },
    )


async def on_course(session: AsyncSession, batch: Sequence[Received[CourseState]]) -> None:
    """Keep the replica, and make the forum of every course that has none yet."""
    await replicate(
        session,
        Course,
        batch,
        lambda course: {
            "uuid": course.uuid,
            "title": course.title,
            "status": course.status,
            "instructors": list(dict.fromkeys((course.instructor, *course.instructors))),
        },
    )
    present = {item.event.uuid: item for item in batch if item.event is not None}
    await make_course_forums(
        session, {uuid: (item.event.title, item.trace) for uuid, item in present.items() if item.event}
    )


async def on_enrollment(session: AsyncSession, batch: Sequence[Received[EnrollmentState]]) -> None:
    """Keep the replica; who drops out loses the course's forum at once."""
    await replicate(
        session,
        Enrollment,
        batch,
        lambda enrollment: {
            "uuid": enrollment.uuid,
            "course": enrollment.course,
            "student": enrollment.student,
            "status": enrollment.status,
        },
    )


HANDLERS: dict[type[Any], Handler] = {
    UserState: on_user,
    CourseState: on_course,
    EnrollmentState: on_enrollment,
    **PRIVACY.handlers,
}
