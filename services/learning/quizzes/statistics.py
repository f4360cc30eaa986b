"""Statistics of a quiz's questions, from the attempts that are handed in."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.tokens import Principal
from services.learning.models import Attempt, AttemptQuestion
from services.learning.quizzes import rules
from services.learning.quizzes.access import access_taught_quiz
from services.learning.quizzes.grading_schemas import QuestionStatistics, QuizStatistics
from services.learning.quizzes.kinds import kind_of
from services.learning.quizzes.kinds.regrades import counted_score


async def get_statistics(session: AsyncSession, who: Principal, uuid: UUID) -> QuizStatistics:
    """Of every question that a handed-in attempt had, also of banks and of those taken out since."""
    quiz = await access_taught_quiz(session, who, uuid)
    attempts = (
        await session.scalars(
            select(Attempt)
            .where(Attempt.quiz == quiz.uuid, Attempt.status != "in_progress")
            .order_by(Attempt.submitted_at)
        )
    ).all()
    rows = await session.scalars(
        select(AttemptQuestion)
        .join(Attempt, Attempt.uuid == AttemptQuestion.attempt)
        .where(Attempt.quiz == quiz.uuid, Attempt.status != "in_progress")
        .order_by(AttemptQuestion.position, Attempt.submitted_at)
    )
    by_question: dict[UUID, list[AttemptQuestion]] = defaultdict(list)
    for row in rows:
        by_question[row.question].append(row)
    totals = {attempt.uuid: attempt.score for attempt in attempts if attempt.score is not None}
    marks = [attempt.percentage for attempt in attempts if attempt.percentage is not None]
    passed = [attempt.passed for attempt in attempts if attempt.passed is not None]
    return QuizStatistics(
        attempts=len(attempts),
        waiting=sum(attempt.status == "submitted" for attempt in attempts),
        learners=len({attempt.student for attempt in attempts}),
        average_percentage=round(float(sum(marks) / len(marks)), 2) if marks else None,
        passed_percentage=round(100 * sum(passed) / len(passed), 2) if passed else None,
        questions=[_question(found, totals, graded=quiz.kind != "survey") for found in by_question.values()],
    )


def _question(
    found: Sequence[AttemptQuestion], totals: dict[UUID, Any], *, graded: bool
) -> QuestionStatistics:
    newest = found[-1]
    counted = {row.attempt: counted_score(row.content, row.points, row.score) for row in found}
    scores = {attempt: score for attempt, score in counted.items() if score is not None}
    shares = [
        float(scores[row.attempt] / row.points) for row in found if row.attempt in scores and row.points
    ]
    answers = [row.answer for row in found if row.answer is not None and row.kind == newest.kind]
    whole = [attempt for attempt in scores if attempt in totals]
    return QuestionStatistics(
        question=newest.question,
        kind=newest.kind,
        text=newest.text,
        attempts=len(found),
        answered=sum(row.answer is not None for row in found),
        average_points=round(float(sum(scores.values()) / len(scores)), 2) if scores else None,
        difficulty=round(100 * sum(shares) / len(shares), 2) if shares else None,
        discrimination=rules.discrimination(
            [float(scores[attempt]) for attempt in whole],
            [float(totals[attempt] - scores[attempt]) for attempt in whole],
        ),
        distribution=kind_of(newest.kind).statistics(newest.content, answers, graded=graded),
    )
