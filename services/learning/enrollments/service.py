"""Seats: enrol, wait, leave, move to a new revision, complete.

Whoever gives or frees a seat holds the course's row lock, so that a limit is exact under any race.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.errors import NotFound
from libs.common.events.learning import (
    CourseCompleted,
    EnrollmentFact,
    EnrollmentState,
    LessonCompleted,
    ProgressRecalculated,
    StudentDropped,
    StudentEnrolled,
    StudentReenrolled,
)
from libs.common.outbox import Recorder, record
from libs.common.tokens import Principal
from libs.common.trace import Trace
from services.learning.access import Seat, teaches
from services.learning.certificates.service import request_certificate
from services.learning.enrollments import queries, rules
from services.learning.errors import (
    CourseArchived,
    CourseFull,
    EnrollmentCompleted,
    InstructorCannotEnroll,
    NotEnrolled,
    PrerequisitesMissing,
)
from services.learning.models import Course, Enrollment


def publish(
    session: Recorder,
    enrollment: Enrollment,
    fact: type[EnrollmentFact],
    trace: Trace | None = None,
    **fields: Any,
) -> None:
    """Bump the version and record what happened and the whole state. The caller holds the row lock."""
    enrollment.version += 1
    happened = fact(
        enrollment=enrollment.uuid, course=enrollment.course, student=enrollment.student, **fields
    )
    state = EnrollmentState(
        uuid=enrollment.uuid,
        course=enrollment.course,
        student=enrollment.student,
        status=enrollment.status,  # type: ignore[arg-type]
        progress_percentage=float(enrollment.progress_percentage),
        completed_lessons=tuple(enrollment.completed_lessons),
        enrolled_at=enrollment.enrolled_at,
        started_at=enrollment.started_at,
        completed_at=enrollment.completed_at,
        last_accessed=enrollment.last_accessed,
        study_seconds=enrollment.study_seconds,
        points=enrollment.points,
    )
    record(session, happened, enrollment.version, trace=trace)
    record(session, state, enrollment.version, trace=trace)


async def enroll(
    session: AsyncSession, who: Principal, uuid: UUID, waitlist: bool, now: datetime
) -> tuple[Enrollment, bool]:
    """Take a seat, or a place on the waitlist. Returns the enrolment and whether anything changed."""
    course = await _lock_course(session, uuid)
    enrollment = await _lock_enrollment(session, uuid, who.user)
    if enrollment is not None and enrollment.status in rules.SEATED:
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
    if enrollment is None:
        enrollment = _new_enrollment(course, who.user, "waitlisted", now)
        session.add(enrollment)
    enrollment.waiting_since = now
    await session.flush()
    return enrollment, True


async def unenroll(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> Enrollment:
    """Leave the course, or its waitlist; the freed seat goes to whoever waits longest. Again → no change."""
    course = await _lock_course(session, uuid)
    enrollment = await _lock_enrollment(session, uuid, who.user)
    if enrollment is None:
        if course.status == "draft" and not teaches(who, course):
            raise NotFound
        raise NotEnrolled
    if enrollment.status == "completed":
        raise EnrollmentCompleted
    if enrollment.waiting_since is not None:
        enrollment.waiting_since = None
        if enrollment.version == 0:  # nothing was ever published of it
            await session.delete(enrollment)
        await session.flush()
    elif enrollment.status != "dropped":
        enrollment.status = "dropped"
        publish(
            session, enrollment, StudentDropped, progress_percentage=float(enrollment.progress_percentage)
        )
        await session.flush()
        await fill_seats(session, course, now)
    return enrollment


async def fill_seats(
    session: AsyncSession, course: Course, now: datetime, trace: Trace | None = None
) -> None:
    """Give free seats to those who wait, in order. The caller holds the course's row lock."""
    if course.status != "published":
        return
    query = (
        select(Enrollment)
        .where(Enrollment.course == course.uuid, Enrollment.waiting_since.is_not(None))
        .order_by(Enrollment.waiting_since, Enrollment.uuid)
        .with_for_update()
    )
    if course.enrollment_limit is not None:
        free = course.enrollment_limit - await _taken(session, course)
        query = query.limit(max(free, 0))
    for enrollment in (await session.scalars(query)).all():
        await _give_seat(session, course, enrollment, now, trace)


