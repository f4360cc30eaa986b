"""Writing quizzes: every change of a quiz or its questions is one version and one event of the quiz."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from fastapi import Request
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.errors import NotFound, Unprocessable
from libs.common.etags import check_if_match
from libs.common.events.learning import QuizChanged, QuizCreated, QuizDeleted, QuizFact, QuizPublished
from libs.common.outbox import record
from libs.common.tokens import Principal
from services.learning.access import access_taught_course
from services.learning.errors import QuizEmpty
from services.learning.models import Course, Question, Quiz, User
from services.learning.quizzes.access import access_taught_quiz
from services.learning.quizzes.rules import CHOICE, check_question
from services.learning.quizzes.schemas import OptionBody, QuestionBody, QuestionPatch, QuizBody, QuizPatch


async def totals(session: AsyncSession, quiz: UUID) -> tuple[int, Decimal]:
    """Number of questions and points of a quiz."""
    row = (
        await session.execute(
            select(func.count(), func.coalesce(func.sum(Question.points), 0)).where(Question.quiz == quiz)
        )
    ).one()
    return row[0], row[1]


async def create_quiz(session: AsyncSession, who: Principal, body: QuizBody, now: datetime) -> Quiz:
    """A new quiz, a draft until it is published."""
    course = await access_taught_course(session, who, body.course)
    check_lesson(course, body.lesson)
    _check_window(body.opens_at, body.closes_at)
    zone = (
        body.time_zone or await session.scalar(select(User.time_zone).where(User.uuid == who.user)) or "UTC"
    )
    quiz = Quiz(
        **body.model_dump(exclude={"pools", "time_zone", "feedback"}),
        uuid=uuid4(),
        version=0,
        time_zone=zone,
        feedback=body.feedback.model_dump(),
        created_at=now,
        updated_at=now,
    )
    session.add(quiz)
    await _publish(session, quiz, QuizCreated, who, now)
    return quiz


async def change_quiz(
    session: AsyncSession, who: Principal, uuid: UUID, body: QuizPatch, request: Request, now: datetime
) -> Quiz:
    """Change settings; what is not sent stays."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    check_if_match(request, quiz.version)
    changes = body.model_dump(exclude_unset=True, exclude={"pools"})
    for read_only in ("course", "is_published"):
        if read_only in changes and changes.pop(read_only) != getattr(quiz, read_only):
            raise Unprocessable.field(read_only, "cannot be changed here")
    if changes.get("lesson") is not None:
        check_lesson(await access_taught_course(session, who, quiz.course), changes["lesson"])
    for field, value in changes.items():
        setattr(quiz, field, value)
    _check_window(quiz.opens_at, quiz.closes_at)
    await _publish(session, quiz, QuizChanged, who, now)
    return quiz


