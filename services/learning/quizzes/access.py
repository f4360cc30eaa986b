"""Loading a quiz and authorising in one step. Hidden quizzes answer as if there were none (404)."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import Forbidden, NotFound
from libs.common.security.tokens import Principal
from services.learning.access import is_enrolled, teaches
from services.learning.models import Attempt, Course, Question, QuestionBank, Quiz, QuizExtension


async def access_quiz(session: AsyncSession, who: Principal, uuid: UUID) -> tuple[Quiz, bool]:
    """A quiz that they may see, and whether they teach it: learners see published ones of their courses."""
    row = (
        await session.execute(
            select(Quiz, Course.instructor, Course.instructors)
            .join(Course, Course.uuid == Quiz.course)
            .where(Quiz.uuid == uuid, Quiz.deleted_at.is_(None))
        )
    ).one_or_none()
    if row is None:
        raise NotFound
    quiz: Quiz = row[0]
    if teaches(who, row):
        return quiz, True
    if quiz.is_published and await is_enrolled(session, who, quiz.course):
        return quiz, False
    raise NotFound


async def access_taught_quiz(
    session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False
) -> Quiz:
    """A quiz that they may edit. Raises NotFound, or Forbidden for its learners."""
    quiz, taught = await access_quiz(session, who, uuid)
    if not taught:
        raise Forbidden
    if lock:
        await session.refresh(quiz, with_for_update={"key_share": True})
        if quiz.deleted_at is not None:
            raise NotFound
    return quiz


async def access_bank(
    session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False
) -> QuestionBank:
    """A question bank of a course that they teach. Raises NotFound."""
    query = (
        select(QuestionBank, Course)
        .join(Course, Course.uuid == QuestionBank.course)
        .where(QuestionBank.uuid == uuid)
    )
    if lock:
        query = query.with_for_update(of=QuestionBank, key_share=True)
    row = (await session.execute(query)).one_or_none()
    if row is None or row[0].deleted_at is not None or not teaches(who, row[1]):
        raise NotFound
    bank: QuestionBank = row[0]
    return bank


async def access_question(session: AsyncSession, place: Quiz | QuestionBank, number: UUID) -> Question:
    """A question of this quiz or bank. Raises NotFound."""
    question = await session.get(Question, number)
    if question is None or place.uuid not in (question.quiz, question.bank):
        raise NotFound
    return question


async def access_attempt(session: AsyncSession, who: Principal, uuid: UUID) -> tuple[Attempt, Quiz, bool]:
    """An attempt, its quiz, and whether they may grade it: its learner may only see it. Raises NotFound."""
    row = (
        await session.execute(
            select(Attempt, Quiz, Course.instructor, Course.instructors)
            .join(Quiz, Quiz.uuid == Attempt.quiz)
            .join(Course, Course.uuid == Quiz.course)
            .where(Attempt.uuid == uuid)
        )
    ).one_or_none()
    if row is None:
        raise NotFound
    attempt, quiz = row[0], row[1]
    taught = teaches(who, row) and attempt.student != who.user
    if attempt.student != who.user and not taught:
        raise NotFound
    return attempt, quiz, taught


async def refuse_others(session: AsyncSession, who: Principal, uuid: UUID) -> None:
    """Only its learner writes in an attempt. Raises Forbidden for those who may see it, else NotFound."""
    attempt, _, _ = await access_attempt(session, who, uuid)
    if attempt.student != who.user:
        raise Forbidden("Only the learner writes in an attempt.")


async def hold_quiz(session: AsyncSession, quiz: Quiz) -> None:
    """Lock a quiz against changes until the transaction ends; those who hold it so do not wait for each
    other."""
    await session.refresh(quiz, with_for_update={"read": True})


async def find_extension(session: AsyncSession, quiz: UUID, student: UUID) -> QuizExtension | None:
    """What a learner has beyond others in a quiz."""
    found: QuizExtension | None = await session.scalar(
        select(QuizExtension).where(QuizExtension.quiz == quiz, QuizExtension.student == student)
    )
    return found
