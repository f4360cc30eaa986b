"""What of an attempt is shown to whom: `AttemptQuestionRead` is filled by the feedback policy alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi.responses import Response
from pydantic import ConfigDict, Field
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.paging import Paging
from libs.common.web.schemas import Answer, Body, Identifier, Moment, PlainText
from services.learning.models import Attempt, AttemptQuestion, Quiz, QuizExtension, User
from services.learning.quizzes.access import access_attempt, access_quiz
from services.learning.quizzes.kinds import KindStudentFields, kind_of
from services.learning.quizzes.kinds.regrades import counted_score
from services.learning.quizzes.results import LoadedAttempt, PinnedQuestion, read_pinned
from services.learning.rules import rounded
from services.learning.schemas import LONGEST_TEXT
from services.learning.windows import is_visible, latest_close

Status = Literal["in_progress", "submitted", "graded"]


class AnswerUpdate(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"answer": "00000040-0000-4000-8000-000000000040"},
                {"answer": ["00000040-0000-4000-8000-000000000040"]},
                {"answer": {"00000041-0000-4000-8000-000000000041": "00000042-0000-4000-8000-000000000042"}},
                {"answer": 2.5},
                {"answer": None},
            ]
        }
    )

    answer: Any = Field(
        description="by the kind: uuid, [uuid], bool, text, number, {left: right} or [uuid] of all items;"
        " null takes it back",
        json_schema_extra={
            "anyOf": [
                {
                    "type": "string", "maxLength": LONGEST_TEXT, "contentMediaType": "text/plain",
                    "description": "a uuid; a short answer of at most 2,000 characters; an essay",
                },
                {"type": "array", "items": {"type": "string", "format": "uuid"}},
                {"type": "object", "additionalProperties": {"type": "string", "format": "uuid"}},
                {"type": "boolean"},
                {"type": "number", "minimum": -1e30, "maximum": 1e30},
                {"type": "null"},
            ]
        },
    )  # fmt: skip


class AnswerRead(Answer):
    question: UUID
    answer: Any
    saved_at: Moment
    deadline: Moment | None
    seconds_left: int | None


class AttemptQuestionRead(KindStudentFields):
    """A question in an attempt's order. What the policy hides is null."""

    uuid: UUID
    kind: Identifier
    text: PlainText
    points: float
    score: float | None = None
    is_correct: bool | None = None
    right_answer: Any = None
    explanation: PlainText | None = None
    comment: PlainText | None = Field(None, description="of who graded it; shown with the correctness")


class AttemptSummary(Answer):
    uuid: UUID
    quiz: UUID
    student: UUID
    student_name: PlainText
    number: int
    status: Status
    started_at: Moment
    deadline: Moment | None
    time_zone: Identifier
    submitted_at: Moment | None
    seconds_left: int | None
    score: float | None
    max_score: float
    percentage: float | None
    passed: bool | None


class AttemptRead(AttemptSummary):
    questions: list[AttemptQuestionRead]
    answers: dict[UUID, Any]


def seconds_left(deadline: datetime | None, now: datetime) -> int | None:
    return None if deadline is None else max(0, int((deadline - now).total_seconds()))


def attempt_summary(
    attempt: Attempt,
    quiz: Quiz,
    extended: datetime | None,
    name: str | None,
    now: datetime,
    taught: bool,
) -> dict[str, Any]:
    shown = taught or _shows(quiz, "score", attempt, extended, now)
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
        "score": rounded(attempt.score) if shown else None,
        "max_score": rounded(attempt.max_score),
        "percentage": rounded(attempt.percentage) if shown else None,
        "passed": attempt.passed if shown else None,
    }


def _shows(quiz: Quiz, what: str, attempt: Attempt, extended: datetime | None, now: datetime) -> bool:
    """Nothing before the attempt is handed in, whatever the policy; `extended` is the learner's own close."""
    handed_in = attempt.status != "in_progress"
    closes_at = latest_close(quiz.closes_at, extended)
    return handed_in and is_visible(quiz.feedback[what], closes_at, now)


