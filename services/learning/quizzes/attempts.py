"""Attempts: started, saved, handed in, graded, all by the server's clock.

Locks: the learner's enrolment, then the attempt. An autosave shares the attempt's lock, so a submit waits for
saves that are under way, and what comes after it is refused.
"""

import random
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.expression import bindparam

from libs.common.errors import NotFound
from libs.common.events.learning import QuestionResult, QuizGraded, QuizStarted, QuizSubmitted
from libs.common.outbox import record
from libs.common.tokens import Principal
from services.learning.access import Seat, lock_seat
from services.learning.enrollments.rules import SEATED, local_date
from services.learning.errors import (
    AttemptAlreadySubmitted,
    AttemptClosed,
    NoAttemptsLeft,
    NotEnrolled,
    QuizClosed,
    QuizNotOpen,
)
from services.learning.gradebook.service import keep_mark
from services.learning.lessons.queries import keep_study_day
from services.learning.lessons.service import complete_by_work
from services.learning.models import (
    Attempt,
    AttemptQuestion,
    Enrollment,
    Question,
    Quiz,
    QuizExtension,
    QuizResult,
)
from services.learning.quizzes import rules
from services.learning.quizzes.access import access_quiz, find_extension
from services.learning.quizzes.queries import draw_questions

FOR_SAVE = text(
    "SELECT a.student, a.status, a.deadline, q.kind, q.content FROM attempts a"
    " LEFT JOIN attempt_questions q ON q.attempt = a.uuid AND q.question = :question"
    " WHERE a.uuid = :attempt FOR SHARE OF a"
).columns(content=JSONB)

SAVE = text(
    "UPDATE attempt_questions SET answer = :answer, saved_at = :now"
    " WHERE attempt = :attempt AND question = :question"
).bindparams(bindparam("answer", type_=JSONB(none_as_null=True)))


async def start_attempt(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime
) -> tuple[Attempt, Quiz, bool]:
    """Start an attempt, or take up the open one. Returns it, its quiz, and whether it is new."""
    quiz, _ = await access_quiz(session, who, uuid)
    seat = await lock_seat(session, Enrollment.course == quiz.course, Enrollment.student == who.user)
    if seat is None or seat.enrollment.status not in SEATED:
        raise NotEnrolled
    if not quiz.is_published:
        raise NotFound
    mine = select(Attempt).where(Attempt.quiz == quiz.uuid, Attempt.student == who.user)
    attempts = (await session.scalars(mine.order_by(Attempt.number))).all()
    if attempts and attempts[-1].status == "in_progress":
        if not rules.is_over(attempts[-1].deadline, now):
            return attempts[-1], quiz, False
        await _close(session, seat, await lock_attempt(session, attempts[-1].uuid), quiz, now)
    extension = await find_extension(session, quiz.uuid, who.user)
    closes_at = rules.latest_close(quiz.closes_at, extension.closes_at if extension else None)
    allowed = rules.attempts_allowed(quiz.attempts_allowed, extension.extra_attempts if extension else 0)
    if quiz.opens_at is not None and now < quiz.opens_at:
        raise QuizNotOpen
    if closes_at is not None and now >= closes_at:
        raise QuizClosed
    if allowed is not None and len(attempts) >= allowed:
        raise NoAttemptsLeft
    return await _begin(session, seat, quiz, extension, len(attempts) + 1, now), quiz, True


async def save_answer(
    session: AsyncSession, who: Principal, uuid: UUID, question: UUID, answer: Any, now: datetime
) -> datetime | None:
    """Keep an answer: this is the record. Returns the deadline. Raises AttemptClosed after it."""
    row = (await session.execute(FOR_SAVE, {"attempt": uuid, "question": question})).one_or_none()
    if row is None or row.student != who.user or row.kind is None:
        raise NotFound
    if row.status != "in_progress":
        raise AttemptAlreadySubmitted
    if rules.is_over(row.deadline, now):
        raise AttemptClosed
    rules.check_answer(row.kind, row.content, answer)
    await session.execute(SAVE, {"attempt": uuid, "question": question, "answer": answer, "now": now})
    deadline: datetime | None = row.deadline
    return deadline


async def submit_attempt(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime
) -> tuple[Attempt, Quiz]:
    """Hand in and grade; again → nothing changes. Too late, it is graded from what was saved in time."""
    return await close_attempt(session, uuid, now, owner=who.user)


