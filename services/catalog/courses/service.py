"""Changes of a course as a whole: one function per action, in the request's transaction."""

import re
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.events.catalog import (
    CourseArchived,
    CourseCreated,
    CoursePublished,
    CourseUnpublished,
    CourseUpdated,
)
from libs.common.runtime.errors import NotFound, Unprocessable
from libs.common.runtime.logs import get_logger
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.catalog.access import access_course, access_taught_course, by_name
from services.catalog.courses.schemas import CourseCreate, CoursePublishRequest, CourseUpdate
from services.catalog.errors import FeaturingNotAllowed, NothingToPublish, PrerequisiteCycle
from services.catalog.models import (
    Category,
    Course,
    CoursePrerequisite,
    CourseRevision,
    CourseStats,
    User,
)
from services.catalog.rules import (
    check_publishable,
    check_transition,
    free_name,
    has_cycle,
    lesson_ids,
    minutes_of,
    published_structure,
    slug_of,
)
from services.catalog.search.lexemes import add_words
from services.catalog.tags.service import get_or_create_tags, share_tags
from services.catalog.versions import (
    publish_version,
    published_structure_of,
    transaction_time,
    working_structure,
)

log = get_logger(__name__)

PLANNED_AHEAD = timedelta(days=3653)
NUMBERS = re.compile(r"(-[0-9]+)+\Z")
SEARCHED = {"title", "tags", "short_description", "description", "learning_outcomes"}
"""What the search finds."""


async def create_course(session: AsyncSession, who: Principal, body: CourseCreate) -> Course:
    """Create a draft that belongs to the caller."""
    if body.is_featured and not at_least(who, "manager"):
        raise FeaturingNotAllowed
    values = body.model_dump(exclude={"category", "tags", "slug", "status"})
    await share_tags(session)
    category = await _category(session, body.category)
    now = await transaction_time(session)
    course = Course(
        **values,
        uuid=uuid4(),
        version=0,
        slug=await free_slug(session, body.slug, body.title),
        category_uuid=category.uuid if category else None,
        tags=await get_or_create_tags(session, body.tags),
        status="draft",
        instructor=who.user,
        co_instructors=[],
        instructor_name=await session.scalar(select(User.full_name).where(User.uuid == who.user)) or "",
        draft_changed=False,
        total_lessons=0,
        created_at=now,
        updated_at=now,
    )
    session.add(course)
    await session.execute(insert(CourseStats).values(course=course.uuid).on_conflict_do_nothing())
    await publish_version(
        session,
        course,
        who,
        CourseCreated,
        category=course.category_uuid,
        level=course.level,
        language=course.language,
    )
    return course


async def hold_names(session: AsyncSession, category: str | None, tags: bool) -> None:
    """Lock a category and the tags before the course that gets them, in the order that a rename takes."""
    if category is not None:
        await session.execute(select(Category.uuid).where(by_name(category)).with_for_update(read=True))
    if tags:
        await share_tags(session)


async def _category(session: AsyncSession, name: str | None) -> Category | None:
    """Load a category by id or slug and lock it, so that a rename waits. Raises Unprocessable."""
    if name is None:
        return None
    category = (
        await session.scalars(
            select(Category).where(by_name(name), Category.deleted_at.is_(None)).with_for_update(read=True)
        )
    ).one_or_none()
    if category is None:
        raise Unprocessable.field("category", "there is no such category")
    return category


async def free_slug(session: AsyncSession, wanted: str | None, title: str, own: UUID | None = None) -> str:
    """The given slug, or one made of the title; with a number appended if another course has it."""
    base = wanted or slug_of(title) or "course"
    # Two courses of one name at once: the second waits, and then sees the first, whatever their numbers.
    stem = NUMBERS.sub("", base)[:60]
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('course slug'), hashtext(:s))"), {"s": stem}
    )
    taken = await session.scalars(
        select(Course.slug).where(
            Course.slug.startswith(base[:90], autoescape=True),  # with room for a number
            Course.deleted_at.is_(None),
            Course.uuid != (own or UUID(int=0)),
        )
    )
    return free_name(base, set(taken))


