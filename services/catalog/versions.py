"""Versions of courses: each is a fact on `catalog.events` and the whole state on `catalog.courses`."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import flag_modified

from libs.common.data.outbox import record, record_tombstone
from libs.common.events.catalog import CategoryRef, CourseFact, CourseState, LessonState, ModuleState
from libs.common.runtime.clock import moved, system_clock
from libs.common.security.tokens import Principal
from services.catalog.models import (
    Category,
    Course,
    CoursePrerequisite,
    CourseRevision,
    CourseStats,
    Lesson,
    Module,
)
from services.catalog.rules import lesson_ids, minutes_of

Structure = list[dict[str, Any]]

MOST_TITLE = 600
"""Bytes of JSON of one title in a state."""

LESSON_FIELDS = (
    "uuid",
    "title",
    "description",
    "content_type",
    "text_content",
    "video_url",
    "video_duration",
    "estimated_time_minutes",
    "is_preview",
    "is_published",
    "points",
    "requires_submission",
    "file",
    "resources",
    "version",
)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def lesson_content(lesson: Lesson) -> dict[str, Any]:
    """A lesson as it is stored in a revision."""
    return {name: _plain(getattr(lesson, name)) for name in LESSON_FIELDS} | {
        "module": str(lesson.module_uuid),
        "order": lesson.position,
    }


async def working_structure(session: AsyncSession, course: UUID) -> Structure:
    """The working structure in order, read in one statement, so that a reorder is seen whole."""
    rows = await session.execute(
        select(Module, Lesson)
        .outerjoin(Lesson, and_(Lesson.module_uuid == Module.uuid, Lesson.removed_at.is_(None)))
        .where(Module.course_uuid == course, Module.removed_at.is_(None))
        .order_by(Module.position, Lesson.position)
    )
    structure: dict[UUID, dict[str, Any]] = {}
    for module, lesson in rows:
        shown = structure.setdefault(
            module.uuid,
            {
                "uuid": str(module.uuid),
                "title": module.title,
                "description": module.description,
                "order": module.position,
                "version": module.version,
                "lessons": [],
            },
        )
        if lesson is not None:
            shown["lessons"].append(lesson_content(lesson))
    return list(structure.values())


async def published_structure_of(session: AsyncSession, course: Course) -> Structure:
    """The published structure: the content of the course's revision, empty if there never was one."""
    if course.revision is None:
        return []
    return (
        await session.scalar(
            select(CourseRevision.content).where(
                CourseRevision.course_uuid == course.uuid, CourseRevision.number == course.revision
            )
        )
        or []
    )


def clipped(title: str) -> str:
    """A title as states carry it: whole, unless it takes more than 600 bytes of JSON.

    That many for each of the most modules and lessons, twice, stay below Kafka's 1 MB.
    """
    while len(orjson.dumps(title)) - 2 > MOST_TITLE:  # without the quotes
        title = title[:-1]
    return title


def _states(structure: Structure) -> tuple[ModuleState, ...]:
    return tuple(
        ModuleState(
            uuid=UUID(module["uuid"]),
            title=clipped(module["title"]),
            order=module["order"],
            lessons=tuple(
                LessonState(
                    **{name: lesson[name] for name in LessonState.model_fields if name in lesson}
                    | {"title": clipped(lesson["title"])}
                )
                for lesson in module["lessons"]
            ),
        )
        for module in structure
    )


async def course_state(session: AsyncSession, course: Course) -> CourseState:
    """The state of a course, as other services replicate it."""
    working = await working_structure(session, course.uuid)
    published = await published_structure_of(session, course)
    if course.revision is None:
        course.total_lessons, course.lesson_minutes = len(lesson_ids(working)), minutes_of(working)
    category = await session.get(Category, course.category_uuid) if course.category_uuid else None
    prerequisites = await session.scalars(
        select(CoursePrerequisite.requires_uuid)
        .where(CoursePrerequisite.course_uuid == course.uuid)
        .order_by(CoursePrerequisite.requires_uuid)
    )
    stats = await session.get(CourseStats, course.uuid, populate_existing=True)
    return CourseState(
        uuid=course.uuid,
        title=course.title,
        slug=course.slug,
        short_description=course.short_description,
        status=course.status,
        level=course.level,
        language=course.language,
        category=CategoryRef(uuid=category.uuid, name=category.name, slug=category.slug)
        if category
        else None,
        tags=tuple(course.tags),
        instructor=course.instructor,
        instructors=(course.instructor, *course.co_instructors),
        thumbnail=course.thumbnail,
        preview_video=course.preview_video,
        is_featured=course.is_featured,
        duration_hours=course.shown_hours,
        enrollment_limit=course.enrollment_limit,
        revision=course.revision,
        modules=_states(published),
        draft_modules=_states(working),
        prerequisites=tuple(prerequisites),
        created_at=course.created_at,
        updated_at=course.updated_at,
        published_at=course.published_at,
        average_rating=float(stats.average_rating) if stats else 0,
        reviews_count=stats.reviews_count if stats else 0,
    )


async def publish_version(
    session: AsyncSession,
    course: Course,
    who: Principal | None,
    fact: type[CourseFact],
    *,
    edited: bool = True,
    **fields: Any,
) -> None:
    """Raise the version, and record the fact and the state. The caller holds the course's row lock.

    Actions of readers (`edited` false) change neither `edited_version` nor `updated_at`.
    """
    course.version += 1
    if edited:
        course.edited_version = course.version
        course.updated_at = await transaction_time(session)
    else:
        flag_modified(course, "updated_at")  # written as it is, or the column's onupdate would move it
    await session.flush()
    actor = who.user if who else None
    event = fact(course=course.uuid, title=course.title, instructor=course.instructor, actor=actor, **fields)
    record(session, event, course.version)
    await publish_state(session, course)


async def publish_state(session: AsyncSession, course: Course) -> None:
    """Tell the state of a course, whose row the caller has locked, as it is; a deleted one is not there."""
    if course.deleted_at is None:
        record(session, await course_state(session, course), course.version)
    else:
        record_tombstone(session, CourseState, course.uuid, course.version)


async def publish_tree_version(
    session: AsyncSession, course: Course, who: Principal, fact: type[CourseFact], **fields: Any
) -> None:
    """Publish a version for a change of modules or lessons, which learners see after the next publish."""
    course.draft_changed = course.revision is not None
    await publish_version(session, course, who, fact, **fields)


async def transaction_time(session: AsyncSession) -> datetime:
    """The time of this transaction, by the database's clock."""
    return moved() or await session.scalar(select(func.now())) or system_clock()
