"""Writing quizzes: every change of a quiz or its questions is one version and one event of the quiz."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.quizzes import (
    QuizChanged,
    QuizCreated,
    QuizDeleted,
    QuizFact,
    QuizPublished,
)
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.access import access_taught_course, check_lesson
from services.learning.checks import want_course_check
from services.learning.errors import PoolTooSmall, QuizEmpty
from services.learning.gradebook.history import record_items
from services.learning.gradebook.items import quiz_totals
from services.learning.models import Attempt, Question, QuestionBank, Quiz
from services.learning.quizzes import questions
from services.learning.quizzes.access import access_question, access_taught_quiz
from services.learning.quizzes.extensions import move_deadlines
from services.learning.quizzes.grading import regrade_attempts
from services.learning.quizzes.queries import for_teacher
from services.learning.quizzes.schemas import (
    QuestionCreate,
    QuestionUpdate,
    QuizCreate,
    QuizUpdate,
    check_unchanged,
)
from services.learning.windows import check_order, zone_of

READ_ONLY = (
    "uuid", "course", "is_published", "question_count", "max_score", "questions", "created_at",
    "attempts_count", "updated_at",
)  # fmt: skip


async def create_quiz(session: AsyncSession, who: Principal, body: QuizCreate, now: datetime) -> Quiz:
    """A new quiz, a draft until it is published."""
    course = await access_taught_course(session, who, body.course)
    check_lesson(course, body.lesson)
    check_order(body.opens_at, body.closes_at, "must be after opens_at", strict=True)
    pools = [pool.model_dump(mode="json") for pool in body.pools]
    await _check_pools(session, course.uuid, pools)
    quiz = Quiz(
        **body.model_dump(exclude={"pools", "time_zone", "feedback"}),
        uuid=uuid4(),
        version=0,
        time_zone=body.time_zone or await zone_of(session, who.user),
        pools=pools,
        feedback=body.feedback.model_dump(),
        created_at=now,
        updated_at=now,
    )
    session.add(quiz)
    await _publish(session, quiz, QuizCreated, who, now)
    return quiz


async def change_quiz(
    session: AsyncSession, who: Principal, uuid: UUID, body: QuizUpdate, if_match: Precondition, now: datetime
) -> Quiz:
    """Change settings; what is not sent stays. A moved close moves the deadlines of open attempts, and
    attempts that are graded follow their scoring and pass mark."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    if_match.check(quiz.version)
    changes = body.model_dump(exclude_unset=True, exclude={*READ_ONLY})
    if body.model_fields_set & {*READ_ONLY}:
        check_unchanged(body, READ_ONLY, await for_teacher(session, quiz))
    if body.pools is not None:
        changes["pools"] = [pool.model_dump(mode="json") for pool in body.pools]
        await _check_pools(session, quiz.course, changes["pools"])
    if "feedback" in changes:
        changes["feedback"] = {**quiz.feedback, **changes["feedback"]}
    if changes.get("kind", quiz.kind) != quiz.kind and await _is_attempted(session, quiz):
        raise Unprocessable.field("kind", "cannot be changed once somebody has started the quiz")
    before = (quiz.closes_at, quiz.scoring, quiz.pass_mark)
    if changes.get("lesson") is not None:
        check_lesson(await access_taught_course(session, who, quiz.course), changes["lesson"])
    for field, value in changes.items():
        setattr(quiz, field, value)
    check_order(quiz.opens_at, quiz.closes_at, "must be after opens_at", strict=True)
    if quiz.is_published and body.pools is not None:
        await _check_questions(session, quiz)
    await _publish(session, quiz, QuizChanged, who, now)
    if quiz.closes_at != before[0]:
        await move_deadlines(session, who, quiz, now)
    if (quiz.scoring, quiz.pass_mark) != before[1:]:
        await regrade_attempts(session, quiz, now)
    return quiz


async def _is_attempted(session: AsyncSession, quiz: Quiz) -> bool:
    return bool(await session.scalar(select(exists().where(Attempt.quiz == quiz.uuid))))


async def publish_quiz(
    session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition, now: datetime
) -> Quiz:
    """Open the quiz to learners; again → nothing changes. Raises QuizEmpty, PoolTooSmall."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    if_match.check(quiz.version)
    if quiz.is_published:
        return quiz
    await _check_questions(session, quiz)
    quiz.is_published = True
    quiz.published_at = now
    await _publish(session, quiz, QuizPublished, who, now)
    return quiz


async def delete_quiz(
    session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition, now: datetime
) -> None:
    """Take the quiz away from everybody; attempts and results stay on record."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    if_match.check(quiz.version)
    quiz.deleted_at = now
    await _publish(session, quiz, QuizDeleted, who, now)


async def add_question(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: QuestionCreate,
    if_match: Precondition,
    now: datetime,
) -> tuple[Question, int]:
    """Add a question; attempts that were started before keep theirs. Returns it and the quiz's version."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    if_match.check(quiz.version)
    question = await questions.add(session, quiz, body)
    await _publish(session, quiz, QuizChanged, who, now)
    return question, quiz.version


async def change_question(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    number: UUID,
    body: QuestionUpdate,
    if_match: Precondition,
    now: datetime,
) -> tuple[Question, int]:
    """Change a question, for attempts that start from now on. Returns it and the quiz's version."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    if_match.check(quiz.version)
    question = await access_question(session, quiz, number)
    questions.change(question, body)
    await _publish(session, quiz, QuizChanged, who, now)
    return question, quiz.version


async def remove_question(
    session: AsyncSession, who: Principal, uuid: UUID, number: UUID, if_match: Precondition, now: datetime
) -> None:
    """Take a question out; a published quiz keeps one. Raises QuizEmpty."""
    quiz = await access_taught_quiz(session, who, uuid, lock=True)
    if_match.check(quiz.version)
    question = await access_question(session, quiz, number)
    if quiz.is_published and (await quiz_totals(session, quiz))[0] == 1:
        raise QuizEmpty
    await session.execute(delete(Question).where(Question.uuid == question.uuid))
    await _publish(session, quiz, QuizChanged, who, now)


async def _check_questions(session: AsyncSession, quiz: Quiz) -> None:
    """Whether learners find what the quiz promises. Raises QuizEmpty, PoolTooSmall."""
    if not (await quiz_totals(session, quiz))[0]:
        raise QuizEmpty
    for pool in quiz.pools:
        there = await session.scalar(
            select(func.count()).select_from(Question).where(Question.bank == UUID(pool["bank"]))
        )
        if (there or 0) < pool["pick"]:
            raise PoolTooSmall


async def _check_pools(session: AsyncSession, course: UUID, pools: list[dict[str, Any]]) -> None:
    """Banks of the same course, each named once. Raises Unprocessable."""
    banks = {UUID(pool["bank"]) for pool in pools}
    if len(banks) != len(pools):
        raise Unprocessable.field("pools", "names a bank twice")
    known = await session.scalars(
        select(QuestionBank.uuid).where(
            QuestionBank.uuid.in_(banks), QuestionBank.course == course, QuestionBank.deleted_at.is_(None)
        )
    )
    if banks - set(known):
        raise Unprocessable.field("pools", "names a bank that the course does not have")


async def _publish(
    session: AsyncSession, quiz: Quiz, fact: type[QuizFact], who: Principal, now: datetime
) -> None:
    quiz.version += 1
    quiz.updated_at = now
    await session.flush()
    count, points = await quiz_totals(session, quiz)
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
    await record_items(session, quiz.course, [quiz.uuid], now)
    await want_course_check(session, quiz.course, now)
