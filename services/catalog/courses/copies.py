"""Copies of courses: texts and working structure are copied, stored files are shared.

Learning copies quizzes, assignments and grading when it gets the event of the copy.
"""

from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.catalog import CourseCreated, CourseDuplicated, LessonCopy
from libs.common.security.tokens import Principal
from services.catalog.access import access_taught_course
from services.catalog.courses.service import free_slug, hold_names
from services.catalog.models import Course, CoursePrerequisite, CourseStats, Lesson, Module, User
from services.catalog.rules import check_room
from services.catalog.versions import LESSON_FIELDS, publish_version, transaction_time

COPIED = (
    "description", "short_description", "learning_outcomes", "prerequisites", "level", "language",
    "duration_hours", "category_uuid", "tags", "enrollment_limit", "thumbnail", "preview_video",
)  # fmt: skip
SUFFIX = " (copy)"


async def duplicate_course(session: AsyncSession, who: Principal, uuid: UUID) -> Course:
    """Copy the working structure of a course into a new draft of the caller.

    Raises CourseTooLarge for one from before there was a limit.
    """
    seen = await access_taught_course(session, who, uuid, lock=False)
    await hold_names(session, str(seen.category_uuid) if seen.category_uuid else None, tags=True)
    source = await access_taught_course(session, who, uuid)
    title = source.title[: 200 - len(SUFFIX)] + SUFFIX
    now = await transaction_time(session)
    copy = Course(
        **{name: getattr(source, name) for name in COPIED},
        uuid=uuid4(),
        version=0,
        title=title,
        slug=await free_slug(session, None, title),
        status="draft",
        instructor=who.user,
        co_instructors=[],
        instructor_name=await session.scalar(select(User.full_name).where(User.uuid == who.user)) or "",
        is_featured=False,
        draft_changed=False,
        total_lessons=0,
        created_at=now,
        updated_at=now,
    )
    session.add(copy)
    await session.flush()
    await session.execute(insert(CourseStats).values(course=copy.uuid).on_conflict_do_nothing())
    lessons = await _copy_structure(session, source, copy)
    required = await session.scalars(
        select(CoursePrerequisite.requires_uuid).where(CoursePrerequisite.course_uuid == uuid)
    )
    session.add_all(
        CoursePrerequisite(course_uuid=copy.uuid, requires_uuid=other) for other in required.all()
    )
    await publish_version(
        session,
        copy,
        who,
        CourseCreated,
        category=copy.category_uuid,
        level=copy.level,
        language=copy.language,
    )
    await publish_version(session, copy, who, CourseDuplicated, source=uuid, lessons=lessons)
    return copy


async def _copy_structure(session: AsyncSession, source: Course, copy: Course) -> tuple[LessonCopy, ...]:
    """Copy modules and lessons; returns the copy of each lesson."""
    modules = await session.scalars(
        select(Module).where(Module.course_uuid == source.uuid, Module.removed_at.is_(None))
    )
    lessons = await session.scalars(
        select(Lesson).where(Lesson.course_uuid == source.uuid, Lesson.removed_at.is_(None))
    )
    found, inside = modules.all(), lessons.all()
    check_room(len(found), len(inside))
    copies: dict[UUID, UUID] = {}
    for module in found:
        copies[module.uuid] = uuid4()
        session.add(
            Module(
                uuid=copies[module.uuid],
                course_uuid=copy.uuid,
                title=module.title,
                description=module.description,
                position=module.position,
                version=1,
            )
        )
    await session.flush()
    content = [name for name in LESSON_FIELDS if name not in ("uuid", "version")]
    named = {lesson.uuid: uuid4() for lesson in inside}
    session.add_all(
        Lesson(
            **{name: getattr(lesson, name) for name in content},
            uuid=named[lesson.uuid],
            course_uuid=copy.uuid,
            module_uuid=copies[lesson.module_uuid],
            position=lesson.position,
            version=1,
        )
        for lesson in inside
    )
    return tuple(LessonCopy(source=uuid, copied=copied) for uuid, copied in named.items())
