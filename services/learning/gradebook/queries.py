"""What a gradebook is made of, at any moment: the policy, the items, the learners and their newest marks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from services.learning.enrollments.rules import SEATED
from services.learning.gradebook import rules
from services.learning.gradebook.schemas import PolicyBody
from services.learning.models import (
    Assignment,
    Enrollment,
    GradeMark,
    GradingPolicy,
    GradingPolicyVersion,
    Question,
    Quiz,
    QuizExtension,
    Submission,
    User,
)
from services.learning.quizzes.queries import totals
from services.learning.quizzes.rules import is_visible, latest_close

COUNTED_QUIZZES = ("graded", "final")


@dataclass(frozen=True, slots=True)
class SavedPolicy:
    """The policy at a moment; `uuid` None: none was saved by then, and the default holds."""

    uuid: UUID | None
    version: int
    body: PolicyBody
    terms: rules.Policy = field(init=False)
    """The same for grading."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", self.body.policy())


@dataclass(frozen=True, slots=True)
class BookItem:
    """An item with what is not the rules' business. `shows` is when a quiz's policy shows scores."""

    item: rules.Item
    kind: str
    due_at: datetime | None
    posted: bool
    shows: str | None = None

    def for_learner(self, extended: datetime | None, as_of: datetime) -> "BookItem":
        """As it is for somebody whose quiz closes later."""
        due_at = latest_close(self.due_at, extended)
        if self.shows is None or due_at == self.due_at:
            return self
        return replace(self, due_at=due_at, posted=is_visible(self.shows, due_at, as_of))


@dataclass(frozen=True, slots=True)
class BookMark:
    """A mark, the raw score that it came from, and the event that says so."""

    mark: rules.Mark
    raw: Decimal | None
    late_seconds: int
    event: UUID | None


@dataclass(frozen=True, slots=True)
class Book:
    """A gradebook at a moment: marks by learner, in the order of the items."""

    policy: SavedPolicy
    items: list[BookItem]
    names: dict[UUID, str]
    marks: dict[UUID, list[BookMark]]
    as_of: datetime


async def policy_at(session: AsyncSession, course: UUID, moment: datetime) -> SavedPolicy:
    row = (
        await session.execute(
            select(GradingPolicyVersion)
            .join(GradingPolicy, GradingPolicy.uuid == GradingPolicyVersion.policy)
            .where(GradingPolicy.course == course, GradingPolicyVersion.saved_at <= moment)
            .order_by(GradingPolicyVersion.number.desc())
            .limit(1)
        )
    ).scalar_one_or_none()
    if row is None:
        return SavedPolicy(None, 0, PolicyBody())
    return SavedPolicy(row.policy, row.number, PolicyBody.model_validate(row.content))


async def load_book(
    session: AsyncSession,
    course: UUID,
    as_of: datetime,
    *,
    student: UUID | None = None,
    policy: PolicyBody | None = None,
    posted_only: bool = False,
) -> Book:
    """All learners of a course, or one; under another policy than the saved one if one is given.

    With `posted_only` what a learner may not see yet is as if it were not graded. For one learner, items are
    due when they are for them.
    """
    saved = await policy_at(session, course, as_of)
    if policy is not None:
        saved = SavedPolicy(saved.uuid, saved.version, policy)
    items = await _items(session, course, as_of, saved.body)
    names = await _learners(session, course, student)
    newest = await _newest_marks(session, course, as_of, student)
    if posted_only:
        hidden = {item.item.uuid for item in items if not item.posted}
        for key in await _without_work(session, hidden):
            newest.pop(key, None)
    later = await _later_closes(session, course, student)
    marks = {
        learner: [
            _book_mark(
                item.for_learner(later.get((item.item.uuid, learner)), as_of),
                newest.get((item.item.uuid, learner)),
                saved,
                as_of,
                posted_only,
            )
            for item in items
        ]
        for learner in names
    }
    if student is not None:
        items = [item.for_learner(later.get((item.item.uuid, student)), as_of) for item in items]
    return Book(saved, items, names, marks, as_of)


async def _items(session: AsyncSession, course: UUID, as_of: datetime, policy: PolicyBody) -> list[BookItem]:
    placed = {item: group.uuid for group in policy.groups for item in group.items}
    extra = set(policy.extra_credit)
    quizzes = await session.scalars(
        select(Quiz)
        .where(Quiz.course == course, Quiz.kind.in_(COUNTED_QUIZZES), Quiz.published_at <= as_of)
        .where(Quiz.is_published, Quiz.deleted_at.is_(None))
        .order_by(Quiz.created_at, Quiz.uuid)
    )
    assignments = await session.scalars(
        select(Assignment)
        .where(Assignment.course == course, Assignment.created_at <= as_of, Assignment.deleted_at.is_(None))
        .order_by(Assignment.created_at, Assignment.uuid)
    )
    rows = quizzes.all()
    possible = await _possible_points(session, rows)
    found = [
        BookItem(
            rules.Item(
                quiz.uuid, quiz.title, possible[quiz.uuid], placed.get(quiz.uuid), quiz.uuid in extra
            ),
            "quiz",
            quiz.closes_at,
            is_visible(quiz.feedback["score"], quiz.closes_at, as_of),
            quiz.feedback["score"],
        )
        for quiz in rows
    ]  # fmt: skip
    found += [
        BookItem(
            rules.Item(
                work.uuid, work.title, work.points, placed.get(work.uuid, work.group),
                work.extra_credit or work.uuid in extra,
            ),
            "assignment",
            work.due_at,
            work.posted,
        )
        for work in assignments
    ]  # fmt: skip
    return found


