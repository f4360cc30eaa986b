"""Completing courses: which learners meet the rules, and what follows.

Locks: the enrolment of whoever completes.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.events.learning import CourseCompleted, ProgressRecalculated
from libs.common.runtime.trace import Trace
from services.learning.access import EnrolledLearner, lock_learner
from services.learning.completion.queries import SavedRules, facts_of, load_scores, rules_of
from services.learning.completion.rules import Facts, is_complete
from services.learning.enrollments.rules import progress
from services.learning.enrollments.state import publish
from services.learning.models import UNDERWAY, CompletionCheck, CompletionRules, Course, Enrollment
from services.learning.signals import course_completed, final_score_changed, learner_enrolled

PAGE = 200


async def complete_if_met(
    session: AsyncSession,
    enrollment: Enrollment,
    course: Course | EnrolledLearner,
    now: datetime,
    trace: Trace | None = None,
    saved: SavedRules | None = None,
) -> None:
    """Complete the course of an active learner who meets its rules. The caller holds the enrolment's lock."""
    if enrollment.status not in UNDERWAY:
        return
    saved = saved or await rules_of(session, enrollment.course)
    if saved.version:
        found = await facts_of(session, saved, enrollment.course, course.lessons, [enrollment], now)
        facts = found[enrollment.student]
    else:  # all lessons: nothing else to look at
        facts = Facts(course.lessons, enrollment.completed_lessons)
    if is_complete(saved.rules, facts):
        if saved.ask_for_scores:
            score = facts.current_score
        else:
            score = (await load_scores(session, enrollment, now)).current
        await _complete(session, enrollment, course.revision, score, now, trace)


@learner_enrolled.connect
async def complete_enrolled(
    session: AsyncSession, enrollment: Enrollment, course: Course, now: datetime, trace: Trace | None
) -> None:
    """Complete the course of a learner who comes back and has met its rules before."""
    await complete_if_met(session, enrollment, course, now, trace)


async def _complete(
    session: AsyncSession,
    enrollment: Enrollment,
    revision: int | None,
    score: Decimal | None,
    now: datetime,
    trace: Trace | None,
) -> None:
    """The course is finished, for ever. The caller holds the row lock."""
    enrollment.status = "completed"
    enrollment.completed_at = now
    enrollment.revision = revision
    enrollment.final_score = score
    final_score = None if score is None else float(score)
    publish(session, enrollment, CourseCompleted, trace, revision=revision or 0, final_score=final_score)
    await course_completed.send(session, enrollment, now, trace)


async def move_to_revision(session: AsyncSession, course: Course, now: datetime, trace: Trace) -> None:
    """Move active learners to the course's new revision, and complete the course of those who have all of
    it."""
    underway = await session.scalars(
        select(Enrollment)
        .where(
            Enrollment.course == course.uuid,
            Enrollment.status.in_(UNDERWAY),
            Enrollment.revision.is_distinct_from(course.revision),
        )
        .order_by(Enrollment.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    saved = await rules_of(session, course.uuid)
    for enrollment in underway.all():
        now_done = progress(enrollment.completed_lessons, course.lessons)
        enrollment.revision = course.revision
        if now_done.percentage != enrollment.progress_percentage:
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
        await complete_if_met(session, enrollment, course, now, trace, saved)


async def check_enrollment(session: AsyncSession, uuid: UUID, now: datetime) -> None:
    """Check a learner whose grade has changed; a completed course gets its score anew."""
    learner = await lock_learner(session, Enrollment.uuid == uuid)
    await session.execute(delete(CompletionCheck).where(CompletionCheck.enrollment == uuid))
    if learner is None:
        return
    enrollment = learner.enrollment
    if enrollment.status == "completed":
        enrollment.final_score = (await load_scores(session, enrollment, now)).current
        await final_score_changed.send(session, enrollment)
    else:
        await complete_if_met(session, enrollment, learner, now)


async def check_course(db: Database, uuid: UUID, now: datetime) -> None:
    """Complete the course of active learners who meet its rules, each in a transaction of their own."""
    async with db.session() as session:
        course = await session.get(Course, uuid)
        saved = await rules_of(session, uuid)
    after: UUID | None = None
    while course is not None:
        async with db.session() as session:
            enrollments = await list_underway(session, uuid, after)
            complete = await list_complete(session, saved, course, enrollments, now)
        for enrollment in complete:
            async with db.session() as session:
                await check_enrollment(session, enrollment.uuid, now)
        if len(enrollments) < PAGE:
            break
        after = enrollments[-1].uuid
    async with db.session() as session:
        await session.execute(
            update(CompletionRules)
            .where(CompletionRules.course == uuid, CompletionRules.version == saved.version)
            .values(check_wanted_at=None)
        )


async def list_underway(session: AsyncSession, course: UUID, after: UUID | None) -> list[Enrollment]:
    query = select(Enrollment).where(Enrollment.course == course, Enrollment.status.in_(UNDERWAY))
    if after is not None:
        query = query.where(Enrollment.uuid > after)
    return list(await session.scalars(query.order_by(Enrollment.uuid).limit(PAGE)))


async def list_complete(
    session: AsyncSession, saved: SavedRules, course: Course, enrollments: list[Enrollment], now: datetime
) -> list[Enrollment]:
    if not enrollments:
        return []
    facts = await facts_of(session, saved, course.uuid, course.lessons, enrollments, now)
    return [each for each in enrollments if is_complete(saved.rules, facts[each.student])]
