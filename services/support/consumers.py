"""What support learns from other services: names and roles of people, titles of courses."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from libs.common.inbox import Handler, Received
from libs.common.replicas import replicate
from services.support.models import CourseTitle, Person
from services.support.privacy import PRIVACY


async def on_user(session: AsyncSession, batch: Sequence[Received[UserState]]) -> None:
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
    await PRIVACY.on_tombstones(session, batch)


async def on_course(session: AsyncSession, batch: Sequence[Received[CourseState]]) -> None:
    await replicate(session, CourseTitle, batch, lambda course: {"uuid": course.uuid, "title": course.title})


HANDLERS: dict[type[Any], Handler] = {UserState: on_user, CourseState: on_course, **PRIVACY.handlers}