def _question_read(
    q: AttemptQuestion | PinnedQuestion, *, correctness: bool, answers: bool
) -> dict[str, Any]:
    kind = kind_of(q.kind)
    body: dict[str, Any] = {
        "uuid": q.question,
        "kind": q.kind,
        "text": q.text,
        "points": float(q.points),
        **kind.for_student(q.content),
    }
    score = counted_score(q.content, q.points, q.score)
    if correctness and score is not None:
        body |= {
            "score": rounded(score),
            "is_correct": score == q.points,
            "comment": q.comment or None,
        }
    if answers:
        body |= {"explanation": q.explanation, **kind.explain(q.content)}
    return body


def show_attempt(
    attempt: Attempt,
    quiz: Quiz,
    questions: Sequence[AttemptQuestion | PinnedQuestion],
    name: str | None,
    extended: datetime | None,
    now: datetime,
    *,
    taught: bool = False,
) -> AttemptRead:
    """An attempt for its learner, as far as the policy shows it, or whole for its teacher."""
    correctness = taught or _shows(quiz, "correctness", attempt, extended, now)
    answers = taught or _shows(quiz, "answers", attempt, extended, now)
    return AttemptRead.model_validate(
        {
            **attempt_summary(attempt, quiz, extended, name, now, taught),
            "questions": [_question_read(q, correctness=correctness, answers=answers) for q in questions],
            "answers": {
                q.question: kind_of(q.kind).saved_answer(q.answer) for q in questions if q.answer is not None
            },
        }
    )


def show_own_attempt(loaded: LoadedAttempt, now: datetime) -> AttemptRead:
    """An attempt for its learner."""
    return show_attempt(
        loaded.attempt, loaded.quiz, loaded.questions, loaded.learner.name, loaded.extended, now
    )


async def read_attempt(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime
) -> tuple[AttemptRead, str]:
    """The same with its ETag. Raises NotFound.

    The learner's ETag says nothing of the version, which counts what teachers do with the attempt.
    """
    attempt, quiz, taught = await access_attempt(session, who, uuid)
    name, extended = (
        await session.execute(
            select(
                select(User.full_name).where(User.uuid == attempt.student).scalar_subquery(),
                select(QuizExtension.closes_at)
                .where(QuizExtension.quiz == quiz.uuid, QuizExtension.student == attempt.student)
                .scalar_subquery(),
            )
        )
    ).one()
    questions = (await read_pinned(session, [uuid]))[uuid]
    body = show_attempt(attempt, quiz, questions, name, extended, now, taught=taught)
    seen = body.model_dump_json(exclude={"seconds_left"})
    return body, etags.etag(attempt.version if taught else 0, seen)


def show_saved(question: UUID, answer: Any, deadline: datetime | None, now: datetime) -> AnswerRead:
    return AnswerRead(
        question=question,
        answer=answer,
        saved_at=now,
        deadline=deadline,
        seconds_left=seconds_left(deadline, now),
    )


def as_answer(body: AttemptRead, status: int = 200) -> Response:
    """The body as it is: it was checked when it was made, and a whole class asks at once."""
    return Response(body.model_dump_json(), status, media_type="application/json")


async def list_attempts(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    status: str | None,
    student: UUID | None,
    now: datetime,
    page: Paging,
) -> tuple[int, list[dict[str, Any]]]:
    """Attempts of a quiz: everybody's for its teachers, one's own for learners. Newest first; those that
    wait for a teacher (`submitted`) oldest first."""
    quiz, taught = await access_quiz(session, who, uuid)
    query = (
        select(Attempt, QuizExtension.closes_at, User.full_name)
        .outerjoin(User, User.uuid == Attempt.student)
        .outerjoin(
            QuizExtension,
            and_(QuizExtension.quiz == Attempt.quiz, QuizExtension.student == Attempt.student),
        )
        .where(Attempt.quiz == quiz.uuid)
    )
    if status is not None:
        query = query.where(Attempt.status == status)
    if student is not None:
        query = query.where(Attempt.student == student)
    if not taught:
        query = query.where(Attempt.student == who.user)
    count = await session.scalar(select(func.count()).select_from(query.subquery())) or 0
    oldest_first = status == "submitted"
    moment = Attempt.submitted_at.asc() if oldest_first else Attempt.started_at.desc()
    ordered = query.order_by(moment, Attempt.uuid)
    rows = await session.execute(ordered.limit(page.size).offset(page.offset))
    return count, [attempt_summary(attempt, quiz, close, name, now, taught) for attempt, close, name in rows]
