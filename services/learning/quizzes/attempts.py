"""Attempts: started, saved, handed in, graded, all by the server's clock.

Locks: the learner's enrolment, then the attempt. An autosave shares the attempt's lock, so a submit waits for
saves that are under way, and what comes after it is refused.
"""

import random
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
from services.learning.lessons.queries import keep_study_day
from services.learning.lessons.service import complete_by_work
from services.learning.models import Attempt, AttemptQuestion, Enrollment, Question, Quiz, QuizResult
from services.learning.quizzes import rules
from services.learning.quizzes.access import access_quiz

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
) -> tuple[Attempt, bool]:
    """Start an attempt, or take up the open one. Returns it and whether it is new."""
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
            return attempts[-1], False
        await _close(session, seat, await _lock(session, attempts[-1].uuid), quiz, now)
    if quiz.opens_at is not None and now < quiz.opens_at:
        raise QuizNotOpen
    if quiz.closes_at is not None and now >= quiz.closes_at:
        raise QuizClosed
    if quiz.attempts_allowed is not None and len(attempts) >= quiz.attempts_allowed:
        raise NoAttemptsLeft
    return await _begin(session, seat, quiz, len(attempts) + 1, now), True


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


async def submit_attempt(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> None:
    """Hand in and grade; again → nothing changes. Too late, it is graded from what was saved in time."""
    await close_attempt(session, uuid, now, owner=who.user)


async def close_attempt(
    session: AsyncSession, uuid: UUID, now: datetime, *, owner: UUID | None = None
) -> None:
    """Grade an open attempt once. Without `owner` only if its deadline has passed. Raises NotFound."""
    found = await session.get(Attempt, uuid)
    if found is None or (owner is not None and found.student != owner):
        raise NotFound
    seat = await lock_seat(session, Enrollment.uuid == found.enrollment)
    attempt = await _lock(session, uuid)
    quiz = await session.get(Quiz, attempt.quiz)
    if seat is None or quiz is None:
        raise NotFound
    if attempt.status == "in_progress" and (owner is not None or rules.is_over(attempt.deadline, now)):
        await _close(session, seat, attempt, quiz, now)


async def _begin(session: AsyncSession, seat: Seat, quiz: Quiz, number: int, now: datetime) -> Attempt:
    questions = list(
        await session.scalars(
            select(Question).where(Question.quiz == quiz.uuid).order_by(Question.position, Question.uuid)
        )
    )
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
        deadline=rules.attempt_deadline(now, quiz.time_limit_seconds, quiz.closes_at),
        max_score=sum((question.points for question in questions), Decimal(0)),
    )
    session.add(attempt)
    await session.flush()
    await session.execute(
        insert(AttemptQuestion), [_pin(attempt.uuid, place, q, quiz) for place, q in enumerate(questions)]
    )
    day = local_date(now, seat.time_zone)
    await keep_study_day(session, attempt.student, day)
    fields = _identity(attempt, quiz)
    record(session, QuizStarted(**fields, deadline=attempt.deadline, local_date=day), attempt.version)
    return attempt


def _pin(attempt: UUID, place: int, question: Question, quiz: Quiz) -> dict[str, Any]:
    content = question.content
    if quiz.shuffle_answers and question.kind in rules.CHOICE:
        content = {**content, "options": random.sample(content["options"], len(content["options"]))}
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


async def _lock(session: AsyncSession, uuid: UUID) -> Attempt:
    return (
        await session.execute(
            select(Attempt)
            .where(Attempt.uuid == uuid)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    ).scalar_one()


async def _close(session: AsyncSession, seat: Seat, attempt: Attempt, quiz: Quiz, now: datetime) -> None:
    """Submitted at one version, graded at the next. The caller holds both locks."""
    by_deadline = rules.is_over(attempt.deadline, now)
    attempt.submitted_at = attempt.deadline if by_deadline else now
    assert attempt.submitted_at is not None
    day = local_date(attempt.submitted_at, seat.time_zone)
    fields = _identity(attempt, quiz)
    taken = max(0, int((attempt.submitted_at - attempt.started_at).total_seconds()))
    attempt.version += 1
    submitted = QuizSubmitted(**fields, by_deadline=by_deadline, seconds_taken=taken, local_date=day)
    record(session, submitted, attempt.version)
    await keep_study_day(session, attempt.student, day)

    questions = (
        await session.scalars(
            select(AttemptQuestion)
            .where(AttemptQuestion.attempt == attempt.uuid)
            .order_by(AttemptQuestion.position)
        )
    ).all()
    survey = quiz.kind == "survey"
    results = [] if survey else [_grade(question) for question in questions]
    total = sum((Fraction(r.points) * share for r, share in results), Fraction(0))
    _mark(attempt, quiz, total, survey)
    attempt.version += 1
    graded = QuizGraded(
        **fields,
        score=rules.shown(attempt.score) or 0,
        max_score=0 if survey else float(attempt.max_score),
        percentage=rules.shown(attempt.percentage),
        passed=attempt.passed,
        is_regrade=False,
        score_visible=not survey and rules.is_visible(quiz.feedback["score"], quiz.closes_at, now),
        questions=tuple(_result(question, share) for question, share in results),
    )
    record(session, graded, attempt.version)
    await session.flush()
    if await _keep_result(session, attempt, quiz, now):
        await complete_by_work(session, seat, quiz.lesson, now)


def _grade(question: AttemptQuestion) -> tuple[AttemptQuestion, Fraction]:
    share = rules.share(question.kind, question.content, question.answer, question.partial_credit)
    question.score = rules.stored(Fraction(question.points) * share)
    return question, share


def _result(question: AttemptQuestion, share: Fraction) -> QuestionResult:
    return QuestionResult(
        question=question.question,
        kind=question.kind,  # type: ignore[arg-type]
        score=rules.shown(question.score) or 0,
        points=float(question.points),
        share=float(round(share * 100, 2)),
    )


def _mark(attempt: Attempt, quiz: Quiz, total: Fraction, survey: bool) -> None:
    attempt.status = "graded"
    if survey:
        return
    attempt.score = rules.stored(total)
    if attempt.max_score:
        attempt.percentage = rules.stored(total * 100 / Fraction(attempt.max_score))
        attempt.passed = rules.is_passing(attempt.percentage, quiz.pass_mark)


async def _keep_result(session: AsyncSession, attempt: Attempt, quiz: Quiz, now: datetime) -> bool:
    """Where the learner stands by now. Returns whether the quiz counts as finished."""
    percentages = await session.scalars(
        select(Attempt.percentage)
        .where(Attempt.quiz == quiz.uuid, Attempt.student == attempt.student, Attempt.status == "graded")
        .where(Attempt.percentage.is_not(None))
        .order_by(Attempt.number)
    )
    percentage = rules.standing(quiz.scoring, [p for p in percentages if p is not None])
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


def _identity(attempt: Attempt, quiz: Quiz) -> dict[str, Any]:
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
