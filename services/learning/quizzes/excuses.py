"""Excuses: a quiz that does not count for one learner, whatever their attempts bring.

Locks: the quiz, shared; the learner's enrolment; the extension, which keeps the excuse.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.outbox import record
from libs.common.events.quizzes import QuizExcused
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.checks import want_checks
from services.learning.gradebook.history import record_grade
from services.learning.gradebook.items import COUNTED_QUIZZES, quiz_totals
from services.learning.models import Attempt, Quiz, QuizExtension
from services.learning.quizzes import rules
from services.learning.quizzes.access import access_taught_quiz, hold_quiz
from services.learning.quizzes.extensions import hold_extension
from services.learning.quizzes.schemas import ExcuseUpdate


async def excuse_learner(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    user: UUID,
    body: ExcuseUpdate,
    if_match: Precondition,
    now: datetime,
) -> QuizExtension:
    """Excuse a learner of the course from a quiz that counts, or take that back: then what they have reached
    counts again. The same again changes nothing. Raises NotFound."""
    quiz = await access_taught_quiz(session, who, uuid)
    await hold_quiz(session, quiz)
    if quiz.kind not in COUNTED_QUIZZES:
        raise Unprocessable.field("excused", f"a quiz that is {quiz.kind} counts for nobody")
    learner, extension = await hold_extension(session, quiz, user, if_match, now)
    if extension.version and extension.excused == body.excused:
        return extension
    extension.excused = body.excused
    extension.updated_at = now
    extension.version += 1
    event = QuizExcused(
        extension=extension.uuid,
        quiz=quiz.uuid,
        course=quiz.course,
        student=user,
        excused=body.excused,
        actor=who.user,
    )
    status, score, points = await _current_result(session, quiz, user)
    record_grade(
        session, course=quiz.course, item=quiz.uuid, student=user, points=points, late_seconds=0, at=now,
        status="excused" if body.excused else status, score=None if body.excused else score,
        event=record(session, event, extension.version),
    )  # fmt: skip
    details = {"student": str(user), "excused": body.excused}
    await write_entry(session, "quiz.excused", quiz.uuid, actor=who.user, details=details)
    await session.flush()
    await want_checks(session, [learner.enrollment.uuid], now)
    return extension


async def _current_result(
    session: AsyncSession, quiz: Quiz, student: UUID
) -> tuple[str, Decimal | None, Decimal]:
    """Where somebody stands by their attempts: status, points, and out of how many."""
    rows = await session.execute(
        select(Attempt.status, Attempt.percentage, Attempt.max_score)
        .where(Attempt.quiz == quiz.uuid, Attempt.student == student, Attempt.status != "in_progress")
        .order_by(Attempt.number)
    )
    handed_in = rows.all()
    if not handed_in:
        return "open", None, (await quiz_totals(session, quiz))[1]
    points = handed_in[-1].max_score
    percentage = rules.quiz_result(quiz.scoring, [p for _, p, _ in handed_in if p is not None])
    if percentage is None:
        return "submitted", None, points
    return "graded", percentage * points / 100, points
