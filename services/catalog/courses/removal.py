"""Deletion of courses, and their return when an enrolment turns out to be older than the deletion."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.catalog import CourseArchived, CourseDeleted
from libs.common.security.tokens import Principal
from services.catalog.courses.service import archive, free_slug
from services.catalog.models import Category, Course, Enrollment
from services.catalog.versions import publish_version, transaction_time


async def delete_course(session: AsyncSession, who: Principal, course: Course) -> str:
    """Delete a course that nobody ever enrolled in, archive any other; returns which. Holds the row lock.

    The rows stay: an enrolment may be on its way that brings the course back.
    """
    enrolled = await session.scalar(
        select(exists().where(Enrollment.course == course.uuid, Enrollment.status != "waitlisted"))
    )
    if enrolled:
        await archive(session, who, course)
        return "archived"
    course.deleted_at = await transaction_time(session)
    await publish_version(session, course, who, CourseDeleted)
    return "deleted"


def answer_removed(status: str) -> dict[str, Any]:
    detail = {
        "deleted": "The course is deleted.",
        "archived": "People have enrolled, so the course is archived instead of deleted.",
    }[status]
    return {"detail": detail, "status": status}


async def restore_courses(session: AsyncSession, courses: Collection[UUID]) -> None:
    """Archive those of these courses that were deleted: somebody had enrolled when nobody knew of it yet.

    Their next version follows the tombstone, and restores every replica. The caller holds the row locks.
    """
    deleted = await session.scalars(
        select(Course)
        .where(Course.uuid.in_(courses), Course.deleted_at.is_not(None))
        .order_by(Course.uuid)
        .execution_options(populate_existing=True)
    )
    for course in deleted.all():
        course.slug = await free_slug(session, course.slug, course.title)
        course.category_uuid = await session.scalar(
            select(Category.uuid)
            .where(Category.uuid == course.category_uuid, Category.deleted_at.is_(None))
            .with_for_update(read=True)
        )
        course.deleted_at, course.publish_at, course.status = None, None, "archived"
        await publish_version(session, course, None, CourseArchived)