async def change_course(session: AsyncSession, who: Principal, course: Course, body: CourseUpdate) -> None:
    """Apply the fields that were sent and differ; then publish, unpublish or archive if the status changed.

    The caller holds the row lock, and took those of the category and the tags before it.
    """
    given = {name: getattr(body, name) for name in body.model_fields_set}
    status = given.pop("status", course.status)
    if "is_featured" in given and given["is_featured"] != course.is_featured and not at_least(who, "manager"):
        raise FeaturingNotAllowed
    if "category" in given:
        category = await _category(session, given.pop("category"))
        given["category_uuid"] = category.uuid if category else None
    if "tags" in given:
        given["tags"] = await get_or_create_tags(session, given["tags"])
    if given.get("slug") and given["slug"] != course.slug:
        given["slug"] = await free_slug(session, given["slug"], course.title, course.uuid)
    if course.duration_hours is None and given.get("duration_hours") == course.shown_hours:
        del given["duration_hours"]  # sent back as it was shown
    changed = sorted(name for name, value in given.items() if getattr(course, name) != value)
    for name in changed:
        setattr(course, name, given[name])
    if changed:
        names = tuple("category" if name == "category_uuid" else name for name in changed)
        await publish_version(session, course, who, CourseUpdated, changed=names)
    if status != course.status:
        await {"published": publish, "draft": unpublish, "archived": archive}[status](session, who, course)
    elif SEARCHED & set(changed):
        await add_words(session, [course.uuid])


async def publish_or_plan(
    session: AsyncSession, who: Principal, course: Course, body: CoursePublishRequest | None, now: datetime
) -> None:
    """Publish now, or at the time in the body; null cancels a plan. The caller holds the row lock."""
    planned = body is not None and "publish_at" in body.model_fields_set
    at = body.publish_at if body else None
    if at is not None and at > now + PLANNED_AHEAD:
        raise Unprocessable.field("publish_at", "must lie within the next ten years")
    if planned and (at is None or at > now):
        await schedule(session, who, course, at)
    else:
        await publish(session, who, course)


async def schedule(session: AsyncSession, who: Principal | None, course: Course, at: datetime | None) -> None:
    """Plan the publication; None cancels the plan. Raises NothingToPublish. The caller holds the row lock."""
    if at is not None:
        check_publishable(await working_structure(session, course.uuid))
    if course.publish_at != at:
        course.publish_at = at
        await publish_version(session, course, who, CourseUpdated, changed=("publish_at",))


async def publish_due(db: Database, now: datetime) -> None:
    """Publish the courses whose time has come, each in a transaction of its own."""
    async with db.sessions() as session:
        due = await session.scalars(
            select(Course.uuid).where(Course.publish_at <= now, Course.deleted_at.is_(None)).limit(1000)
        )
    for uuid in due.all():
        try:
            async with db.session() as session:
                await _publish_planned(session, uuid, now)
        except Exception as error:  # the others are due, too
            log.error("publication_failed", course=str(uuid), exc_info=error)


async def _publish_planned(session: AsyncSession, uuid: UUID, now: datetime) -> None:
    course = await session.get_one(Course, uuid, with_for_update=True)
    if course.deleted_at is not None or course.publish_at is None or course.publish_at > now:
        return
    try:
        await publish(session, None, course)
    except NothingToPublish:  # emptied meanwhile; the plan ends, for it can never come true
        await schedule(session, None, course, None)