async def _possible_points(session: AsyncSession, quizzes: Sequence[Quiz]) -> dict[UUID, Decimal]:
    """The most that each quiz can bring, with what is drawn from banks."""
    own = await session.execute(
        select(Question.quiz, func.sum(Question.points))
        .where(Question.quiz.in_([quiz.uuid for quiz in quizzes]))
        .group_by(Question.quiz)
    )
    found: dict[UUID | None, Decimal] = {quiz: points for quiz, points in own}
    return {
        quiz.uuid: (await totals(session, quiz))[1] if quiz.pools else found.get(quiz.uuid, Decimal(0))
        for quiz in quizzes
    }


async def _later_closes(
    session: AsyncSession, course: UUID, student: UUID | None
) -> dict[tuple[UUID, UUID], datetime | None]:
    """By quiz and learner, until when an extension lets them."""
    query = (
        select(QuizExtension.quiz, QuizExtension.student, QuizExtension.closes_at)
        .join(Quiz, Quiz.uuid == QuizExtension.quiz)
        .where(Quiz.course == course, QuizExtension.closes_at.is_not(None))
    )
    if student is not None:
        query = query.where(QuizExtension.student == student)
    return {(quiz, learner): closes_at for quiz, learner, closes_at in await session.execute(query)}


async def _learners(session: AsyncSession, course: UUID, student: UUID | None) -> dict[UUID, str]:
    query = (
        select(Enrollment.student, User.full_name)
        .outerjoin(User, User.uuid == Enrollment.student)
        .where(Enrollment.course == course, Enrollment.status.in_(SEATED))
        .order_by(User.full_name, Enrollment.student)
    )
    if student is not None:
        query = query.where(Enrollment.student == student)
    return {learner: name or "" for learner, name in await session.execute(query)}


async def _without_work(session: AsyncSession, assignments: set[UUID]) -> list[tuple[UUID, UUID]]:
    """By assignment and learner, who has handed in nothing: a hidden grade of theirs does not show at all."""
    rows = await session.execute(
        select(Submission.assignment, Submission.student).where(
            Submission.assignment.in_(assignments), Submission.number == 0
        )
    )
    return [(assignment, student) for assignment, student in rows]


class _Kept(NamedTuple):
    """A grade mark: plain, because a class has thousands."""

    item: UUID
    student: UUID
    status: str
    score: Decimal | None
    points: Decimal
    late_seconds: int
    event: UUID | None


async def _newest_marks(
    session: AsyncSession, course: UUID, as_of: datetime, student: UUID | None
) -> dict[tuple[UUID, UUID], _Kept]:
    query = (
        select(*(getattr(GradeMark, name) for name in _Kept._fields))
        .where(GradeMark.course == course, GradeMark.at <= as_of)
        .ext(distinct_on(GradeMark.item, GradeMark.student))
        .order_by(GradeMark.item, GradeMark.student, GradeMark.at.desc(), GradeMark.id.desc())
    )
    if student is not None:
        query = query.where(GradeMark.student == student)
    return {(row[0], row[1]): _Kept(*row) for row in await session.execute(query)}


def _book_mark(
    item: BookItem, kept: _Kept | None, policy: SavedPolicy, as_of: datetime, posted_only: bool
) -> BookMark:
    if kept is not None and kept.status != "submitted" and posted_only and not item.posted:
        return BookMark(rules.Mark(item.item, "submitted"), None, kept.late_seconds, None)
    status = rules.status_of(
        graded=kept is not None and kept.status == "graded",
        excused=kept is not None and kept.status == "excused",
        submitted=kept is not None,
        due_at=item.due_at,
        now=as_of,
    )
    if kept is None or kept.score is None:
        mark = rules.Mark(item.item, status)
        return BookMark(mark, None, 0, kept.event if kept is not None else None)
    # A quiz may have drawn other questions for this learner: what was possible for them counts.
    shaped = rules.Item(item.item.uuid, item.item.title, kept.points, item.item.group, item.item.extra_credit)
    late = policy.terms.late
    earned = rules.after_lateness(Fraction(kept.score), kept.points, kept.late_seconds, late)
    return BookMark(rules.Mark(shaped, status, earned), kept.score, kept.late_seconds, kept.event)
