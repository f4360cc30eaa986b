"""What support learns from other services: names and roles of people, courses and who learns in them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.received import Handler, Received
from libs.common.bus.replicas import replicate
from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from libs.common.events.learning import EnrollmentState
from libs.common.runtime.roles import STAFF
from services.support.models import CourseTitle, Person, Seat
from services.support.privacy import PRIVACY
from services.support.service import give_back


async def on_user(session: AsyncSession, batch: Sequence[Received[UserState]]) -> None:
    """Keep the replica; open tickets of who is of the staff no longer go back to be assigned."""
    await PRIVACY.lock(session, batch)
    # Tickets before people: the order of an erasure.
    for item in sorted(batch, key=lambda item: item.key):
        if item.event is not None and not (item.event.is_active and item.event.role in STAFF):
            await give_back(session, item.event.uuid, item.trace)
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
        },
    )


async def on_course(session: AsyncSession, batch: Sequence[Received[CourseState]]) -> None:
    await replicate(
        session,
        CourseTitle,
        batch,
        lambda course: {
            "uuid": course.uuid,
            "title": course.title,
            "status": course.status,
            "instructors": list(dict.fromkeys((course.instructor, *course.instructors))),
        },
    )


async def on_enrollment(session: AsyncSession, batch: Sequence[Received[EnrollmentState]]) -> None:
    names = ("uuid", "course", "student", "status")
    await replicate(session, Seat, batch, lambda seat: {name: getattr(seat, name) for name in names})


HANDLERS: dict[type[Any], Handler] = {
    UserState: on_user,
    CourseState: on_course,
    EnrollmentState: on_enrollment,
    **PRIVACY.handlers,
}
