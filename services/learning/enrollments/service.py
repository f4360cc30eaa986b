"""Seats: enrol, wait, leave, move to a new revision, complete.

Whoever gives or frees a seat holds the course's row lock, so that a limit is exact under any race.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record, record_tombstone
from libs.common.events.learning import (
    EnrollmentState,
    StudentDropped,
    StudentEnrolled,
    StudentReenrolled,
    WaitlistJoined,
    WaitlistLeft,
)
from libs.common.runtime.errors import NotFound
from libs.common.runtime.trace import Trace
from libs.common.security.tokens import Principal
from services.learning.access import teaches
from services.learning.enrollments import queries, rules
from services.learning.enrollments.state import publish, record_enrollment
from services.learning.errors import (
    CourseArchived,
    CourseFull,
    EnrollmentCompleted,
    InstructorCannotEnroll,
    NotEnrolled,
    PrerequisitesMissing,
)
from services.learning.models import ENROLLED, Course, Enrollment, User
from services.learning.signals import learner_enrolled


async def enroll(
    session: AsyncSession, who: Principal, uuid: UUID, waitlist: bool, now: datetime
) -> tuple[Enrollment, bool]:
    """Take a seat, or a place on the waitlist. Returns the enrolment and whether anything changed."""
    course = await _lock_course(session, uuid)
    enrollment = await _lock_enrollment(session, uuid, who.user)
    if enrollment is not None and enrollment.status in ENROLLED:
        return enrollment, False
    _check_open(course, who)
    missing = await queries.missing_prerequisites(session, who.user, course.prerequisites)
    if missing:
        raise PrerequisitesMissing(missing)
    if rules.has_seat(course.enrollment_limit, await _taken(session, course)):
        if enrollment is None:
            enrollment = _new_enrollment(course, who.user, "enrolled", now)
            session.add(enrollment)
        await _give_seat(session, course, enrollment, now)
        return enrollment, True
    if enrollment is not None and enrollment.waiting_since is not None:
        return enrollment, False
    if not waitlist:
        raise CourseFull
    place = await _end_of_waitlist(session, course, now)
    if enrollment is None:
        enrollment = _new_enrollment(course, who.user, "waitlisted", now)
        session.add(enrollment)
    enrollment.waiting_since = place
    publish(session, enrollment, WaitlistJoined)
    await session.flush()
    return enrollment, True


async def unenroll(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> Enrollment:
    """Leave the course, or its waitlist; the seat goes to the learner who waits longest. Again → no
    change."""
    course = await _lock_course(session, uuid)
    enrollment = await _lock_enrollment(session, uuid, who.user)
    if enrollment is None:
        if course.status == "draft" and not teaches(who, course):
            raise NotFound
        raise NotEnrolled
    if enrollment.status == "completed":
        raise EnrollmentCompleted
    if enrollment.waiting_since is not None:
        await leave_waitlist(session, enrollment)
    elif enrollment.status != "dropped":
        enrollment.status = "dropped"
        publish(
            session, enrollment, StudentDropped, progress_percentage=float(enrollment.progress_percentage)
        )
        record_enrollment(session, enrollment, now)
        await session.flush()
        await fill_seats(session, course, now)
    return enrollment


async def leave_waitlist(session: AsyncSession, enrollment: Enrollment, trace: Trace | None = None) -> None:
    """Leave the waitlist; the enrolment of a learner who never had a seat is deleted. The caller holds its
    lock."""
    enrollment.waiting_since = None
    if enrollment.status != "waitlisted":
        publish(session, enrollment, WaitlistLeft, trace)
    else:
        enrollment.version += 1
        fact = WaitlistLeft(enrollment=enrollment.uuid, course=enrollment.course, student=enrollment.student)
        record(session, fact, enrollment.version, trace=trace)
        record_tombstone(session, EnrollmentState, enrollment.uuid, enrollment.version)
        await session.delete(enrollment)
    await session.flush()


async def leave_waitlists(session: AsyncSession, users: dict[UUID, Trace]) -> None:
    """Take users who are locked out off every waitlist. Locks courses before their enrolments."""
    waiting = (Enrollment.student.in_(users), Enrollment.waiting_since.is_not(None))
    courses = select(Enrollment.course).where(*waiting)
    await session.execute(
        select(Course.uuid)
        .where(Course.uuid.in_(courses))
        .order_by(Course.uuid)
        .with_for_update(key_share=True)
    )
    rows = await session.scalars(
        select(Enrollment)
        .where(*waiting)
        .order_by(Enrollment.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    for enrollment in rows.all():
        await leave_waitlist(session, enrollment, users[enrollment.student])


async def _end_of_waitlist(session: AsyncSession, course: Course, now: datetime) -> datetime:
    """The place after everybody who waits. The course's lock orders learners who come at the same moment."""
    last = await session.scalar(
        select(func.max(Enrollment.waiting_since)).where(Enrollment.course == course.uuid)
    )
    return now if last is None else max(now, last + timedelta(microseconds=1))


