"""What a learner does in a lesson: complete it, spend time in it, take notes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.learning import StudyTimeRecorded
from libs.common.runtime.errors import NotFound
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from libs.common.web.zones import local_date
from services.learning.access import EnrolledLearner, access_learner, access_lesson_learner
from services.learning.completion.service import complete_if_met
from services.learning.enrollments.rules import count_study_time
from services.learning.enrollments.state import add_completed, publish
from services.learning.errors import LessonNotFinished
from services.learning.lessons import queries
from services.learning.models import ENROLLED, Enrollment, LessonProgress


async def complete_lesson(
    session: AsyncSession, who: Principal, course: UUID, lesson: UUID, now: datetime
) -> Enrollment:
    """Complete a lesson of one's course; again → nothing changes. Raises LessonNotFinished."""
    learner = await access_lesson_learner(session, who, course, lesson)
    if lesson not in learner.enrollment.completed_lessons:
        work = await queries.unfinished_work(session, course, learner.enrollment.uuid, lesson)
        if work:
            raise LessonNotFinished(work)
        await mark_completed(session, learner, lesson, now)
    return learner.enrollment


async def complete_by_work(
    session: AsyncSession, learner: EnrolledLearner, lesson: UUID | None, now: datetime
) -> bool:
    """A quiz was passed or an assignment handed in: its lesson completes when nothing else of it is left.

    Learners who have left the course meanwhile keep the result, and complete the lesson when they are back.
    Returns whether the lesson is completed by it, and with it perhaps the course.
    """
    enrollment = learner.enrollment
    if enrollment.status not in ENROLLED:
        return False
    if lesson is None or lesson not in learner.lessons or lesson in enrollment.completed_lessons:
        return False
    await session.flush()
    if await queries.unfinished_work(session, enrollment.course, enrollment.uuid, lesson):
        return False
    await mark_completed(session, learner, lesson, now)
    return True


async def mark_completed(
    session: AsyncSession, learner: EnrolledLearner, lesson: UUID, now: datetime
) -> None:
    """The caller holds the enrolment's lock and has found that nothing of the lesson is left."""
    enrollment = learner.enrollment
    done = add_completed(session, learner, lesson, now)
    await session.execute(
        queries.STORE_COMPLETION,
        {
            "enrollment": enrollment.uuid,
            "lesson": lesson,
            "student": enrollment.student,
            "now": now,
            "points": done.points,
            "local_date": done.day,
        },
    )
    await complete_if_met(session, enrollment, learner, now)


async def record_heartbeat(
    session: AsyncSession,
    who: Principal,
    course: UUID,
    lesson: UUID,
    position: int | None,
    spent: int,
    now: datetime,
) -> tuple[int, int, int]:
    """Keep the resume position, if one is given, and add study time as far as the learner's clock allows.

    Returns position, seconds that counted, and the lesson's study seconds.
    """
    learner = await access_lesson_learner(session, who, course, lesson)
    enrollment = learner.enrollment
    until = (await session.execute(queries.LOCK_CLOCK, {"student": who.user})).scalar_one()
    seconds, until = count_study_time(until, enrollment.enrolled_at, now, spent)
    day = local_date(now, learner.time_zone)
    if seconds:
        enrollment.study_seconds += seconds
        enrollment.last_accessed = now
        enrollment.started_at = enrollment.started_at or now
        if enrollment.status == "enrolled":
            enrollment.status = "in_progress"
        publish(
            session, enrollment, StudyTimeRecorded, lesson=lesson, seconds=seconds, local_date=day,
            position=position,
        )  # fmt: skip
    stored = await session.execute(
        queries.STORE_HEARTBEAT,
        {
            "enrollment": enrollment.uuid,
            "lesson": lesson,
            "student": who.user,
            "position": position,
            "seconds": seconds,
            "until": until,
            "local_date": day,
        },
    )
    row = stored.one()
    return row[0], seconds, row[1]


async def read_progress(
    session: AsyncSession, who: Principal, course: UUID, lesson: UUID
) -> LessonProgress | None:
    """What they left in a lesson; None: nothing yet."""
    learner = await access_lesson_learner(session, who, course, lesson)
    return await queries.get_progress(session, learner.enrollment.uuid, lesson)


async def save_notes(
    session: AsyncSession,
    who: Principal,
    course: UUID,
    lesson: UUID,
    notes: str,
    if_match: Precondition,
    now: datetime,
) -> None:
    """Replace their notes. Raises PreconditionFailed when they were changed meanwhile."""
    learner = await access_lesson_learner(session, who, course, lesson)
    _, at = await queries.get_notes(session, learner.enrollment.uuid, lesson)
    if_match.check(notes_version(at))
    await queries.store_notes(session, learner.enrollment.uuid, lesson, who.user, notes, now)


async def read_notes(
    session: AsyncSession, who: Principal, course: UUID, lesson: UUID
) -> tuple[str, datetime | None]:
    """Their notes, also on a lesson that has left the course since. Raises NotFound, NotEnrolled."""
    learner = await access_learner(session, who, course)
    notes, at = await queries.get_notes(session, learner.enrollment.uuid, lesson)
    if at is None and lesson not in learner.lessons:
        raise NotFound
    return notes, at


def notes_version(at: datetime | None) -> int:
    """Notes have no version of their own: the moment of their change is it, in microseconds."""
    return int(at.timestamp() * 1_000_000) if at else 0
