"""What decides whether learners have completed a course, for one or for many."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.tables import among
from services.learning.completion.rules import ALL_LESSONS, Facts, Kind, Rule
from services.learning.gradebook import rules as grading
from services.learning.gradebook.queries import load_book
from services.learning.models import (
    Assignment,
    CompletionRules,
    Enrollment,
    Quiz,
    QuizExtension,
    QuizResult,
    Submission,
)


@dataclass(frozen=True, slots=True)
class Saved:
    """A course's rules; version 0: none were saved, and the default holds."""

    version: int
    rules: tuple[Rule, ...]

    @property
    def kinds(self) -> set[Kind]:
        return {rule.kind for rule in self.rules}


def as_rule(content: dict[str, Any]) -> Rule:
    """A rule as its row keeps it."""
    subject = content.get("quiz") or content.get("assignment")
    return Rule(
        content["kind"],
        frozenset(UUID(lesson) for lesson in content.get("lessons", ())),
        Decimal(content.get("score", 0)),
        UUID(subject) if subject else None,
    )


async def rules_of(session: AsyncSession, course: UUID) -> Saved:
    row = (
        await session.execute(
            select(CompletionRules.version, CompletionRules.content).where(CompletionRules.course == course)
        )
    ).one_or_none()
    if row is None:
        return Saved(0, (ALL_LESSONS,))
    return Saved(row[0], tuple(as_rule(content) for content in row[1]))


async def facts_of(
    session: AsyncSession,
    saved: Saved,
    course: UUID,
    lessons: Sequence[UUID],
    enrollments: Sequence[Enrollment],
    now: datetime,
) -> dict[UUID, Facts]:
    """By student: as much as the rules need."""
    uuids = [enrollment.uuid for enrollment in enrollments]
    passed, graded = defaultdict[UUID, set[UUID]](set), defaultdict[UUID, set[UUID]](set)
    items: set[UUID] = set()
    scores: dict[UUID, Decimal | None] = {}
    if "quiz_passed" in saved.kinds:
        items.update(
            await session.scalars(
                select(Quiz.uuid).where(Quiz.course == course, Quiz.is_published, Quiz.deleted_at.is_(None))
            )
        )
        for quiz, enrollment in await session.execute(
            select(QuizResult.quiz, QuizResult.enrollment).where(
                among(QuizResult.enrollment, uuids), QuizResult.finished_at.is_not(None)
            )
        ):
            passed[enrollment].add(quiz)
        for quiz, enrollment in await session.execute(
            select(QuizExtension.quiz, Enrollment.uuid)
            .join(Enrollment, Enrollment.student == QuizExtension.student)
            .join(Quiz, (Quiz.uuid == QuizExtension.quiz) & (Quiz.course == Enrollment.course))
            .where(QuizExtension.excused, among(Enrollment.uuid, uuids))
        ):
            passed[enrollment].add(quiz)
    if "assignment_graded" in saved.kinds:
        items.update(
            await session.scalars(
                select(Assignment.uuid).where(Assignment.course == course, Assignment.deleted_at.is_(None))
            )
        )
        for assignment, enrollment in await session.execute(
            select(Submission.assignment, Submission.enrollment)
            .join(Assignment, Assignment.uuid == Submission.assignment)
            .where(
                among(Submission.enrollment, uuids),
                Assignment.posted,
                or_(
                    Submission.status == "excused",
                    and_(Submission.score.is_not(None), Submission.graded_at.is_not(None)),
                ),
            )
        ):
            graded[enrollment].add(assignment)
    if "minimum_score" in saved.kinds:
        only = enrollments[0].student if len(enrollments) == 1 else None
        scores = await final_scores(session, course, now, only)
    return {
        enrollment.student: Facts(
            lessons,
            enrollment.completed_lessons,
            scores.get(enrollment.student),
            passed[enrollment.uuid],
            graded[enrollment.uuid],
            items,
        )
        for enrollment in enrollments
    }


async def final_score(session: AsyncSession, enrollment: Enrollment, now: datetime) -> Decimal | None:
    """What a certificate says: the current grade as shown, of what is posted.

    Once the course is completed, of the items that were there then.
    """
    book = await load_book(
        session,
        enrollment.course,
        now,
        student=enrollment.student,
        posted_only=True,
        items_as_of=enrollment.completed_at,
    )
    marks = [each.mark for each in book.marks.get(enrollment.student, ())]
    return grading.shown(grading.grade(book.policy.terms, marks, "current").percentage)


async def final_scores(
    session: AsyncSession, course: UUID, now: datetime, student: UUID | None
) -> dict[UUID, Decimal | None]:
    """By student, what they have of everything that counts, as shown; of what is posted."""
    book = await load_book(session, course, now, student=student, posted_only=True)
    return {
        user: grading.shown(
            grading.grade(book.policy.terms, [each.mark for each in marks], "final").percentage
        )
        for user, marks in book.marks.items()
    }
