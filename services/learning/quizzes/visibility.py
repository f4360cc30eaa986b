"""What learners may see of their scores changes by itself: a quiz closes, or its policy becomes another.

Others learn of it from the attempt's next `quiz_graded`. `attempts.score_shown` is what the last one said.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.tables import among
from libs.common.trace import new_trace
from services.learning.models import Attempt, Quiz, QuizExtension
from services.learning.quizzes import rules
from services.learning.quizzes.results import earned, publish_graded, read_pinned

_SEEN = """CASE q.feedback->>'score' WHEN 'immediately' THEN true
 WHEN 'after_close' THEN q.closes_at IS NOT NULL AND :before > {close} ELSE false END"""
# Few rows of each quiz say the opposite of what the quiz says by now: an index finds them. Among them are
# learners with a later close of their own.
OTHERWISE = text(
    "SELECT a.uuid FROM quizzes q JOIN attempts a ON a.quiz = q.uuid AND a.status = 'graded'"
    f" AND a.score_shown = NOT {_SEEN.format(close='q.closes_at')}"
    " LEFT JOIN quiz_extensions e ON e.quiz = a.quiz AND e.student = a.student"
    " WHERE q.kind <> 'survey' AND q.deleted_at IS NULL AND a.uuid > :after"
    f" AND a.score_shown <> {_SEEN.format(close='greatest(q.closes_at, e.closes_at)')}"
    " ORDER BY a.uuid LIMIT :limit"
)


async def list_otherwise(session: AsyncSession, now: datetime, after: UUID, limit: int) -> Sequence[UUID]:
    """Graded attempts whose last event no longer tells whether their learner may see the score."""
    values = {"before": now - rules.GRACE, "after": after, "limit": limit}
    return (await session.scalars(OTHERWISE, values)).all()


async def tell_visibility(session: AsyncSession, uuids: Sequence[UUID], now: datetime) -> None:
    """Publish these attempts again where that is so. Locks: their quizzes, shared; the attempts in order."""
    mine = select(Attempt.quiz).where(among(Attempt.uuid, uuids))
    held = select(Quiz).where(Quiz.uuid.in_(mine)).order_by(Quiz.uuid).with_for_update(read=True)
    quizzes = {quiz.uuid: quiz for quiz in await session.scalars(held)}
    attempts = await session.scalars(
        select(Attempt)
        .where(among(Attempt.uuid, uuids), Attempt.status == "graded")
        .order_by(Attempt.uuid)
        .with_for_update(key_share=True)
    )
    rows = await session.execute(
        select(QuizExtension.quiz, QuizExtension.student, QuizExtension.closes_at).where(
            among(QuizExtension.quiz, quizzes)
        )
    )
    later = {(quiz, student): closes_at for quiz, student, closes_at in rows}
    questions = await read_pinned(session, uuids)
    for attempt in attempts.all():
        quiz = quizzes[attempt.quiz]
        closes_at = rules.latest_close(quiz.closes_at, later.get((quiz.uuid, attempt.student)))
        shown = rules.is_visible(quiz.feedback["score"], closes_at, now)
        if shown == attempt.score_shown:
            continue
        attempt.score_shown = shown
        results = [(question, earned(question)) for question in questions[attempt.uuid]]
        publish_graded(session, attempt, quiz, results, is_regrade=False, trace=new_trace())
    await session.flush()
