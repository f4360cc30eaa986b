"""Reads of quizzes: what a teacher sees, what a learner sees."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.auth import at_least
from libs.common.paging import Paging, paginate
from libs.common.tokens import Principal
from services.learning.access import taught_by, teaches
from services.learning.enrollments.rules import SEATED
from services.learning.models import Attempt, Course, Enrollment, Question, Quiz
from services.learning.quizzes.schemas import QuizForStudent, QuizForTeacher, question_out, quiz_fields


async def list_questions(session: AsyncSession, quiz: UUID) -> Sequence[Question]:
    """In their order."""
    query = select(Question).where(Question.quiz == quiz).order_by(Question.position, Question.uuid)
    return (await session.scalars(query)).all()


async def for_teacher(session: AsyncSession, quiz: Quiz, *, whole: bool = True) -> QuizForTeacher:
    questions = await list_questions(session, quiz.uuid)
    attempts = await session.scalar(
        select(func.count()).select_from(Attempt).where(Attempt.quiz == quiz.uuid)
    )
    return QuizForTeacher(
        **quiz_fields(quiz, len(questions), sum((q.points for q in questions), start=quiz.pass_mark * 0)),
        questions=[question_out(question) for question in questions] if whole else None,
        attempts_count=attempts or 0,
    )


async def for_student(session: AsyncSession, quiz: Quiz, student: UUID) -> QuizForStudent:
    count, points = (
        await session.execute(
            select(func.count(), func.coalesce(func.sum(Question.points), 0)).where(
                Question.quiz == quiz.uuid
            )
        )
    ).one()
    attempts = (
        await session.execute(
            select(Attempt.uuid, Attempt.status).where(Attempt.quiz == quiz.uuid, Attempt.student == student)
        )
    ).all()
    allowed = quiz.attempts_allowed
    return QuizForStudent(
        **quiz_fields(quiz, count, points),
        attempts_used=len(attempts),
        attempts_left=None if allowed is None else max(0, allowed - len(attempts)),
        open_attempt=next((uuid for uuid, status in attempts if status == "in_progress"), None),
    )


async def list_quizzes(
    session: AsyncSession, who: Principal, course: UUID | None, lesson: UUID | None, page: Paging
) -> tuple[int, list[QuizForTeacher | QuizForStudent]]:
    """Those of the courses that one teaches, and the published ones of courses that one is enrolled in."""
    enrolled = select(Enrollment.course).where(Enrollment.student == who.user, Enrollment.status.in_(SEATED))
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
    shown: list[QuizForTeacher | QuizForStudent] = []
    for quiz in quizzes:
        if teaches(who, courses[quiz.course]):
            shown.append(await for_teacher(session, quiz, whole=False))
        else:
            shown.append(await for_student(session, quiz, who.user))
    return count, shown