async def fill_seats(
    session: AsyncSession, course: Course, now: datetime, trace: Trace | None = None
) -> None:
    """Give free seats to learners on the waitlist, in order. The caller holds the course's lock."""
    if course.status != "published":
        return
    query = (
        select(Enrollment)
        .where(
            Enrollment.course == course.uuid,
            Enrollment.waiting_since.is_not(None),
            Enrollment.student.not_in(select(User.uuid).where(~User.is_active)),
        )
        .order_by(Enrollment.waiting_since, Enrollment.uuid)
        .with_for_update()
    )
    if course.enrollment_limit is not None:
        free = course.enrollment_limit - await _taken(session, course)
        query = query.limit(max(free, 0))
    for enrollment in (await session.scalars(query)).all():
        await _give_seat(session, course, enrollment, now, trace)


async def _give_seat(
    session: AsyncSession, course: Course, enrollment: Enrollment, now: datetime, trace: Trace | None = None
) -> None:
    done = rules.progress(enrollment.completed_lessons, course.lessons)
    had_none = enrollment.version == 0 or enrollment.status == "waitlisted"
    enrollment.waiting_since = None
    enrollment.revision = course.revision
    enrollment.progress_percentage = done.percentage
    enrollment.status = "in_progress" if enrollment.started_at else "enrolled"
    if had_none:
        enrollment.enrolled_at = now
        publish(session, enrollment, StudentEnrolled, trace)
    else:
        publish(session, enrollment, StudentReenrolled, trace, progress_percentage=float(done.percentage))
    record_enrollment(session, enrollment, now)
    await session.flush()
    await learner_enrolled.send(session, enrollment, course, now, trace)


def _new_enrollment(course: Course, student: UUID, status: str, now: datetime) -> Enrollment:
    return Enrollment(
        uuid=uuid4(),
        version=0,
        course=course.uuid,
        student=student,
        status=status,
        revision=course.revision,
        completed_lessons=[],
        progress_percentage=Decimal(0),
        study_seconds=0,
        points=0,
        enrolled_at=now,
    )


def _check_open(course: Course, who: Principal) -> None:
    if who.user == course.instructor or who.user in course.instructors:
        raise InstructorCannotEnroll
    if course.status == "draft":
        raise NotFound
    if course.status == "archived":
        raise CourseArchived


async def _lock_course(session: AsyncSession, uuid: UUID) -> Course:
    course = await session.scalar(
        select(Course)
        .where(Course.uuid == uuid)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if course is None:
        raise NotFound
    return course


async def _lock_enrollment(session: AsyncSession, course: UUID, student: UUID) -> Enrollment | None:
    found: Enrollment | None = await session.scalar(
        select(Enrollment)
        .where(Enrollment.course == course, Enrollment.student == student)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found


async def _taken(session: AsyncSession, course: Course) -> int:
    if course.enrollment_limit is None:
        return 0
    return (
        await session.scalar(
            select(func.count())
            .select_from(Enrollment)
            .where(Enrollment.course == course.uuid, Enrollment.status.in_(ENROLLED))
        )
        or 0
    )
