"""What catalog holds of a person, and what becomes of it.

Courses stay: learners are in them. Their instructor's name goes with the replica and with the copy in the
search index; the bare id stays.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import any_, delete, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.catalog import ExportPartFailed, ExportPartPacked, PersonErased
from libs.common.privacy.content import PersonalData, rows_of
from libs.common.privacy.parts import Erasure, Privacy
from services.catalog.media.queries import uses_of
from services.catalog.media.service import objects_at
from services.catalog.models import (
    Course,
    CourseRevision,
    Favorite,
    HelpfulVote,
    Lesson,
    MediaFile,
    MediaObject,
    MediaPart,
    MediaUpload,
    Module,
    PrivacyPart,
    Review,
    User,
)
from services.catalog.search.lexemes import remove_names


async def gather(session: AsyncSession, user: UUID) -> PersonalData:
    """Everything that catalog holds of a person, with the files of their library.

    Files of lessons belong to the courses.
    """
    media = (
        await session.scalars(
            select(MediaFile)
            .where(MediaFile.owner == user, MediaFile.deleted_at.is_(None))
            .order_by(MediaFile.created_at)
        )
    ).all()
    named = [
        {"title": row.title, "name": row.name, "size": row.size, "created_at": row.created_at}
        for row in media
    ]
    data = {
        **await _courses_of(session, user),
        **await _reviews_of(session, user),
        "media": named,
        "uploads": await _open_uploads_of(session, user),
    }
    return PersonalData(data, [(f"{row.uuid}-{row.name}", row.path) for row in media])


async def _courses_of(session: AsyncSession, user: UUID) -> dict[str, Any]:
    """The courses that somebody teaches, with everything written in them."""
    mine = select(Course.uuid).where(
        or_(Course.instructor == user, literal(user) == any_(Course.co_instructors)),
        Course.deleted_at.is_(None),
    )
    courses = await rows_of(
        session,
        select(
            Course.uuid, Course.title, Course.short_description, Course.description,
            Course.learning_outcomes, Course.prerequisites, Course.level, Course.language, Course.tags,
            Course.status, (Course.instructor == user).label("is_owner"), Course.created_at,
            Course.updated_at, Course.published_at,
        )
        .where(Course.uuid.in_(mine))
        .order_by(Course.created_at),
    )  # fmt: skip
    lessons = await rows_of(
        session,
        select(
            Lesson.course_uuid.label("course"), Module.title.label("module"), Lesson.title,
            Lesson.description, Lesson.content_type, Lesson.text_content, Lesson.video_url,
            Lesson.file["name"].astext.label("file"),
        )
        .join(Module, Module.uuid == Lesson.module_uuid)
        .where(Lesson.course_uuid.in_(mine), Lesson.removed_at.is_(None))
        .order_by(Lesson.course_uuid, Module.position, Lesson.position),
    )  # fmt: skip
    published = await rows_of(
        session,
        select(CourseRevision.course_uuid.label("course"), CourseRevision.number, CourseRevision.published_at)
        .where(CourseRevision.published_by == user)
        .order_by(CourseRevision.published_at),
    )
    return {
        "courses_i_teach": courses,
        "lessons_of_these_courses": lessons,
        "published_by_me": published,
    }


async def _reviews_of(session: AsyncSession, user: UUID) -> dict[str, Any]:
    reviews = await rows_of(
        session,
        select(
            Review.course_uuid.label("course"), Review.rating, Review.comment, Review.created_at,
            Review.updated_at,
        )
        .where(Review.student == user, Review.removed_at.is_(None))
        .order_by(Review.created_at),
    )  # fmt: skip
    helpful = await rows_of(
        session, select(HelpfulVote.review_uuid.label("review")).where(HelpfulVote.user == user)
    )
    favorites = await rows_of(
        session,
        select(Favorite.course_uuid.label("course"), Favorite.created_at)
        .where(Favorite.user == user)
        .order_by(Favorite.created_at),
    )
    return {"reviews": reviews, "found_helpful": helpful, "favorites": favorites}


async def _open_uploads_of(session: AsyncSession, user: UUID) -> list[dict[str, Any]]:
    return await rows_of(
        session,
        select(MediaUpload.title, MediaUpload.name, MediaUpload.length, MediaUpload.created_at)
        .where(MediaUpload.owner == user, MediaUpload.media.is_(None))
        .order_by(MediaUpload.created_at),
    )


async def erase(erasure: Erasure) -> None:
    user = erasure.user
    await erasure.run(delete(User).where(User.uuid == user))
    # Derived, and so no new version of the course.
    named = select(Course.uuid).where(Course.instructor == user, Course.instructor_name != "")
    names = await erasure.session.scalars(
        select(Course.instructor_name).where(Course.uuid.in_(named)).distinct()
    )
    known = names.all()
    locked = named.order_by(Course.uuid).with_for_update().cte("named")
    await erasure.run(
        update(Course)
        .where(Course.uuid.in_(select(locked.c.uuid)))
        .values(instructor_name="", updated_at=Course.updated_at)
        .execution_options(synchronize_session=False)
    )
    await remove_names(erasure.session, known)

    # The stars stay in the average, without the words; the name went with the replica.
    await erasure.run(update(Review).where(Review.student == user, Review.comment != "").values(comment=""))
    await erasure.run(delete(HelpfulVote).where(HelpfulVote.user == user))
    await erasure.run(delete(Favorite).where(Favorite.user == user))
    # What lessons have belongs to the courses and stays; the rest of the library goes.
    mine = await erasure.session.scalars(
        select(MediaFile.uuid).where(MediaFile.owner == user).order_by(MediaFile.uuid).with_for_update()
    )
    uses = await uses_of(erasure.session, mine.all())
    unused = [uuid for uuid, places in uses.items() if not places]
    found = await erasure.session.scalars(select(MediaFile.path).where(MediaFile.uuid.in_(unused)))
    paths = found.all()
    erasure.objects.extend(each for path in paths for each in objects_at(path))
    joined = await erasure.session.scalars(select(MediaObject.path).where(MediaObject.part_of.in_(paths)))
    erasure.objects.extend(joined.all())
    await erasure.run(delete(MediaFile).where(MediaFile.uuid.in_(unused)))
    # Parts go with their upload, and their objects at once.
    own = select(MediaUpload.uuid).where(MediaUpload.owner == user)
    parts = await erasure.session.scalars(select(MediaPart.path).where(MediaPart.upload_uuid.in_(own)))
    erasure.objects.extend(parts.all())
    await erasure.run(delete(MediaUpload).where(MediaUpload.owner == user))


PRIVACY = Privacy("catalog", PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, erase)