async def close_attempt(
    session: AsyncSession, uuid: UUID, now: datetime, *, owner: UUID | None = None
) -> tuple[Attempt, Quiz]:
    """Grade an open attempt once. Without `owner` only if its deadline has passed. Raises NotFound."""
    found = (
        await session.execute(
            select(Attempt.enrollment, Attempt.student, Quiz)
            .join(Quiz, Quiz.uuid == Attempt.quiz)
            .where(Attempt.uuid == uuid)
        )
    ).one_or_none()
    if found is None or (owner is not None and found.student != owner):
        raise NotFound
    seat = await lock_seat(session, Enrollment.uuid == found.enrollment)
    if seat is None:
        raise NotFound
    attempt, quiz = await lock_attempt(session, uuid), found[2]
    if attempt.status == "in_progress" and (owner is not None or rules.is_over(attempt.deadline, now)):
        await _close(session, seat, attempt, quiz, now)
    return attempt, quiz


async def _begin(
    session: AsyncSession,
    seat: Seat,
    quiz: Quiz,
    extension: QuizExtension | None,
    number: int,
    now: datetime,
) -> Attempt:
    questions = await draw_questions(session, quiz)
    if quiz.shuffle_questions:
        random.shuffle(questions)
    attempt = Attempt(
        uuid=uuid4(),
        version=1,
        quiz=quiz.uuid,
        enrollment=seat.enrollment.uuid,
        student=seat.enrollment.student,
        number=number,
        status="in_progress",
        started_at=now,
        time_limit_seconds=quiz.time_limit_seconds,
        closes_at=quiz.closes_at,
        max_score=sum((question.points for question in questions), Decimal(0)),
    )
    attempt.deadline = extended_deadline(attempt, extension)
    session.add(attempt)
    await session.flush()
    await session.execute(
        insert(AttemptQuestion), [_pin(attempt.uuid, place, q, quiz) for place, q in enumerate(questions)]
    )
    day = local_date(now, seat.time_zone)
    await keep_study_day(session, attempt.student, day)
    fields = identity(attempt, quiz)
    record(session, QuizStarted(**fields, deadline=attempt.deadline, local_date=day), attempt.version)
    return attempt


def _pin(attempt: UUID, place: int, question: Question, quiz: Quiz) -> dict[str, Any]:
    content = rules.in_order(
        question.kind, question.content, lambda ones: random.sample(ones, len(ones)), quiz.shuffle_answers
    )
    return {
        "attempt": attempt,
        "question": question.uuid,
        "position": place,
        "kind": question.kind,
        "text": question.text,
        "points": question.points,
        "explanation": question.explanation,
        "partial_credit": question.partial_credit,
        "content": content,
    }


def extended_deadline(attempt: Attempt, extension: QuizExtension | None) -> datetime | None:
    """From what the quiz said when the attempt started and what its learner has beyond others."""
    if extension is None:
        return rules.attempt_deadline(attempt.started_at, attempt.time_limit_seconds, attempt.closes_at)
    closes_at = rules.latest_close(attempt.closes_at, extension.closes_at)
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


async def _close(session: AsyncSession, seat: Seat, attempt: Attempt, quiz: Quiz, now: datetime) -> None:
    """Submitted at one version, graded at the next if no answer waits. The caller holds both locks."""
    by_deadline = rules.is_over(attempt.deadline, now)
    attempt.submitted_at = attempt.deadline if by_deadline else now
    assert attempt.submitted_at is not None
    attempt.status = "submitted"
    day = local_date(attempt.submitted_at, seat.time_zone)
    taken = max(0, int((attempt.submitted_at - attempt.started_at).total_seconds()))
    attempt.version += 1
    submitted = QuizSubmitted(
        **identity(attempt, quiz), by_deadline=by_deadline, seconds_taken=taken, local_date=day
    )
    event = record(session, submitted, attempt.version)
    with session.no_autoflush:  # the attempt is written once, with its result
        await keep_study_day(session, attempt.student, day)
        questions = await list_attempt_questions(session, attempt.uuid)
    if quiz.kind != "survey":
        for question in questions:
            if not rules.awaits_grading(question.kind, question.answer, question.score):
                question.score = rules.stored(earned(question))
    await settle(session, seat, attempt, quiz, questions, now, is_regrade=False)
    if attempt.status == "submitted" and not await _percentages(session, attempt):
        keep_mark(
            session, course=quiz.course, item=quiz.uuid, student=attempt.student, status="submitted",
            score=None, points=attempt.max_score, late_seconds=0, at=now, event=event,
        )  # fmt: skip


async def list_attempt_questions(session: AsyncSession, attempt: UUID) -> Sequence[AttemptQuestion]:
    """As the attempt pinned them, in its order."""
    query = select(AttemptQuestion).where(AttemptQuestion.attempt == attempt)
    return (await session.scalars(query.order_by(AttemptQuestion.position))).all()