async def publish_quiz(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> Quiz:
    """Open the quiz to learners; again → nothing changes. Raises QuizEmpty."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    if quiz.is_published:
        return quiz
    if not (await totals(session, quiz.uuid))[0]:
        raise QuizEmpty
    quiz.is_published = True
    quiz.published_at = now
    await _publish(session, quiz, QuizPublished, who, now)
    return quiz


async def delete_quiz(
    session: AsyncSession, who: Principal, uuid: UUID, request: Request, now: datetime
) -> None:
    """Take the quiz away from everybody; attempts and results stay on record."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    check_if_match(request, quiz.version)
    quiz.deleted_at = now
    await _publish(session, quiz, QuizDeleted, who, now)


async def add_question(
    session: AsyncSession, who: Principal, uuid: UUID, body: QuestionBody, now: datetime
) -> Question:
    """Add a question; attempts that were started before keep theirs."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    last = await session.scalar(select(func.max(Question.position)).where(Question.quiz == uuid))
    question = Question(
        uuid=uuid4(),
        quiz=quiz.uuid,
        position=body.order if body.order is not None else (-1 if last is None else last) + 1,
        kind=body.kind,
        text=body.text,
        points=body.points or Decimal(1),
        explanation=body.explanation or "",
        partial_credit=body.partial_credit is not False,
        content=_content(body.kind, body),
    )
    check_question(question.kind, question.content)
    session.add(question)
    await _publish(session, quiz, QuizChanged, who, now)
    return question


async def change_question(
    session: AsyncSession, who: Principal, uuid: UUID, number: UUID, body: QuestionPatch, now: datetime
) -> Question:
    """Change a question; what is not sent stays, except what belongs to another kind."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    question = await access_question(session, quiz, number)
    if body.uuid not in (None, question.uuid):
        raise Unprocessable.field("uuid", "cannot be changed")
    kind = body.kind or question.kind
    kept = question.content if kind == question.kind else {}
    question.content = {**kept, **_content(kind, body)}
    question.kind = kind
    for field in ("text", "points", "explanation", "partial_credit"):
        if (value := getattr(body, field)) is not None:
            setattr(question, field, value)
    if body.order is not None:
        question.position = body.order
    check_question(kind, question.content)
    await _publish(session, quiz, QuizChanged, who, now)
    return question


async def remove_question(
    session: AsyncSession, who: Principal, uuid: UUID, number: UUID, now: datetime
) -> None:
    """Take a question out; a published quiz keeps one. Raises QuizEmpty."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    question = await access_question(session, quiz, number)
    if quiz.is_published and (await totals(session, uuid))[0] == 1:
        raise QuizEmpty
    await session.execute(delete(Question).where(Question.uuid == question.uuid))
    await _publish(session, quiz, QuizChanged, who, now)


async def access_question(session: AsyncSession, quiz: Quiz, number: UUID) -> Question:
    question = await session.get(Question, number)
    if question is None or question.quiz != quiz.uuid:
        raise NotFound
    return question


def check_lesson(course: Course, lesson: UUID | None) -> None:
    """A lesson of the published or the draft structure. Raises Unprocessable."""
    modules = [*course.modules, *course.draft_modules]
    if lesson is not None and not any(
        known["uuid"] == str(lesson) for module in modules for known in module["lessons"]
    ):
        raise Unprocessable.field("lesson", "the course has no such lesson")


def _check_window(opens_at: datetime | None, closes_at: datetime | None) -> None:
    if opens_at is not None and closes_at is not None and closes_at <= opens_at:
        raise Unprocessable.field("closes_at", "must be after opens_at")


def _content(kind: str, body: QuestionPatch) -> dict[str, Any]:
    """What of the body belongs to a question of this kind."""
    if kind in CHOICE:
        return {} if body.options is None else {"options": [_option(option) for option in body.options]}
    if kind == "true_false":
        return {} if body.correct is None else {"correct": body.correct}
    if kind == "short_answer":
        return {} if body.accepted is None else {"accepted": body.accepted}
    numbers = {"value": body.value, "tolerance": body.tolerance}
    return {name: str(number) for name, number in numbers.items() if number is not None}


def _option(option: OptionBody) -> dict[str, Any]:
    return {
        "uuid": str(option.uuid or uuid4()),
        "text": option.text,
        "is_correct": option.is_correct,
        "feedback": option.feedback,
    }


async def _publish(
    session: AsyncSession, quiz: Quiz, fact: type[QuizFact], who: Principal, now: datetime
) -> None:
    quiz.version += 1
    quiz.updated_at = now
    await session.flush()
    count, points = await totals(session, quiz.uuid)
    fields: dict[str, Any] = {
        name: getattr(quiz, name)
        for name in ("course", "lesson", "title", "kind", "scoring", "is_published", "opens_at", "closes_at")
    }
    event = fact(
        **fields,
        quiz=quiz.uuid,
        pass_mark=float(quiz.pass_mark),
        question_count=count,
        max_score=float(points),
        actor=who.user,
    )
    record(session, event, quiz.version)
