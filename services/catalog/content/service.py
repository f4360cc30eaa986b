"""Changes of modules and lessons: each is a new version of the course, under its row lock."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.catalog import (
    CourseUpdated,
    LessonAdded,
    LessonChanged,
    LessonRemoved,
    ModuleAdded,
    ModuleChanged,
    ModuleRemoved,
)
from libs.common.runtime.errors import Unprocessable
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.richtext import is_rendered
from services.catalog.access import access_taught_course
from services.catalog.content.schemas import (
    CourseReorderRequest,
    LessonCreate,
    LessonUpdate,
    ModuleCreate,
    ModuleUpdate,
)
from services.catalog.models import Course, Lesson, MediaFile, Module
from services.catalog.rules import check_room, check_tree, place
from services.catalog.versions import publish_tree_version, transaction_time


def _module_fact(module: Module) -> dict[str, Any]:
    return {"module": module.uuid, "module_title": module.title, "order": module.position}


def lesson_fact(lesson: Lesson) -> dict[str, Any]:
    return {
        "module": lesson.module_uuid,
        "lesson": lesson.uuid,
        "lesson_title": lesson.title,
        "content_type": lesson.content_type,
        "order": lesson.position,
    }


async def _modules(session: AsyncSession, course: UUID) -> list[Module]:
    rows = await session.scalars(
        select(Module)
        .where(Module.course_uuid == course, Module.removed_at.is_(None))
        .order_by(Module.position)
    )
    return list(rows)


async def _lessons(session: AsyncSession, module: UUID) -> list[Lesson]:
    rows = await session.scalars(
        select(Lesson)
        .where(Lesson.module_uuid == module, Lesson.removed_at.is_(None))
        .order_by(Lesson.position)
    )
    return list(rows)


def _placed(wanted: int | None, siblings: Iterable[Module | Lesson], before: int | None = None) -> int:
    """Find the position of a new item, or of one that was at `before`, and shift the siblings in its way."""
    rows = list(siblings)
    position, moved = place(wanted, [row.position for row in rows if row.position is not None], before)
    for row in rows:
        if row.position in moved:
            row.position = moved[row.position]
    return position


async def _check_room(session: AsyncSession, course: Course, *, modules: int = 0, lessons: int = 0) -> None:
    """Check that the course has room. Raises CourseTooLarge. The caller holds the course's lock."""
    has = [
        await session.scalar(
            select(func.count()).where(table.course_uuid == course.uuid, table.removed_at.is_(None))
        )
        for table in (Module, Lesson)
    ]
    check_room((has[0] or 0) + modules, (has[1] or 0) + lessons)


async def create_module(session: AsyncSession, who: Principal, body: ModuleCreate) -> tuple[Course, Module]:
    """Add a module, at the end unless `order` says otherwise. Raises CourseTooLarge."""
    course = await access_taught_course(session, who, body.course)
    await _check_room(session, course, modules=1)
    module = Module(
        uuid=uuid4(),
        course_uuid=course.uuid,
        title=body.title,
        description=body.description,
        position=_placed(body.order, await _modules(session, course.uuid)),
        version=course.version + 1,
    )
    session.add(module)
    await publish_tree_version(session, course, who, ModuleAdded, **_module_fact(module))
    return course, module


