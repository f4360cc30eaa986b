"""The state of an enrolment: its progress, its next version, and the events of that.

The caller holds the row lock of the enrolment.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import Recorder, record
from libs.common.events.learning import EnrollmentFact, EnrollmentState, LessonCompleted
from libs.common.runtime.trace import Trace
from libs.common.web.zones import local_date
from services.learning.access import EnrolledLearner
from services.learning.enrollments import rules
from services.learning.models import ENROLLED, Enrollment, GradeFact


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
    record(session, happened, enrollment.version, trace=trace)
    publish_state(session, enrollment, trace)


def publish_state(session: Recorder, enrollment: Enrollment, trace: Trace | None = None) -> None:
    """Tell the state of an enrolment, whose row the caller has locked, as it is."""
    state = EnrollmentState(
        uuid=enrollment.uuid,
        course=enrollment.course,
        student=enrollment.student,
        status=enrollment.shown_status,  # type: ignore[arg-type]
        progress_percentage=float(enrollment.progress_percentage),
        completed_lessons=tuple(enrollment.completed_lessons),
        enrolled_at=enrollment.enrolled_at,
        started_at=enrollment.started_at,
        completed_at=enrollment.completed_at,
        last_accessed=enrollment.last_accessed,
        study_seconds=enrollment.study_seconds,
        points=enrollment.points,
    )
    record(session, state, enrollment.version, trace=trace)


def record_enrollment(session: AsyncSession, enrollment: Enrollment, now: datetime) -> None:
    """Record in the history of grades that a learner has joined or left the course."""
    content: dict[str, Any] | None = {} if enrollment.status in ENROLLED else None
    session.add(
        GradeFact(course=enrollment.course, kind="seat", subject=enrollment.student, content=content, at=now)
    )


def advance(learner: EnrolledLearner, now: datetime) -> rules.Progress:
    """Progress after `completed_lessons` has grown; a completed enrolment keeps its own."""
    enrollment = learner.enrollment
    done = rules.progress(enrollment.completed_lessons, learner.lessons)
    enrollment.last_accessed = now
    enrollment.started_at = enrollment.started_at or now
    if enrollment.status != "completed":
        enrollment.status = "in_progress"
        enrollment.revision = learner.revision
        enrollment.progress_percentage = done.percentage
    return done


@dataclass(frozen=True, slots=True)
class Completion:
    """A lesson that was completed just now."""

    day: date
    """The learner's."""
    points: int
    progress: rules.Progress


def add_completed(session: Recorder, learner: EnrolledLearner, lesson: UUID, now: datetime) -> Completion:
    """Complete a lesson, with its event. The caller holds the enrolment's lock and stores it."""
    enrollment = learner.enrollment
    day = local_date(now, learner.time_zone)
    points = learner.points.get(str(lesson), 0)
    enrollment.completed_lessons = [*enrollment.completed_lessons, lesson]
    enrollment.points += points
    done = advance(learner, now)
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
