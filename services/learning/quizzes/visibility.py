"""What learners may see of their scores changes by itself: a quiz closes, or its policy becomes another.

Others learn of it from the attempt's next `quiz_graded`. `attempts.score_shown` is what the last one said.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from libs.common.data.tables import is_any_of
from libs.common.runtime.trace import new_trace
from services.learning.models import Attempt, Quiz, QuizExtension
from services.learning.quizzes.results import points_earned, publish_graded, read_pinned
from services.learning.windows import GRACE, is_visible, latest_close

OWN_CLOSE = func.greatest(Quiz.closes_at, QuizExtension.closes_at)
"""When a quiz that closes does so for a learner, with what `own_extension` joins."""


def own_extension(student: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Joins the learner's extension of the quiz."""
    return and_(QuizExtension.quiz == Quiz.uuid, QuizExtension.student == student)


def is_seen(what: str, before: Any, closes_at: ColumnElement[Any]) -> ColumnElement[bool]:
    """`is_visible` in SQL; `before` is the moment less the grace."""
    policy = Quiz.feedback[what].astext
    closed = and_(policy == "after_close", Quiz.closes_at.is_not(None), closes_at < before)
    return or_(policy == "immediately", closed)


async def list_otherwise(session: AsyncSession, now: datetime, after: UUID, limit: int) -> Sequence[UUID]:
    """Graded attempts whose last event no longer tells whether their learner may see the score."""
    before = now - GRACE
    query = (
        select(Attempt.uuid)
        .join(Quiz, Quiz.uuid == Attempt.quiz)
        .outerjoin(QuizExtension, own_extension(Attempt.student))
        .where(
            Quiz.kind != "survey",
            Quiz.deleted_at.is_(None),
            Attempt.status == "graded",
            # Few rows of each quiz say the opposite of what the quiz says by now: an index finds them. Among
            # them are learners with a later close of their own.
            Attempt.score_shown == not_(is_seen("score", before, Quiz.closes_at.expression)),
            Attempt.score_shown != is_seen("score", before, OWN_CLOSE),
            Attempt.uuid > after,
        )
    )
    return (await session.scalars(query.order_by(Attempt.uuid).limit(limit))).all()


async def tell_visibility(session: AsyncSession, uuids: Sequence[UUID], now: datetime) -> None:
    """Publish these attempts again where that is so. Locks: their quizzes, shared; the attempts in order."""
    mine = select(Attempt.quiz).where(is_any_of(Attempt.uuid, uuids))
    held = select(Quiz).where(Quiz.uuid.in_(mine)).order_by(Quiz.uuid).with_for_update(read=True)
    quizzes = {quiz.uuid: quiz for quiz in await session.scalars(held)}
    attempts = await session.scalars(
        select(Attempt)
        .where(is_any_of(Attempt.uuid, uuids), Attempt.status == "graded")
        .order_by(Attempt.uuid)
        .with_for_update(key_share=True)
    )
    rows = await session.execute(
        select(QuizExtension.quiz, QuizExtension.student, QuizExtension.closes_at).where(
            is_any_of(QuizExtension.quiz, quizzes)
        )
    )
    later = {(quiz, student): closes_at for quiz, student, closes_at in rows}
    questions = await read_pinned(session, uuids)
    for attempt in attempts.all():
        quiz = quizzes[attempt.quiz]
        closes_at = latest_close(quiz.closes_at, later.get((quiz.uuid, attempt.student)))
        shown = is_visible(quiz.feedback["score"], closes_at, now)
        if shown == attempt.score_shown:
            continue
        attempt.score_shown = shown
        results = [(question, points_earned(question)) for question in questions[attempt.uuid]]
        publish_graded(session, attempt, quiz, results, is_regrade=False, trace=new_trace())
    await session.flush()
