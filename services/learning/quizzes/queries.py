"""Reads of quizzes: what a teacher sees, what a learner sees."""

import random
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.paging import Paging, paginate
from services.learning.access import taught_by, teaches
from services.learning.gradebook.items import quiz_totals
from services.learning.models import ENROLLED, Attempt, Course, Enrollment, Question, Quiz
from services.learning.quizzes import rules
from services.learning.quizzes.access import find_extension
from services.learning.quizzes.schemas import (
    QuizStudentRead,
    QuizTeacherRead,
    extension_read,
    question_read,
    quiz_fields,
)


async def list_questions(session: AsyncSession, quiz: UUID) -> Sequence[Question]:
    """In their order."""
    query = select(Question).where(Question.quiz == quiz).order_by(Question.position, Question.uuid)
    return (await session.scalars(query)).all()


async def draw_questions(session: AsyncSession, quiz: Quiz, count: int) -> list[list[Question]]:
    """For each of `count` attempts the quiz's own in their order, then some of its pools, at random."""
    own = await list_questions(session, quiz.uuid)
    drawn: list[list[UUID]] = [[] for _ in range(count)]
    for pool in quiz.pools:
        there = (
            await session.scalars(select(Question.uuid).where(Question.bank == UUID(pool["bank"])))
        ).all()
        for numbers in drawn:
            numbers += random.sample(there, min(pool["pick"], len(there)))
    wanted = {number for numbers in drawn for number in numbers}
    found: dict[UUID, Question] = {}
    if wanted:
        rows = await session.scalars(select(Question).where(Question.uuid.in_(wanted)))
        found = {question.uuid: question for question in rows}
    return [[*own, *(found[number] for number in numbers if number in found)] for numbers in drawn]


async def for_teacher(session: AsyncSession, quiz: Quiz, *, whole: bool = True) -> QuizTeacherRead:
    questions = await list_questions(session, quiz.uuid) if whole else ()
    attempts = await session.scalar(
        select(func.count()).select_from(Attempt).where(Attempt.quiz == quiz.uuid)
    )
    return QuizTeacherRead(
        **quiz_fields(quiz, *await quiz_totals(session, quiz)),
        questions=[question_read(question) for question in questions] if whole else None,
        attempts_count=attempts or 0,
    )


async def for_student(session: AsyncSession, quiz: Quiz, student: UUID) -> QuizStudentRead:
    extension = await find_extension(session, quiz.uuid, student)
    attempts = (
        await session.execute(
            select(Attempt.uuid, Attempt.status).where(Attempt.quiz == quiz.uuid, Attempt.student == student)
        )
    ).all()
    allowed = rules.attempts_allowed(quiz.attempts_allowed, extension.extra_attempts if extension else 0)
    return QuizStudentRead(
        **quiz_fields(quiz, *await quiz_totals(session, quiz)),
        extension=extension_read(extension, quiz.time_zone) if extension else None,
        attempts_used=len(attempts),
        attempts_left=None if allowed is None else max(0, allowed - len(attempts)),
        open_attempt=next((uuid for uuid, status in attempts if status == "in_progress"), None),
    )


async def list_quizzes(
    session: AsyncSession, who: Principal, course: UUID | None, lesson: UUID | None, page: Paging
) -> tuple[int, list[QuizTeacherRead | QuizStudentRead]]:
    """Quizzes of the teacher's courses, and published ones of courses that one is enrolled in."""
    enrolled = select(Enrollment.course).where(
        Enrollment.student == who.user, Enrollment.status.in_(ENROLLED)
    )
    visible: ColumnElement[bool] = and_(Quiz.is_published, Quiz.course.in_(enrolled))
    if at_least(who, "teacher"):
        visible = or_(visible, Quiz.course.in_(select(Course.uuid).where(taught_by(who))))
    query = select(Quiz).where(Quiz.deleted_at.is_(None), visible)
    if course is not None:
        query = query.where(Quiz.course == course)
    if lesson is not None:
        query = query.where(Quiz.lesson == lesson)
    count, quizzes = await paginate(session, query.order_by(Quiz.created_at.desc(), Quiz.uuid), page)
    courses = {
        found.uuid: found
        for found in await session.scalars(
            select(Course).where(Course.uuid.in_({quiz.course for quiz in quizzes}))
        )
    }
    shown: list[QuizTeacherRead | QuizStudentRead] = []
    for quiz in quizzes:
        if teaches(who, courses[quiz.course]):
            shown.append(await for_teacher(session, quiz, whole=False))
        else:
            shown.append(await for_student(session, quiz, who.user))
    return count, shown