async def recalculate(session: AsyncSession, course: Course, now: datetime, trace: Trace) -> None:
    """Move everybody underway to the course's new revision; whoever has all of it completes the course."""
    underway = await session.scalars(
        select(Enrollment)
        .where(
            Enrollment.course == course.uuid,
            Enrollment.status.in_(("enrolled", "in_progress")),
            Enrollment.revision.is_distinct_from(course.revision),
        )
        .order_by(Enrollment.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    for enrollment in underway.all():
        now_done = rules.progress(enrollment.completed_lessons, course.lessons)
        enrollment.revision = course.revision
        if now_done.percentage == enrollment.progress_percentage:
            continue
        enrollment.progress_percentage = now_done.percentage
        publish(
            session,
            enrollment,
            ProgressRecalculated,
            trace,
            revision=course.revision or 0,
            progress_percentage=float(now_done.percentage),
            completed_lessons=now_done.done,
            total_lessons=now_done.total,
        )
        if now_done.is_complete:
            await complete_course(session, enrollment, course.revision, now, trace)


async def complete_course(
    session: AsyncSession,
    enrollment: Enrollment,
    revision: int | None,
    now: datetime,
    trace: Trace | None = None,
) -> None:
    """The course is finished: for ever, with its certificate requested. The caller holds the row lock."""
    enrollment.status = "completed"
    enrollment.completed_at = now
    enrollment.revision = revision
    enrollment.final_score = await queries.final_score(session, enrollment.uuid)
    score = None if enrollment.final_score is None else float(enrollment.final_score)
    publish(session, enrollment, CourseCompleted, trace, revision=revision or 0, final_score=score)
    await request_certificate(session, enrollment, now, trace)


def advance(seat: Seat, now: datetime) -> rules.Progress:
    """Progress after `completed_lessons` has grown; a completed enrolment keeps its own."""
    enrollment = seat.enrollment
    done = rules.progress(enrollment.completed_lessons, seat.lessons)
    enrollment.last_accessed = now
    enrollment.started_at = enrollment.started_at or now
    if enrollment.status != "completed":
        enrollment.status = "in_progress"
        enrollment.revision = seat.revision
        enrollment.progress_percentage = done.percentage
    return done


@dataclass(frozen=True, slots=True)
class Completion:
    """A lesson that was completed just now."""

    day: date
    """The learner's."""
    points: int
    progress: rules.Progress


def add_completed(session: Recorder, seat: Seat, lesson: UUID, now: datetime) -> Completion:
    """Note that nothing of the lesson is left, with its event. The caller holds the seat and stores it."""
    enrollment = seat.enrollment
    day = rules.local_date(now, seat.time_zone)
    points = seat.points.get(str(lesson), 0)
    enrollment.completed_lessons = [*enrollment.completed_lessons, lesson]
    enrollment.points += points
    done = advance(seat, now)
    publish(
        session,
        enrollment,
        LessonCompleted,
        lesson=lesson,
        progress_percentage=float(enrollment.progress_percentage),
        completed_lessons=done.done,
        total_lessons=done.total,
        local_date=day,
    )
    return Completion(day, points, done)


async def _give_seat(
    session: AsyncSession, course: Course, enrollment: Enrollment, now: datetime, trace: Trace | None = None
) -> None:
    done = rules.progress(enrollment.completed_lessons, course.lessons)
    enrollment.waiting_since = None
    enrollment.revision = course.revision
    enrollment.progress_percentage = done.percentage
    enrollment.status = "in_progress" if enrollment.started_at else "enrolled"
    if enrollment.version == 0:
        enrollment.enrolled_at = now
        publish(session, enrollment, StudentEnrolled, trace)
    else:
        publish(session, enrollment, StudentReenrolled, trace, progress_percentage=float(done.percentage))
    await session.flush()
    if done.is_complete:
        await complete_course(session, enrollment, course.revision, now, trace)


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
            .where(Enrollment.course == course.uuid, Enrollment.status.in_(rules.SEATED))
        )
        or 0
    )
