"""What of an attempt is shown to whom: `AttemptQuestionOut` is filled by the feedback policy alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.errors import NotFound
from libs.common.paging import Paging
from libs.common.richtext import RichText
from libs.common.schemas import Answer, Body, Moment
from libs.common.tokens import Principal
from services.learning.access import teaches
from services.learning.models import Attempt, AttemptQuestion, Course, Quiz, User
from services.learning.quizzes import rules

Status = Literal["in_progress", "submitted", "graded"]


class AnswerBody(Body):
    answer: Any = Field(description="uuid, [uuid], bool, text or number, by the kind; null takes it back")


class SavedAnswer(Answer):
    question: UUID
    answer: Any
    saved_at: Moment
    deadline: Moment | None
    seconds_left: int | None


class OptionOut(Answer):
    uuid: UUID
    text: RichText


class AttemptQuestionOut(Answer):
    """A question in an attempt's order. What the policy hides is null."""

    uuid: UUID
    kind: str
    text: RichText
    points: float
    options: list[OptionOut] | None
    score: float | None = None
    is_correct: bool | None = None
    right_answer: Any = None
    explanation: RichText | None = None
    option_feedback: dict[UUID, RichText] | None = None


class AttemptRow(Answer):
    uuid: UUID
    quiz: UUID
    student: UUID
    student_name: str
    number: int
    status: Status
    started_at: Moment
    deadline: Moment | None
    time_zone: str
    submitted_at: Moment | None
    seconds_left: int | None
    score: float | None
    max_score: float
    percentage: float | None
    passed: bool | None


class AttemptOut(AttemptRow):
    questions: list[AttemptQuestionOut]
    answers: dict[UUID, Any]


def seconds_left(deadline: datetime | None, now: datetime) -> int | None:
    return None if deadline is None else max(0, int((deadline - now).total_seconds()))


def attempt_row(
    attempt: Attempt, quiz: Quiz, name: str | None, now: datetime, taught: bool
) -> dict[str, Any]:
    shown = taught or _shows(quiz, "score", attempt, now)
    open_ = attempt.status == "in_progress"
    return {
        "uuid": attempt.uuid,
        "quiz": attempt.quiz,
        "student": attempt.student,
        "student_name": name or "",
        "number": attempt.number,
        "status": attempt.status,
        "started_at": attempt.started_at,
        "deadline": attempt.deadline,
        "time_zone": quiz.time_zone,
        "submitted_at": attempt.submitted_at,
        "seconds_left": seconds_left(attempt.deadline, now) if open_ else None,
        "score": rules.shown(attempt.score) if shown else None,
        "max_score": rules.shown(attempt.max_score),
        "percentage": rules.shown(attempt.percentage) if shown else None,
        "passed": attempt.passed if shown else None,
    }


def _shows(quiz: Quiz, what: str, attempt: Attempt, now: datetime) -> bool:
    """Nothing before the attempt is handed in, whatever the policy."""
    handed_in = attempt.status != "in_progress"
    return handed_in and rules.is_visible(quiz.feedback[what], quiz.closes_at, now)


def _question_out(q: AttemptQuestion, *, correctness: bool, answers: bool) -> dict[str, Any]:
    options = q.content["options"] if q.kind in rules.CHOICE else None
    body: dict[str, Any] = {
        "uuid": q.question,
        "kind": q.kind,
        "text": q.text,
        "points": float(q.points),
        "options": [{"uuid": o["uuid"], "text": o["text"]} for o in options] if options else None,
    }
    if correctness and q.score is not None:
        body |= {"score": rules.shown(q.score), "is_correct": q.score == q.points}
    if answers:
        body |= {"right_answer": rules.right_answer(q.kind, q.content), "explanation": q.explanation}
        if options:
            body["option_feedback"] = {o["uuid"]: o["feedback"] for o in options}
    return body


async def get_attempt(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> AttemptOut:
    """An attempt for its learner, as far as the policy shows it, or whole for who teaches the course."""
    row = (
        await session.execute(
            select(Attempt, Quiz, Course, User.full_name)
            .join(Quiz, Quiz.uuid == Attempt.quiz)
            .join(Course, Course.uuid == Quiz.course)
            .outerjoin(User, User.uuid == Attempt.student)
            .where(Attempt.uuid == uuid)
        )
    ).one_or_none()
    if row is None:
        raise NotFound
    attempt, quiz, course, name = row
    taught = teaches(who, course) and attempt.student != who.user
    if attempt.student != who.user and not taught:
        raise NotFound
    questions: Sequence[AttemptQuestion] = (
        await session.scalars(
            select(AttemptQuestion).where(AttemptQuestion.attempt == uuid).order_by(AttemptQuestion.position)
        )
    ).all()
    correctness = taught or _shows(quiz, "correctness", attempt, now)
    answers = taught or _shows(quiz, "answers", attempt, now)
    return AttemptOut.model_validate(
        {
            **attempt_row(attempt, quiz, name, now, taught),
            "questions": [_question_out(q, correctness=correctness, answers=answers) for q in questions],
            "answers": {q.question: q.answer for q in questions if q.answer is not None},
        }
    )


async def list_attempts(
    session: AsyncSession, who: Principal, quiz: Quiz, taught: bool, now: datetime, page: Paging
) -> tuple[int, list[dict[str, Any]]]:
    """All attempts for who teaches the quiz, one's own otherwise."""
    query = (
        select(Attempt, User.full_name)
        .outerjoin(User, User.uuid == Attempt.student)
        .where(Attempt.quiz == quiz.uuid)
    )
    if not taught:
        query = query.where(Attempt.student == who.user)
    count = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    ordered = query.order_by(Attempt.started_at.desc(), Attempt.uuid)
    rows = await session.execute(ordered.limit(page.size).offset(page.offset))
    return count, [attempt_row(attempt, quiz, name, now, taught) for attempt, name in rows]
