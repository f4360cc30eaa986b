"""Dependencies of routes. Loading authorises as well: what is hidden and what is missing are both a 404."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.storage import Storage
from libs.common.runtime.errors import Forbidden, NotFound
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.catalog.models import Category, Course, Enrollment, Lesson, Module
from services.catalog.rules import ENROLLED, is_visible


async def storage_of(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


StorageDep = Annotated[Storage, Depends(storage_of)]


@dataclass(frozen=True, slots=True)
class View:
    """A course as one person sees it."""

    course: Course
    edits: bool
    enrolled: bool
    completed: frozenset[UUID] = field(default_factory=frozenset)


def edits(who: Principal | None, course: Course) -> bool:
    """Whether this person may change the course: its instructors, managers and admins."""
    if who is None or at_least(who, "manager"):
        return who is not None
    return at_least(who, "teacher") and (who.user == course.instructor or who.user in course.co_instructors)


async def access_course(
    session: AsyncSession, who: Principal | None, uuid: UUID, *, lock: bool = False
) -> View:
    """Load a course that this person may see. Raises NotFound."""
    query = select(Course).where(Course.uuid == uuid, Course.deleted_at.is_(None))
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    course = (await session.scalars(query)).one_or_none()
    if course is None:
        raise NotFound
    completed: Sequence[UUID] | None = None
    if who is not None:
        completed = await session.scalar(
            select(Enrollment.completed_lessons).where(
                Enrollment.student == who.user, Enrollment.course == uuid, Enrollment.status.in_(ENROLLED)
            )
        )
    view = View(course, edits(who, course), completed is not None, frozenset(completed or ()))
    if not is_visible(course.status, edits=view.edits, enrolled=view.enrolled):
        raise NotFound
    return view


async def access_taught_course(
    session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = True
) -> Course:
    """Load and lock a course that this person may change. Raises NotFound, Forbidden."""
    view = await access_course(session, who, uuid, lock=lock)
    if not view.edits:
        raise Forbidden("This course belongs to somebody else.")
    return view.course


async def access_module(session: AsyncSession, uuid: UUID) -> Module:
    """Load a module, also one that was removed. Its course decides who may see it. Raises NotFound."""
    module = await session.get(Module, uuid)
    if module is None:
        raise NotFound
    return module


async def lock_module(
    session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition | None = None
) -> tuple[Course, Module]:
    """Lock a course and load a module of its working structure, to change it."""
    course = await access_taught_course(session, who, (await access_module(session, uuid)).course_uuid)
    module = await session.get(Module, uuid, populate_existing=True)
    if module is None or module.removed_at is not None:
        raise NotFound
    if if_match is not None:
        if_match.check(module.version)
    return course, module


async def lock_lesson(
    session: AsyncSession, who: Principal, course: UUID, uuid: UUID, if_match: Precondition | None = None
) -> tuple[Course, Lesson, Module]:
    """Lock a course and load a lesson of its working structure, to change it."""
    row = await access_taught_course(session, who, course)
    lesson = await session.get(Lesson, uuid, populate_existing=True)
    if lesson is None or lesson.course_uuid != course or lesson.removed_at is not None:
        raise NotFound
    if if_match is not None:
        if_match.check(lesson.version)
    return row, lesson, await session.get_one(Module, lesson.module_uuid)


async def access_category(session: AsyncSession, slug: str, *, lock: bool = False) -> Category:
    """Load a category by slug or id. Raises NotFound."""
    query = select(Category).where(by_name(slug), Category.deleted_at.is_(None))
    if lock:
        query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    category = (await session.scalars(query)).one_or_none()
    if category is None:
        raise NotFound
    return category


def by_name(name: str) -> ColumnElement[bool]:
    """The condition that a category has this id or slug."""
    try:
        return Category.uuid == UUID(name)
    except ValueError:
        return Category.slug == name.replace("\0", "")
