"""Loading a quiz and authorising in one step. Hidden quizzes answer as if there were none (404)."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.errors import Forbidden, NotFound
from libs.common.tokens import Principal
from services.learning.access import is_seated, teaches
from services.learning.models import Course, Quiz


async def access_quiz(session: AsyncSession, who: Principal, uuid: UUID) -> tuple[Quiz, bool]:
    """A quiz that they may see, and whether they teach it: learners see published ones of their courses."""
    row = (
        await session.execute(
            select(Quiz, Course)
            .join(Course, Course.uuid == Quiz.course)
            .where(Quiz.uuid == uuid, Quiz.deleted_at.is_(None))
        )
    ).one_or_none()
    if row is None:
        raise NotFound
    quiz, course = row
    if teaches(who, course):
        return quiz, True
    if quiz.is_published and await is_seated(session, who, quiz.course):
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