def earned(question: AttemptQuestion) -> Fraction:
    """Points, exact where the rules gave them: rounded thirds would not add up.

    What a teacher gave stands, and what was given for a text that is erased by now.
    """
    erased = question.answer is None and question.score and not question.content.get("full_credit")
    if question.graded_by is not None or erased or question.kind == "essay":
        if question.content.get("full_credit"):
            return Fraction(question.points)
        return Fraction(question.score or 0)
    share = rules.share(question.kind, question.content, question.answer, question.partial_credit)
    return Fraction(question.points) * share


async def settle(
    session: AsyncSession,
    seat: Seat,
    attempt: Attempt,
    quiz: Quiz,
    questions: Sequence[AttemptQuestion],
    now: datetime,
    *,
    is_regrade: bool,
) -> None:
    """Grade a handed-in attempt as a whole, at the next version, unless an answer waits for a teacher.

    The caller holds the seat and the attempt. Completion that was reached is never taken back.
    """
    survey = quiz.kind == "survey"
    if not survey and any(rules.awaits_grading(q.kind, q.answer, q.score) for q in questions):
        await session.flush()
        return
    attempt.status = "graded"
    results = [] if survey else [(question, earned(question)) for question in questions]
    if not survey:
        total = sum((points for _, points in results), Fraction(0))
        attempt.score = rules.stored(total)
        if attempt.max_score:
            attempt.percentage = rules.stored(total * 100 / Fraction(attempt.max_score))
            attempt.passed = rules.is_passing(attempt.percentage, quiz.pass_mark)
    with session.no_autoflush:
        extension = await find_extension(session, quiz.uuid, attempt.student)
    closes_at = rules.latest_close(quiz.closes_at, extension.closes_at if extension else None)
    attempt.version += 1
    graded = QuizGraded(
        **identity(attempt, quiz),
        score=rules.shown(attempt.score) or 0,
        max_score=0 if survey else float(attempt.max_score),
        percentage=rules.shown(attempt.percentage),
        passed=attempt.passed,
        is_regrade=is_regrade,
        score_visible=not survey and rules.is_visible(quiz.feedback["score"], closes_at, now),
        questions=tuple(_result(question, points) for question, points in results),
    )
    event = record(session, graded, attempt.version)
    await session.flush()
    if await _keep_result(session, attempt, quiz, now, event):
        await complete_by_work(session, seat, quiz.lesson, now)


def _result(question: AttemptQuestion, points: Fraction) -> QuestionResult:
    share = points / Fraction(question.points) if question.points else Fraction(0)
    return QuestionResult(
        question=question.question,
        kind=question.kind,  # type: ignore[arg-type]
        score=rules.shown(rules.stored(points)) or 0,
        points=float(question.points),
        share=float(round(share * 100, 2)),
    )


async def _keep_result(
    session: AsyncSession, attempt: Attempt, quiz: Quiz, now: datetime, event: UUID
) -> bool:
    """Where the learner stands by now. Returns whether the quiz counts as finished."""
    percentage = rules.standing(quiz.scoring, await _percentages(session, attempt))
    if percentage is not None:
        keep_mark(
            session, course=quiz.course, item=quiz.uuid, student=attempt.student, status="graded",
            score=percentage * attempt.max_score / 100, points=attempt.max_score, late_seconds=0, at=now,
            event=event,
        )  # fmt: skip
    finished = quiz.kind == "survey" or rules.is_passing(percentage, quiz.pass_mark)
    statement = upsert(QuizResult).values(
        quiz=quiz.uuid,
        enrollment=attempt.enrollment,
        percentage=percentage,
        finished_at=now if finished else None,
    )
    kept = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["quiz", "enrollment"],
            set_={
                "percentage": statement.excluded.percentage,
                "finished_at": text("coalesce(quiz_results.finished_at, excluded.finished_at)"),
            },
        ).returning(QuizResult.finished_at)
    )
    return kept.scalar_one() is not None


async def _percentages(session: AsyncSession, attempt: Attempt) -> list[Decimal]:
    """Of the learner's graded attempts at the quiz, oldest first."""
    found = await session.scalars(
        select(Attempt.percentage)
        .where(Attempt.quiz == attempt.quiz, Attempt.student == attempt.student, Attempt.status == "graded")
        .where(Attempt.percentage.is_not(None))
        .order_by(Attempt.number)
    )
    return [percentage for percentage in found if percentage is not None]


def identity(attempt: Attempt, quiz: Quiz) -> dict[str, Any]:
    """What every fact of an attempt says."""
    return {
        "attempt": attempt.uuid,
        "number": attempt.number,
        "quiz": quiz.uuid,
        "kind": quiz.kind,
        "title": quiz.title,
        "course": quiz.course,
        "lesson": quiz.lesson,
        "enrollment": attempt.enrollment,
        "student": attempt.student,
    }