async def change_module(
    session: AsyncSession, who: Principal, course: Course, module: Module, body: ModuleUpdate
) -> None:
    """Apply the fields that were sent and differ. The caller holds the course's lock."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    if given.pop("course", None) not in (None, course.uuid):
        raise Unprocessable.field("course", "a module stays in its course")
    order = given.pop("order", None)
    changed = {name: value for name, value in given.items() if getattr(module, name) != value}
    if order is not None and order != module.position:
        others = [row for row in await _modules(session, course.uuid) if row is not module]
        changed["position"] = _placed(order, others, module.position)
    if not changed:
        return
    for name, value in changed.items():
        setattr(module, name, value)
    module.version = course.version + 1
    await publish_tree_version(session, course, who, ModuleChanged, **_module_fact(module))


async def remove_module(session: AsyncSession, who: Principal, course: Course, module: Module) -> None:
    """Take a module and its lessons out of the working structure; a published revision keeps them."""
    fact = _module_fact(module)
    now = await transaction_time(session)
    rows: list[Module | Lesson] = [module, *await _lessons(session, module.uuid)]
    for row in rows:
        row.removed_at, row.position, row.version = now, None, course.version + 1
    await publish_tree_version(session, course, who, ModuleRemoved, **fact)


async def _module_of(session: AsyncSession, course: Course, uuid: UUID) -> Module:
    module = await session.get(Module, uuid)
    if module is None or module.course_uuid != course.uuid or module.removed_at is not None:
        raise Unprocessable.field("module", "there is no such module in this course")
    return module


async def _check_resources(
    session: AsyncSession, who: Principal, wanted: list[dict[str, Any]] | None, known: list[dict[str, Any]]
) -> None:
    """Check that new files belong to this person, and lock them against deletion. Raises Unprocessable.

    Files that the lesson has already may stay.
    """
    new = {UUID(each["media"]) for each in wanted or ()} - {UUID(each["media"]) for each in known}
    if not new:
        return
    query = select(MediaFile.uuid).where(MediaFile.uuid.in_(new), MediaFile.deleted_at.is_(None))
    if not at_least(who, "manager"):
        query = query.where(MediaFile.owner == who.user)
    found = set(await session.scalars(query.order_by(MediaFile.uuid).with_for_update(read=True)))
    for uuid in sorted(new - found):
        raise Unprocessable.field("resources", f"there is no file {uuid} in your library")


async def create_lesson(
    session: AsyncSession, who: Principal, uuid: UUID, body: LessonCreate
) -> tuple[Course, Lesson]:
    """Add a lesson, at the end of its module unless `order` says otherwise. Raises CourseTooLarge."""
    course = await access_taught_course(session, who, uuid)
    await _check_room(session, course, lessons=1)
    module = await _module_of(session, course, body.module)
    given = body.given()
    for name in ("module", "order"):
        given.pop(name, None)
    given["text_content"] = next(iter(given.pop("texts")), "")
    await _check_resources(session, who, given.get("resources"), [])
    if given.get("requires_submission") is None:
        given["requires_submission"] = body.content_type == "assignment"
    lesson = Lesson(
        **{name: value for name, value in given.items() if value is not None},
        uuid=uuid4(),
        course_uuid=course.uuid,
        module_uuid=module.uuid,
        position=_placed(body.order, await _lessons(session, module.uuid)),
        version=course.version + 1,
    )
    session.add(lesson)
    await publish_tree_version(session, course, who, LessonAdded, **lesson_fact(lesson))
    return course, lesson


async def change_lesson(
    session: AsyncSession, who: Principal, course: Course, lesson: Lesson, body: LessonUpdate
) -> None:
    """Apply the fields that were sent and differ; `module` and `order` move it. The caller holds the lock."""
    given = body.given()
    target = given.pop("module", lesson.module_uuid)
    order = given.pop("order", None)
    given |= _changed_text(lesson, given.pop("texts"))
    changed = {name: value for name, value in given.items() if getattr(lesson, name) != value}
    if "resources" in changed:
        await _check_resources(session, who, changed["resources"], lesson.resources)
    if target != lesson.module_uuid:
        await _module_of(session, course, target)
        changed["position"] = _placed(order, await _lessons(session, target))
        changed["module_uuid"] = target
    elif order is not None and order != lesson.position:
        others = [row for row in await _lessons(session, target) if row is not lesson]
        changed["position"] = _placed(order, others, lesson.position)
    if not changed:
        return
    for name, value in changed.items():
        setattr(lesson, name, value)
    lesson.version = course.version + 1
    await publish_tree_version(session, course, who, LessonChanged, **lesson_fact(lesson))


def _changed_text(lesson: Lesson, texts: set[str]) -> dict[str, str]:
    """The new source of the text. Text that equals the stored source or its rendering is no change."""
    source = lesson.text_content
    new = {text for text in texts if text != source and not is_rendered(text, source)}
    if len(new) > 1:
        raise Unprocessable.field("text_source", "text_content and content are names of it: send one")
    return {"text_content": new.pop()} if new else {}


async def remove_lesson(session: AsyncSession, who: Principal, course: Course, lesson: Lesson) -> None:
    """Take a lesson out of the working structure; a published revision keeps it."""
    fact = lesson_fact(lesson)
    lesson.removed_at, lesson.position = await transaction_time(session), None
    lesson.version = course.version + 1
    await publish_tree_version(session, course, who, LessonRemoved, **fact)


async def reorder_tree(
    session: AsyncSession, who: Principal, course: Course, body: CourseReorderRequest
) -> None:
    """Put all modules and lessons into the given order; do nothing if they are in it already.

    Raises IncompleteTree. The caller holds the course's lock.
    """
    modules = {module.uuid: module for module in await _modules(session, course.uuid)}
    rows = await session.scalars(
        select(Lesson)
        .where(Lesson.course_uuid == course.uuid, Lesson.removed_at.is_(None))
        .order_by(Lesson.position)
    )
    lessons = {lesson.uuid: lesson for lesson in rows}
    wanted = [(item.uuid, item.lessons) for item in body.modules]
    check_tree(wanted, modules, lessons)
    inside: dict[UUID, list[UUID]] = {uuid: [] for uuid in modules}
    for lesson in lessons.values():
        inside[lesson.module_uuid].append(lesson.uuid)
    if wanted == list(inside.items()):
        return
    for position, item in enumerate(body.modules):
        _move(modules[item.uuid], course, position=position)
        for place_in, uuid in enumerate(item.lessons):
            _move(lessons[uuid], course, position=place_in, module_uuid=item.uuid)
    await publish_tree_version(session, course, who, CourseUpdated, changed=("order",))


def _move(row: Module | Lesson, course: Course, **place_at: Any) -> None:
    if any(getattr(row, name) != value for name, value in place_at.items()):
        for name, value in place_at.items():
            setattr(row, name, value)
        row.version = course.version + 1
