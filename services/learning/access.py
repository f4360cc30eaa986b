"""Loading a course or an enrolment and authorising in one step; hidden and missing answer alike (404)."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, false, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import Forbidden, NotFound, Unprocessable
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from services.learning.errors import NotEnrolled
from services.learning.models import ENROLLED, CompletionRules, Course, Enrollment, User


def teaches(who: Principal, course: Course | Row[*tuple[Any, ...]]) -> bool:
    """Whether they may do what the course's teacher may.

    A row with `instructor` and `instructors` is enough: the structure of a course is long.
    """
    if at_least(who, "manager"):
        return True
    return at_least(who, "teacher") and (who.user == course.instructor or who.user in course.instructors)


def taught_by(who: Principal) -> ColumnElement[bool]:
    """The same as a condition on `Course`."""
    if at_least(who, "manager"):
        return true()
    if not at_least(who, "teacher"):
        return false()
    return (Course.instructor == who.user) | Course.instructors.contains([who.user])


async def access_taught_course(session: AsyncSession, who: Principal, uuid: UUID) -> Course:
    """A course that they teach or manage. Raises NotFound."""
    course = await session.get(Course, uuid)
    if course is None or not teaches(who, course):
        raise NotFound
    return course


@dataclass(slots=True)
class EnrolledLearner:
    """A locked enrolment with what decisions about it need of course and learner."""

    enrollment: Enrollment
    revision: int | None
    lessons: list[UUID]
    points: dict[str, int]
    time_zone: str | None
    name: str | None
    """The learner's."""
    has_rules: bool = False
    """Whether the course has completion rules of its own."""


async def lock_learners(
    session: AsyncSession, *conditions: ColumnElement[bool], skip_locked: bool = False
) -> list[EnrolledLearner]:
    """The enrolments under their row locks, taken in the order of their uuids, whatever their status, and
    the published structures of their courses. With `skip_locked` only those that nobody else has locked."""
    rows = await session.execute(
        select(
            Enrollment,
            Course.revision,
            Course.lessons,
            Course.points,
            User.time_zone,
            User.full_name,
            CompletionRules.uuid.is_not(None),
        )
        .join(Course, Course.uuid == Enrollment.course)
        .outerjoin(CompletionRules, CompletionRules.course == Enrollment.course)
        .outerjoin(User, User.uuid == Enrollment.student)
        .where(*conditions)
        .order_by(Enrollment.uuid)
        .with_for_update(of=Enrollment, key_share=True, skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
    learners = [EnrolledLearner(*row) for row in rows]
    for learner in learners:
        if learner.enrollment.status != "completed" and learner.enrollment.revision != learner.revision:
            # We waited for the lock while a new revision came: only the enrolment was read anew, not its
            # course.
            course = await session.execute(
                select(Course.revision, Course.lessons, Course.points).where(
                    Course.uuid == learner.enrollment.course
                )
            )
            learner.revision, learner.lessons, learner.points = course.one()
    return learners


async def lock_learner(session: AsyncSession, *conditions: ColumnElement[bool]) -> EnrolledLearner | None:
    """The one enrolment that meets the conditions, locked."""
    learners = await lock_learners(session, *conditions)
    return learners[0] if learners else None


async def access_learner(session: AsyncSession, who: Principal, course: UUID) -> EnrolledLearner:
    """Their own enrolment in the course, locked. Raises NotEnrolled, or NotFound for a hidden course."""
    learner = await lock_learner(session, Enrollment.course == course, Enrollment.student == who.user)
    if learner is not None and learner.enrollment.status in ENROLLED:
        return learner
    found = await session.get(Course, course)
    if found is None or (found.status == "draft" and not teaches(who, found)):
        raise NotFound
    raise NotEnrolled


async def access_learnt_course(session: AsyncSession, who: Principal, course: UUID) -> None:
    """The same without the lock, to read. Raises NotEnrolled, NotFound."""
    if await is_enrolled(session, who, course):
        return
    found = await session.get(Course, course)
    if found is None or (found.status == "draft" and not teaches(who, found)):
        raise NotFound
    raise NotEnrolled


async def access_grades(session: AsyncSession, who: Principal, course: UUID, user: UUID) -> bool:
    """Whether they see the grades as a teacher does; else they are their own. Raises Forbidden, NotFound."""
    found = await session.get(Course, course)
    if found is None:
        raise NotFound
    taught = teaches(who, found)
    if not taught and who.user != user:
        raise Forbidden if await is_enrolled(session, who, course) else NotFound
    return taught


async def access_lesson_learner(
    session: AsyncSession, who: Principal, course: UUID, lesson: UUID
) -> EnrolledLearner:
    """Their own enrolment, locked, in a course whose published revision has this lesson."""
    learner = await access_learner(session, who, course)
    if lesson not in learner.lessons:
        raise NotFound
    return learner


async def is_enrolled(session: AsyncSession, who: Principal, course: UUID) -> bool:
    status = await session.scalar(
        select(Enrollment.status).where(Enrollment.course == course, Enrollment.student == who.user)
    )
    return status in ENROLLED


def check_lesson(course: Course, lesson: UUID | None) -> None:
    """A lesson of the published or the draft structure. Raises Unprocessable."""
    modules = [*course.modules, *course.draft_modules]
    if lesson is not None and not any(
        known["uuid"] == str(lesson) for module in modules for known in module["lessons"]
    ):
        raise Unprocessable.field("lesson", "the course has no such lesson")
