"""Reads of enrolments: what the API shows of them, with the course's card from the replica."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.paging import Paging
from services.learning.access import taught_by
from services.learning.enrollments.rules import next_lesson
from services.learning.models import ENROLLED, Course, Enrollment, User

SHOWN_STATUS: ColumnElement[str] = case(
    (Enrollment.waiting_since.is_not(None), "waitlisted"), else_=Enrollment.status
)


@dataclass(slots=True)
class EnrollmentRow:
    """One enrolment with what its answer shows."""

    enrollment: Enrollment
    course: Course
    instructor: User | None
    student: User | None
    enrolled_count: int
    waitlist_position: int | None


async def missing_prerequisites(
    session: AsyncSession, student: UUID, prerequisites: Sequence[UUID]
) -> list[tuple[UUID, str]]:
    """Prerequisite courses that the student has not completed, with their titles; drafts ask nothing."""
    if not prerequisites:
        return []
    completed = select(Enrollment.course).where(
        Enrollment.student == student, Enrollment.status == "completed"
    )
    rows = await session.execute(
        select(Course.uuid, Course.title)
        .where(Course.uuid.in_(prerequisites), Course.uuid.not_in(completed), Course.status != "draft")
        .order_by(Course.title)
    )
    return [(uuid, title) for uuid, title in rows]


async def list_own(
    session: AsyncSession, who: Principal, course: UUID | None, status: str | None, page: Paging | None
) -> tuple[int, list[EnrollmentRow]]:
    return await _list(session, page, *_filters(course, status), Enrollment.student == who.user)


async def list_taught(
    session: AsyncSession, who: Principal, course: UUID | None, status: str | None, page: Paging | None
) -> tuple[int, list[EnrollmentRow]]:
    """Enrolments in the courses that they teach (managers: in any)."""
    return await _list(session, page, *_filters(course, status), taught_by(who))


async def list_visible(
    session: AsyncSession, who: Principal, course: UUID | None, status: str | None, page: Paging
) -> tuple[int, list[EnrollmentRow]]:
    """One's own; with `course` set to a course that they teach, its whole roster."""
    if course is not None and at_least(who, "teacher"):
        taught = await session.scalar(select(Course.uuid).where(Course.uuid == course, taught_by(who)))
        if taught is not None:
            return await list_taught(session, who, course, status, page)
    return await list_own(session, who, course, status, page)


async def get_one(session: AsyncSession, enrollment: Enrollment) -> EnrollmentRow:
    _, rows = await _list(session, None, Enrollment.uuid == enrollment.uuid)
    return rows[0]


def _filters(course: UUID | None, status: str | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if course is not None:
        conditions.append(Enrollment.course == course)
    if status is not None:
        conditions.append(SHOWN_STATUS.in_((status,)))
    return conditions


async def _list(
    session: AsyncSession, page: Paging | None, *conditions: ColumnElement[bool]
) -> tuple[int, list[EnrollmentRow]]:
    teacher, learner, other = aliased(User), aliased(User), aliased(Enrollment)
    taken = (
        select(func.count())
        .select_from(other)
        .where(other.course == Enrollment.course, other.status.in_(ENROLLED))
        .scalar_subquery()
    )
    ahead = (
        select(func.count())
        .select_from(other)
        .where(other.course == Enrollment.course, other.waiting_since.is_not(None))
        .where(
            (other.waiting_since < Enrollment.waiting_since)
            | ((other.waiting_since == Enrollment.waiting_since) & (other.uuid <= Enrollment.uuid))
        )
        .scalar_subquery()
    )
    position = case((Enrollment.waiting_since.is_not(None), ahead))
    query = (
        select(Enrollment, Course, teacher, learner, taken, position)
        .join(Course, Course.uuid == Enrollment.course)
        .outerjoin(teacher, teacher.uuid == Course.instructor)
        .outerjoin(learner, learner.uuid == Enrollment.student)
        .where(*conditions)
        .order_by(Enrollment.enrolled_at.desc(), Enrollment.uuid)
    )
    count = 0
    if page is not None:
        count = (
            await session.scalar(
                select(func.count())
                .select_from(Enrollment)
                .join(Course, Course.uuid == Enrollment.course)
                .where(*conditions)
            )
            or 0
        )
        query = query.limit(page.size).offset(page.offset)
    rows = [EnrollmentRow(*row) for row in await session.execute(query)]
    return count, rows


def next_lesson_summary(row: EnrollmentRow) -> dict[str, Any] | None:
    """The lesson to go on with: `uuid, title, content_type, module, module_title`."""
    if row.enrollment.status == "completed":
        return None
    wanted = next_lesson(row.enrollment.completed_lessons, row.course.lessons)
    for module in row.course.modules if wanted else ():
        for lesson in module["lessons"]:
            if lesson["uuid"] == str(wanted):
                return {
                    "uuid": lesson["uuid"],
                    "title": lesson["title"],
                    "content_type": lesson["content_type"],
                    "module": module["uuid"],
                    "module_title": module["title"],
                }
    return None
