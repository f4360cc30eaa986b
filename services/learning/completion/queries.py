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

from libs.common.data.tables import is_any_of
from services.learning.completion.rules import ALL_LESSONS, Facts, Kind, Rule
from services.learning.gradebook import rules as grading
from services.learning.gradebook.queries import CourseGrades, load_grades
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
class Scores:
    """A learner's grades as shown, of what is posted: `current` of what is graded, `final` of everything that
    counts."""

    current: Decimal | None = None
    final: Decimal | None = None


@dataclass(frozen=True, slots=True)
class SavedRules:
    """A course's rules; version 0: none were saved, and the default holds."""

    version: int
    rules: tuple[Rule, ...]

    @property
    def ask_for_scores(self) -> bool:
        return "minimum_score" in self.kinds

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


async def rules_of(session: AsyncSession, course: UUID) -> SavedRules:
    row = (
        await session.execute(
            select(CompletionRules.version, CompletionRules.content).where(CompletionRules.course == course)
        )
    ).one_or_none()
    if row is None:
        return SavedRules(0, (ALL_LESSONS,))
    return SavedRules(row[0], tuple(as_rule(content) for content in row[1]))


async def facts_of(
    session: AsyncSession,
    saved: SavedRules,
    course: UUID,
    lessons: Sequence[UUID],
    enrollments: Sequence[Enrollment],
    now: datetime,
) -> dict[UUID, Facts]:
    """By student: as much as the rules need."""
    uuids = [enrollment.uuid for enrollment in enrollments]
    passed: dict[UUID, set[UUID]] = {}
    graded: dict[UUID, set[UUID]] = {}
    items: set[UUID] = set()
    scores: dict[UUID, Scores] = {}
    if "quiz_passed" in saved.kinds:
        quizzes = select(Quiz.uuid).where(Quiz.course == course, Quiz.is_published, Quiz.deleted_at.is_(None))
        items.update(await session.scalars(quizzes))
        passed = await _passed_quizzes(session, uuids)
    if "assignment_graded" in saved.kinds:
        assignments = select(Assignment.uuid).where(
            Assignment.course == course, Assignment.deleted_at.is_(None)
        )
        items.update(await session.scalars(assignments))
        graded = await _graded_assignments(session, uuids)
    if saved.ask_for_scores:
        only = enrollments[0].student if len(enrollments) == 1 else None
        scores = await _all_scores(session, course, now, only)
    none = Scores()
    return {
        enrollment.student: Facts(
            lessons,
            enrollment.completed_lessons,
            scores.get(enrollment.student, none).final,
            passed.get(enrollment.uuid, ()),
            graded.get(enrollment.uuid, ()),
            items,
            scores.get(enrollment.student, none).current,
        )
        for enrollment in enrollments
    }


async def _passed_quizzes(session: AsyncSession, enrollments: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """By enrolment, quizzes passed or excused from."""
    found = defaultdict[UUID, set[UUID]](set)
    passed = select(QuizResult.quiz, QuizResult.enrollment).where(
        is_any_of(QuizResult.enrollment, enrollments), QuizResult.finished_at.is_not(None)
    )
    excused = (
        select(QuizExtension.quiz, Enrollment.uuid)
        .join(Enrollment, Enrollment.student == QuizExtension.student)
        .join(Quiz, (Quiz.uuid == QuizExtension.quiz) & (Quiz.course == Enrollment.course))
        .where(QuizExtension.excused, is_any_of(Enrollment.uuid, enrollments))
    )
    for query in (passed, excused):
        for quiz, enrollment in await session.execute(query):
            found[enrollment].add(quiz)
    return found


async def _graded_assignments(session: AsyncSession, enrollments: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """By enrolment, assignments with a posted grade or excuse."""
    found = defaultdict[UUID, set[UUID]](set)
    given = or_(
        Submission.status == "excused",
        and_(Submission.score.is_not(None), Submission.graded_at.is_not(None)),
    )
    rows = await session.execute(
        select(Submission.assignment, Submission.enrollment)
        .join(Assignment, Assignment.uuid == Submission.assignment)
        .where(is_any_of(Submission.enrollment, enrollments), Assignment.posted, given)
    )
    for assignment, enrollment in rows:
        found[enrollment].add(assignment)
    return found


async def load_scores(session: AsyncSession, enrollment: Enrollment, now: datetime) -> Scores:
    """A learner's grades as shown, of what is posted. Once the course is completed, of the items that were
    there then: that is what a certificate says."""
    grades = await load_grades(
        session,
        enrollment.course,
        now,
        student=enrollment.student,
        posted_only=True,
        items_as_of=enrollment.completed_at,
    )
    return _scores(grades, enrollment.student)


async def _all_scores(
    session: AsyncSession, course: UUID, now: datetime, student: UUID | None
) -> dict[UUID, Scores]:
    """By student, the same for everybody underway, or for one."""
    grades = await load_grades(session, course, now, student=student, posted_only=True)
    return {user: _scores(grades, user) for user in grades.item_grades}


def _scores(grades: CourseGrades, student: UUID) -> Scores:
    item_grades = [each.item_grade for each in grades.item_grades.get(student, ())]
    current, final = (
        grading.rounded(grading.grade(grades.policy.terms, item_grades, view).percentage)
        for view in ("current", "final")
    )
    return Scores(current, final)
