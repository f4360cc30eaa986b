"""Grading by hand and regrading: what people decide about attempts that are handed in.

Locks: the quiz; enrolments in order; attempts in order. Each change of an attempt is a version of it.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.outbox import record
from libs.common.data.tables import is_any_of
from libs.common.events.quizzes import QuizAnswerGraded
from libs.common.runtime.errors import Forbidden, NotFound, Unprocessable
from libs.common.runtime.trace import Trace
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.access import lock_learner, lock_learners
from services.learning.errors import AttemptNotSubmitted, QuestionKindChanged
from services.learning.models import Attempt, AttemptQuestion, Enrollment, Question, Quiz
from services.learning.quizzes import rules
from services.learning.quizzes.access import access_attempt, access_taught_quiz, hold_quiz
from services.learning.quizzes.attempts import lock_attempt
from services.learning.quizzes.grading_schemas import AnswerGradeUpdate, PointsChange, RegradeRequest
from services.learning.quizzes.kinds import kind_of
from services.learning.quizzes.kinds.regrades import counted_score, has_full_credit, without_regrades
from services.learning.quizzes.results import (
    LoadedAttempt,
    grade_attempts,
    identity,
    list_questions_of,
    points_earned,
)
from services.learning.rules import rounded


async def grade_answer(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: AnswerGradeUpdate,
    if_match: Precondition,
    now: datetime,
) -> None:
    """Give points for one answer, an essay's or against the rules; with the last one the attempt is graded.

    Raises AttemptNotSubmitted.
    """
    found, quiz, taught = await access_attempt(session, who, uuid)
    if not taught:
        raise Forbidden
    await hold_quiz(session, quiz)
    learner = await lock_learner(session, Enrollment.uuid == found.enrollment)
    if learner is None:
        raise NotFound
    attempt = await lock_attempt(session, uuid)
    if_match.check(attempt.version)
    if attempt.status == "in_progress":
        raise AttemptNotSubmitted
    if quiz.kind == "survey":
        raise Unprocessable.field("points", "a survey has none")
    questions = (await list_questions_of(session, [uuid]))[uuid]
    question = next((one for one in questions if one.question == body.question), None)
    if question is None:
        raise Unprocessable.field("question", "the attempt has no such question")
    if body.points > question.points:
        raise Unprocessable.field("points", f"must be at most {question.points.normalize():f}")
    before = counted_score(question.content, question.points, question.score)
    question.score = body.points
    question.content = without_regrades(question.content)
    if body.comment is not None:
        question.comment = body.comment
    question.graded_by = who.user
    question.graded_at = now
    _record_answer(session, attempt, quiz, question, who, is_regrade=before is not None)
    if before is not None:
        details = {
            "question": str(question.question),
            "before": rounded(before),
            "after": rounded(body.points),
        }
        await write_entry(session, "attempt.overridden", attempt.uuid, actor=who.user, details=details)
    loaded = LoadedAttempt(learner, attempt, quiz, questions)
    await grade_attempts(session, [loaded], now, is_regrade=attempt.status == "graded")


async def regrade(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: RegradeRequest,
    if_match: Precondition,
    now: datetime,
) -> list[PointsChange]:
    """Grade a question anew in every attempt that has it. Returns whose points change.

    Points stay what they were when the attempt started, and so do points that a teacher gave: full credit
    lies above them, and they count again when it is taken back. Attempts under way are graded by the new key
    once they are handed in. A dry run writes nothing. Raises QuestionKindChanged.
    """
    quiz = await access_taught_quiz(session, who, uuid, lock=not body.dry_run)
    if_match.check(quiz.version)
    current = await session.get(Question, body.question)
    mine = select(Attempt.uuid).where(
        Attempt.quiz == quiz.uuid,
        select(AttemptQuestion.question)
        .where(AttemptQuestion.attempt == Attempt.uuid, AttemptQuestion.question == body.question)
        .exists(),
    )
    found = (await session.scalars(mine)).all()
    if not found and (current is None or not _belongs(current, quiz)):
        raise Unprocessable.field("question", "the quiz has no such question")
    if current is None and body.mode != "full_credit":
        raise Unprocessable.field("question", "is deleted, so that only full_credit can regrade it")
    attempts = await _load(session, found, lock=not body.dry_run)
    questions = await list_questions_of(session, found)
    changes = []
    for attempt in attempts:
        pinned = questions[attempt.uuid]
        change = _rekey(attempt, quiz, pinned, current, body, write=not body.dry_run)
        if change is None:
            continue
        changes.append(change)
        if not body.dry_run:
            await _regrade_attempt(session, who, attempt, quiz, pinned, body.question, now)
    if not body.dry_run:
        await session.flush()
        details = {"question": str(body.question), "mode": body.mode, "changed": len(changes)}
        await write_entry(
            session, "quiz.regraded", quiz.uuid, actor=who.user, reason=body.reason, details=details
        )
    return changes


async def regrade_attempts(session: AsyncSession, quiz: Quiz, now: datetime) -> None:
    """Grade every graded attempt of a locked quiz anew, after its scoring or its pass mark has changed."""
    found = (
        await session.scalars(
            select(Attempt.uuid).where(Attempt.quiz == quiz.uuid, Attempt.status == "graded")
        )
    ).all()
    attempts = await _load(session, found, lock=True)
    learners = {
        learner.enrollment.uuid: learner
        for learner in await lock_learners(
            session, is_any_of(Enrollment.uuid, {attempt.enrollment for attempt in attempts})
        )
    }
    questions = await list_questions_of(session, found)
    rounds: defaultdict[int, list[LoadedAttempt]] = defaultdict(list)  # of one learner only one at a time
    for attempt in attempts:
        loaded = LoadedAttempt(learners[attempt.enrollment], attempt, quiz, questions[attempt.uuid])
        rounds[attempt.number].append(loaded)
    for number in sorted(rounds):
        await grade_attempts(session, rounds[number], now, is_regrade=True)


async def grade_erased(session: AsyncSession, student: UUID, now: datetime, trace: Trace) -> int:
    """Grade attempts that wait for a teacher of a learner whose texts are erased: nobody can read them any
    more. Returns how many."""
    found = await session.execute(
        select(Attempt.uuid, Attempt.enrollment, Quiz)
        .join(Quiz, Quiz.uuid == Attempt.quiz)
        .where(Attempt.student == student, Attempt.status == "submitted")
        .order_by(Attempt.uuid)
    )
    waiting = found.all()
    for uuid, enrollment, quiz in waiting:
        learner = await lock_learner(session, Enrollment.uuid == enrollment)
        assert learner is not None
        attempt = await lock_attempt(session, uuid)
        questions = (await list_questions_of(session, [uuid]))[uuid]
        await grade_attempts(
            session, [LoadedAttempt(learner, attempt, quiz, questions, trace=trace)], now, is_regrade=False
        )
    return len(waiting)


def _shuffled(ones: list[Any]) -> list[Any]:
    return random.sample(ones, len(ones))


def _belongs(question: Question, quiz: Quiz) -> bool:
    return question.quiz == quiz.uuid or str(question.bank) in {pool["bank"] for pool in quiz.pools}


async def _load(session: AsyncSession, found: Sequence[UUID], *, lock: bool) -> Sequence[Attempt]:
    query = (
        select(Attempt)
        .where(Attempt.uuid.in_(found))
        .order_by(Attempt.uuid)
        .execution_options(populate_existing=True)
    )
    if not lock:
        return (await session.scalars(query)).all()
    learners = select(Attempt.enrollment).where(Attempt.uuid.in_(found))
    await session.execute(
        select(Enrollment.uuid)
        .where(Enrollment.uuid.in_(learners))
        .order_by(Enrollment.uuid)
        .with_for_update(key_share=True)
    )
    return (await session.scalars(query.with_for_update(key_share=True))).all()


def _rekey(
    attempt: Attempt,
    quiz: Quiz,
    pinned: Sequence[AttemptQuestion],
    current: Question | None,
    body: RegradeRequest,
    *,
    write: bool,
) -> PointsChange | None:
    """Put the new key into an attempt, or only see what it would change."""
    question = next(one for one in pinned if one.question == body.question)
    kind = kind_of(question.kind)
    old_content, old_partial = question.content, question.partial_credit
    content: Any = old_content
    partial = old_partial
    if body.mode == "full_credit":
        content = kind.regraded(old_content, {}, body.mode, _shuffled)
    elif current is not None:
        if current.kind != question.kind:
            raise QuestionKindChanged
        earlier = {**old_content, "partial_credit": old_partial}
        content = kind.regraded(earlier, current.content, body.mode, _shuffled)
        partial = current.partial_credit
    handed_in = attempt.status != "in_progress" and quiz.kind != "survey"
    before = points_earned(question)
    others = sum((points_earned(one) for one in pinned if one is not question), Fraction(0))
    after = _points(question, content, partial) if handed_in else before
    if write:
        question.content, question.partial_credit = dict(content), partial
        if handed_in and not has_full_credit(content) and question.graded_by is None:
            # Under full credit stays what there was, for when it is taken back. An essay that nobody had
            # read by then has no points until somebody gives some.
            was_full = has_full_credit(old_content)
            if not kind.is_graded_by_hand or (was_full and question.score is None):
                question.score = rules.stored(after)
    if not handed_in or after == before:
        return None
    return PointsChange(
        user=attempt.student,
        attempt=attempt.uuid,
        before=rounded(rules.stored(others + before)) or 0,
        after=rounded(rules.stored(others + after)) or 0,
    )


def _points(question: AttemptQuestion, content: Any, partial: bool) -> Fraction:
    """What the question would earn by this content."""
    copy = AttemptQuestion(
        kind=question.kind,
        points=question.points,
        answer=question.answer,
        score=question.score,
        graded_by=question.graded_by,
        content=content,
        partial_credit=partial,
    )
    return points_earned(copy)


async def _regrade_attempt(
    session: AsyncSession,
    who: Principal,
    attempt: Attempt,
    quiz: Quiz,
    questions: Sequence[AttemptQuestion],
    number: UUID,
    now: datetime,
) -> None:
    learner = await lock_learner(session, Enrollment.uuid == attempt.enrollment)
    if learner is None:
        raise NotFound
    was_graded = attempt.status == "graded"
    if not was_graded:
        question = next(one for one in questions if one.question == number)
        _record_answer(session, attempt, quiz, question, who, is_regrade=True)
    await grade_attempts(
        session, [LoadedAttempt(learner, attempt, quiz, questions)], now, is_regrade=was_graded
    )


def _record_answer(
    session: AsyncSession,
    attempt: Attempt,
    quiz: Quiz,
    question: AttemptQuestion,
    who: Principal,
    *,
    is_regrade: bool,
) -> None:
    attempt.version += 1
    event = QuizAnswerGraded(
        **identity(attempt, quiz),
        question=question.question,
        score=rounded(counted_score(question.content, question.points, question.score)) or 0,
        points=float(question.points),
        is_regrade=is_regrade,
        actor=who.user,
    )
    record(session, event, attempt.version)
