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
from libs.common.data.tables import among
from libs.common.events.quizzes import QuizSubmitted
from libs.common.runtime.errors import NotFound
from libs.common.runtime.trace import Trace, current_trace
from libs.common.security.tokens import Principal
from libs.common.web.zones import local_date
from services.learning.access import lock_seats
from services.learning.errors import NotEnrolled
from services.learning.gradebook.history import record_grade
from services.learning.lessons.queries import KEEP_STUDY_DAYS
from services.learning.models import ENROLLED, Attempt, Enrollment, Quiz, QuizExtension
from services.learning.quizzes import rules
from services.learning.quizzes.access import refuse_others
from services.learning.quizzes.kinds import kind_of
from services.learning.quizzes.results import (
    Case,
    earned,
    identity,
    load_standing,
    read_pinned,
    settle,
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
) -> dict[UUID, Case]:
    """Hand in and grade open attempts once, all in this transaction; what is closed already stays as it is.

    `wanted` has the trace of who asks for each. Only attempts that are there with their student in `owners`;
    without owners only those whose deadline has passed. Too late, one is graded from what was saved in time.
    With `skip_locked` those are left out whose learner or attempt somebody else has locked.
    """
    found = {
        attempt: (enrollment, quiz)
        for attempt, enrollment, student, quiz in await session.execute(
            select(Attempt.uuid, Attempt.enrollment, Attempt.student, Quiz)
            .join(Quiz, Quiz.uuid == Attempt.quiz)
            .where(among(Attempt.uuid, wanted))
            .with_for_update(of=Quiz, read=True)
        )
        if owners is None or (attempt, student) in owners
    }
    seats = {
        seat.enrollment.uuid: seat
        for seat in await lock_seats(
            session, among(Enrollment.uuid, {seat for seat, _ in found.values()}), skip_locked=skip_locked
        )
    }
    attempts = await session.scalars(
        select(Attempt)
        .where(among(Attempt.uuid, found), among(Attempt.enrollment, seats))
        .order_by(Attempt.uuid)
        .with_for_update(key_share=True, skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
    questions = await read_pinned(session, found)
    cases = {
        attempt.uuid: Case(
            seats[attempt.enrollment], attempt, found[attempt.uuid][1], questions[attempt.uuid],
            trace=wanted[attempt.uuid],
        )
        for attempt in attempts
    }  # fmt: skip
    closing = [
        case
        for case in cases.values()
        if case.attempt.status == "in_progress"
        and (is_seated(case) if owners is not None else is_over(case.attempt.deadline, now))
    ]
    closed = [case for case in cases.values() if case not in closing]
    if closed:
        await load_standing(session, closed)
    if closing:
        await close_open(session, closing, now)
    return cases


@dataclass(frozen=True, slots=True, eq=False)
class HandIn:
    """A learner's wish to hand in."""

    attempt: UUID
    student: UUID
    now: datetime
    trace: Trace


async def hand_in_together(
    session: AsyncSession, wanted: Sequence[HandIn]
) -> dict[HandIn, tuple[Case, set[str]]]:
    """Hand in, or tell the result again. Waits for no lock of seats and attempts: left out is what is locked,
    and what is no attempt of theirs."""
    cases = await close_attempts(
        session,
        {one.attempt: one.trace for one in wanted},
        max(one.now for one in wanted),
        owners={(one.attempt, one.student) for one in wanted},
        skip_locked=True,
    )
    return {
        one: (case, {str(case.attempt.uuid), str(case.attempt.enrollment)})
        for one in wanted
        if (case := cases.get(one.attempt)) is not None
        and case.attempt.student == one.student
        and case.attempt.status != "in_progress"
    }


async def close_attempt(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> Case:
    """The same for one of one's own. Raises NotFound, NotEnrolled for who has left the course meanwhile, or
    Forbidden for its teacher."""
    cases = await close_attempts(session, {uuid: current_trace()}, now, owners={(uuid, who.user)})
    if uuid not in cases:
        await refuse_others(session, who, uuid)
        raise NotFound
    if cases[uuid].attempt.status == "in_progress":
        raise NotEnrolled
    return cases[uuid]


def is_seated(case: Case) -> bool:
    """Whether its learner may still hand it in. Who has left is graded at the deadline, as with a closed tab,
    from what was saved before."""
    return case.seat.enrollment.status in ENROLLED


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


async def close_open(session: AsyncSession, cases: Sequence[Case], now: datetime) -> None:
    """Submitted at one version, graded at the next if no answer waits. The caller holds both locks."""
    days = []
    events = {}
    for case in cases:
        attempt, quiz = case.attempt, case.quiz
        by_deadline = is_over(attempt.deadline, now)
        attempt.submitted_at = attempt.deadline if by_deadline else now
        assert attempt.submitted_at is not None
        attempt.status = "submitted"
        day = local_date(attempt.submitted_at, case.seat.time_zone)
        taken = max(0, int((attempt.submitted_at - attempt.started_at).total_seconds()))
        attempt.version += 1
        submitted = QuizSubmitted(
            **identity(attempt, quiz), by_deadline=by_deadline, seconds_taken=taken, local_date=day
        )
        events[attempt.uuid] = record(session, submitted, attempt.version, trace=case.trace)
        days.append({"student": attempt.student, "local_date": day})
    with session.no_autoflush:  # the attempts are written once, with their results
        await session.execute(KEEP_STUDY_DAYS, {"days": as_json(days)})
        await _score(session, [case for case in cases if case.quiz.kind != "survey"])
    await settle(session, cases, now, is_regrade=False)
    for case in cases:
        if case.attempt.status == "submitted" and not case.earlier and not case.excused:
            attempt = case.attempt
            record_grade(
                session, course=case.quiz.course, item=case.quiz.uuid, student=attempt.student,
                status="submitted", score=None, points=attempt.max_score, late_seconds=0, at=now,
                event=events[attempt.uuid],
            )  # fmt: skip


async def _score(session: AsyncSession, cases: Sequence[Case]) -> None:
    """Points for what the rules can grade, in one statement."""
    scores = []
    for case in cases:
        for question in case.questions:
            if rules.has_full_credit(question.content):
                continue
            if not kind_of(question.kind).awaits_grading(question.content, question.answer, question.score):
                points = case.points[question.question] = earned(question)
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