async def publish(session: AsyncSession, who: Principal | None, course: Course) -> None:
    """Publish the working structure as the next revision; do nothing if it is published already.

    `who` is None when a plan is carried out. Raises NothingToPublish. The caller holds the row lock.
    """
    if course.status == "published" and not course.draft_changed:
        await schedule(session, who, course, None)
        return
    working = await working_structure(session, course.uuid)
    check_publishable(working)
    now = await transaction_time(session)
    added: list[str] = []
    structure = await published_structure_of(session, course)
    if course.revision is None or course.draft_changed:
        before = set(lesson_ids(structure))
        structure = published_structure(working)
        added = [uuid for uuid in lesson_ids(structure) if uuid not in before]
        number = (course.revision or 0) + 1
        session.add(
            CourseRevision(
                course_uuid=course.uuid,
                number=number,
                content=structure,
                published_by=who.user if who else None,
                published_at=now,
            )
        )
        course.revision = number
        course.draft_changed = False
        course.total_lessons, course.lesson_minutes = len(lesson_ids(structure)), minutes_of(structure)
    course.status = "published"
    course.publish_at = None
    course.published_at = course.published_at or now
    await publish_version(
        session,
        course,
        who,
        CoursePublished,
        revision=course.revision,
        module_count=len(structure),
        lesson_count=course.total_lessons,
        added_lessons=tuple(UUID(uuid) for uuid in added),
    )
    await add_words(session, [course.uuid])


async def unpublish(session: AsyncSession, who: Principal, course: Course) -> None:
    """Hide the course from everyone but its editors, and cancel a planned publication.

    Raises InvalidTransition for a draft without a plan.
    """
    if course.status == "draft" and course.publish_at is not None:
        await schedule(session, who, course, None)
        return
    course.publish_at = None
    if check_transition(course.status, "draft"):
        course.status = "draft"
        await publish_version(session, course, who, CourseUnpublished)


async def archive(session: AsyncSession, who: Principal, course: Course) -> None:
    """Take the course out of the catalogue, and cancel a planned publication; its learners keep access.

    Idempotent.
    """
    if check_transition(course.status, "archived"):
        course.status = "archived"
        course.publish_at = None
        await publish_version(session, course, who, CourseArchived)
    else:
        await schedule(session, who, course, None)


async def set_instructors(
    session: AsyncSession, who: Principal, uuid: UUID, people: list[UUID], if_match: Precondition
) -> Course:
    """Set the co-instructors. Raises Unprocessable for anyone who is not an active teacher or above."""
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    wanted = [person for person in dict.fromkeys(people) if person != course.instructor]
    able = set(
        await session.scalars(
            select(User.uuid).where(User.uuid.in_(wanted), User.is_active, User.role != "student")
        )
    )
    for person in wanted:
        if person not in able:
            raise Unprocessable.field("instructors", f"{person} is not a teacher")
    if wanted != course.co_instructors:
        course.co_instructors = wanted
        await publish_version(session, course, who, CourseUpdated, changed=("instructors",))
    return course


async def set_prerequisites(
    session: AsyncSession, who: Principal, uuid: UUID, courses: list[UUID], if_match: Precondition
) -> Course:
    """Name the courses to be completed before. Raises PrerequisiteCycle, Unprocessable for an unseen one.

    What it has already may stay, whatever has become of it.
    """
    # Two changes that would close a circle together must see each other: the graph has one lock.
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('course prerequisites'))"))
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    wanted = set(courses)
    edges: dict[UUID, list[UUID]] = {}
    for row in await session.execute(
        select(CoursePrerequisite.course_uuid, CoursePrerequisite.requires_uuid)
    ):
        edges.setdefault(row[0], []).append(row[1])
    before = set(edges.get(uuid, ()))
    for other in sorted(wanted - before):
        await _check_required(session, who, other)
    edges[uuid] = list(wanted)
    if has_cycle(uuid, edges):
        raise PrerequisiteCycle
    if wanted != before:
        await session.execute(delete(CoursePrerequisite).where(CoursePrerequisite.course_uuid == uuid))
        session.add_all(CoursePrerequisite(course_uuid=uuid, requires_uuid=other) for other in wanted)
        await publish_version(session, course, who, CourseUpdated, changed=("prerequisites",))
    return course


async def _check_required(session: AsyncSession, who: Principal, uuid: UUID) -> None:
    try:
        await access_course(session, who, uuid)
    except NotFound as error:
        raise Unprocessable.field("prerequisites", f"there is no course {uuid}") from error
