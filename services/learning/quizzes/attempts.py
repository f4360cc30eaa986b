"""Attempts that are handed in and graded, or left open until their deadline: all by the server's clock.

Locks: the quiz, shared; the learner's enrolment; the attempt.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import as_json
from libs.common.data.outbox import record
from libs.common.data.tables import is_any_of
from libs.common.events.quizzes import QuizSubmitted
from libs.common.runtime.errors import NotFound
from libs.common.runtime.trace import Trace, current_trace
from libs.common.security.tokens import Principal
from libs.common.web.zones import local_date
from services.learning.access import lock_learners
from services.learning.errors import NotEnrolled
from services.learning.gradebook.history import record_grade
from services.learning.lessons.queries import STORE_STUDY_DAYS
from services.learning.models import ENROLLED, Attempt, Enrollment, Quiz, QuizExtension
from services.learning.quizzes import rules
from services.learning.quizzes.access import refuse_others
from services.learning.quizzes.kinds import kind_of
from services.learning.quizzes.kinds.regrades import has_full_credit
from services.learning.quizzes.results import (
    LoadedAttempt,
    grade_attempts,
    identity,
    load_results,
    points_earned,
    read_pinned,
)
from services.learning.windows import is_over, latest_close

SCORE = text(
    "UPDATE attempt_questions q SET score = s.score FROM json_to_recordset(CAST(:scores AS json))"
    " AS s(attempt uuid, question uuid, score numeric)"
    " WHERE q.attempt = s.attempt AND q.question = s.question"
)


async def close_attempts(
    session: AsyncSession,
    wanted: Mapping[UUID, Trace],
    now: datetime,
    *,
    owners: Collection[tuple[UUID, UUID]] | None,
    skip_locked: bool = False,
) -> dict[UUID, LoadedAttempt]:
    """Submit and grade open attempts once, all in this transaction; submitted ones do not change.

    `wanted` has the trace of the request for each. Only attempts that are there with their student in
    `owners`; without owners only those whose deadline has passed. Too late, one is graded from what was
    saved in time. With `skip_locked` those are left out whose learner or attempt somebody else has locked.
    """
    batch = await _lock_attempts(session, wanted, owners, skip_locked=skip_locked)
    closing = [
        loaded
        for loaded in batch.values()
        if loaded.attempt.status == "in_progress"
        and (may_submit(loaded) if owners is not None else is_over(loaded.attempt.deadline, now))
    ]
    closed = [loaded for loaded in batch.values() if loaded not in closing]
    if closed:
        await load_results(session, closed)
    if closing:
        await close_open(session, closing, now)
    return batch


async def _lock_attempts(
    session: AsyncSession,
    wanted: Mapping[UUID, Trace],
    owners: Collection[tuple[UUID, UUID]] | None,
    *,
    skip_locked: bool,
) -> dict[UUID, LoadedAttempt]:
    """Under the locks of their quizzes, shared, their learners' enrolments and their own."""
    found = {
        attempt: (enrollment, quiz)
        for attempt, enrollment, student, quiz in await session.execute(
            select(Attempt.uuid, Attempt.enrollment, Attempt.student, Quiz)
            .join(Quiz, Quiz.uuid == Attempt.quiz)
            .where(is_any_of(Attempt.uuid, wanted))
            .with_for_update(of=Quiz, read=True)
        )
        if owners is None or (attempt, student) in owners
    }
    learners = {
        learner.enrollment.uuid: learner
        for learner in await lock_learners(
            session,
            is_any_of(Enrollment.uuid, {learner for learner, _ in found.values()}),
            skip_locked=skip_locked,
        )
    }
    attempts = await session.scalars(
        select(Attempt)
        .where(is_any_of(Attempt.uuid, found), is_any_of(Attempt.enrollment, learners))
        .order_by(Attempt.uuid)
        .with_for_update(key_share=True, skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
    questions = await read_pinned(session, found)
    return {
        attempt.uuid: LoadedAttempt(
            learners[attempt.enrollment], attempt, found[attempt.uuid][1], questions[attempt.uuid],
            trace=wanted[attempt.uuid],
        )
        for attempt in attempts
    }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class SubmitAttempt:
    """A request to hand in an attempt."""

    attempt: UUID
    student: UUID
    now: datetime
    trace: Trace


async def submit_together(
    session: AsyncSession, wanted: Sequence[SubmitAttempt]
) -> dict[SubmitAttempt, tuple[LoadedAttempt, set[str]]]:
    """Submit attempts, or return their results again. Waits for no lock of enrolments and attempts: leaves
    out attempts that are locked or of other learners."""
    batch = await close_attempts(
        session,
        {one.attempt: one.trace for one in wanted},
        max(one.now for one in wanted),
        owners={(one.attempt, one.student) for one in wanted},
        skip_locked=True,
    )
    return {
        one: (loaded, {str(loaded.attempt.uuid), str(loaded.attempt.enrollment)})
        for one in wanted
        if (loaded := batch.get(one.attempt)) is not None
        and loaded.attempt.student == one.student
        and loaded.attempt.status != "in_progress"
    }


async def close_attempt(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> LoadedAttempt:
    """Submit one's own attempt. Raises NotFound, NotEnrolled for learners who have left the course meanwhile,
    Forbidden for its teacher."""
    batch = await close_attempts(session, {uuid: current_trace()}, now, owners={(uuid, who.user)})
    if uuid not in batch:
        await refuse_others(session, who, uuid)
        raise NotFound
    if batch[uuid].attempt.status == "in_progress":
        raise NotEnrolled
    return batch[uuid]


def may_submit(loaded: LoadedAttempt) -> bool:
    """Whether its learner may still submit it. The attempt of a learner who has left is graded at the
    deadline, from what was saved before."""
    return loaded.learner.enrollment.status in ENROLLED


def extended_deadline(attempt: Attempt, extension: QuizExtension | None) -> datetime | None:
    """From what the quiz said when the attempt started and what its learner has beyond others."""
    if extension is None:
        return rules.attempt_deadline(attempt.started_at, attempt.time_limit_seconds, attempt.closes_at)
    closes_at = latest_close(attempt.closes_at, extension.closes_at)
    return rules.attempt_deadline(
        attempt.started_at, attempt.time_limit_seconds, closes_at, extension.extra_seconds
    )


async def lock_attempt(session: AsyncSession, uuid: UUID) -> Attempt:
    return (
        await session.execute(
            select(Attempt)
            .where(Attempt.uuid == uuid)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    ).scalar_one()


async def close_open(session: AsyncSession, batch: Sequence[LoadedAttempt], now: datetime) -> None:
    """Submitted at one version, graded at the next if no answer waits. The caller holds both locks."""
    days = []
    events = {}
    for loaded in batch:
        attempt, quiz = loaded.attempt, loaded.quiz
        by_deadline = is_over(attempt.deadline, now)
        attempt.submitted_at = attempt.deadline if by_deadline else now
        assert attempt.submitted_at is not None
        attempt.status = "submitted"
        day = local_date(attempt.submitted_at, loaded.learner.time_zone)
        taken = max(0, int((attempt.submitted_at - attempt.started_at).total_seconds()))
        attempt.version += 1
        submitted = QuizSubmitted(
            **identity(attempt, quiz), by_deadline=by_deadline, seconds_taken=taken, local_date=day
        )
        events[attempt.uuid] = record(session, submitted, attempt.version, trace=loaded.trace)
        days.append({"student": attempt.student, "local_date": day})
    with session.no_autoflush:  # the attempts are written once, with their results
        await session.execute(STORE_STUDY_DAYS, {"days": as_json(days)})
        await _score(session, [loaded for loaded in batch if loaded.quiz.kind != "survey"])
    await grade_attempts(session, batch, now, is_regrade=False)
    for loaded in batch:
        if loaded.attempt.status == "submitted" and not loaded.earlier and not loaded.excused:
            attempt = loaded.attempt
            record_grade(
                session, course=loaded.quiz.course, item=loaded.quiz.uuid, student=attempt.student,
                status="submitted", score=None, points=attempt.max_score, late_seconds=0, at=now,
                event=events[attempt.uuid],
            )  # fmt: skip


async def _score(session: AsyncSession, batch: Sequence[LoadedAttempt]) -> None:
    """Points for what the rules can grade, in one statement."""
    scores = []
    for loaded in batch:
        for question in loaded.questions:
            if has_full_credit(question.content):
                continue
            if not kind_of(question.kind).awaits_grading(question.content, question.answer, question.score):
                points = loaded.points[question.question] = points_earned(question)
                question.score = rules.stored(points)
                scores.append(
                    {
                        "attempt": question.attempt,
                        "question": question.question,
                        "score": question.score,
                    }
                )
    if scores:
        await session.execute(SCORE, {"scores": as_json(scores)})
