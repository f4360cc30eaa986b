"""What the gradebook grades: quizzes that count and assignments, as they are, or were at a past moment."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.tables import is_any_of
from services.learning.models import Assignment, Question, Quiz

COUNTED_QUIZZES = ("graded", "final")


@dataclass(frozen=True, slots=True)
class ItemFact:
    """A quiz or an assignment as the gradebook sees it.

    `due_at` of a quiz is when it closes, `shows` when its policy shows scores; `posted`, `group` and
    `extra_credit` are an assignment's.
    """

    kind: str
    title: str
    points: Decimal
    due_at: datetime | None
    created_at: datetime
    shows: str | None = None
    posted: bool = True
    group: UUID | None = None
    extra_credit: bool = False

    def content(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "kind": self.kind,
            "title": self.title,
            "points": f"{self.points.normalize():f}",
            "due_at": self.due_at and self.due_at.isoformat(),
            "created_at": self.created_at.isoformat(),
            "shows": self.shows,
            "posted": self.posted,
            "group": self.group and str(self.group),
            "extra_credit": self.extra_credit,
        }


NAMES = {field.name for field in fields(ItemFact)}


def item_fact(content: dict[str, Any]) -> ItemFact:
    """What `ItemFact.content` made."""
    values = {name: value for name, value in content.items() if name in NAMES}
    for name in ("due_at", "created_at"):
        values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
    values["points"] = Decimal(values["points"])
    values["group"] = UUID(values["group"]) if values.get("group") else None
    return ItemFact(**values)


async def items_now(session: AsyncSession, course: UUID) -> dict[UUID, ItemFact]:
    """Published quizzes that count, then assignments, oldest first."""
    return await items_where(session, Quiz.course == course, Assignment.course == course)


async def items_where(
    session: AsyncSession, quizzes: ColumnElement[bool], assignments: ColumnElement[bool]
) -> dict[UUID, ItemFact]:
    rows = (
        await session.scalars(
            select(Quiz)
            .where(quizzes, Quiz.kind.in_(COUNTED_QUIZZES), Quiz.is_published, Quiz.deleted_at.is_(None))
            .order_by(Quiz.created_at, Quiz.uuid)
        )
    ).all()
    possible = await _possible_points(session, rows)
    found = {
        quiz.uuid: ItemFact(
            "quiz", quiz.title, possible[quiz.uuid], quiz.closes_at, quiz.created_at, quiz.feedback["score"]
        )
        for quiz in rows
    }
    works = await session.scalars(
        select(Assignment)
        .where(assignments, Assignment.deleted_at.is_(None))
        .order_by(Assignment.created_at, Assignment.uuid)
    )
    for work in works:
        found[work.uuid] = ItemFact(
            "assignment", work.title, work.points, work.due_at, work.created_at, None, work.posted,
            work.group, work.extra_credit,
        )  # fmt: skip
    return found


async def _possible_points(session: AsyncSession, quizzes: Sequence[Quiz]) -> dict[UUID, Decimal]:
    """The most that each quiz can bring, with what is drawn from banks."""
    own = await session.execute(
        select(Question.quiz, func.sum(Question.points))
        .where(is_any_of(Question.quiz, (quiz.uuid for quiz in quizzes)))
        .group_by(Question.quiz)
    )
    found: dict[UUID | None, Decimal] = {quiz: points for quiz, points in own}
    return {
        quiz.uuid: (await quiz_totals(session, quiz))[1] if quiz.pools else found.get(quiz.uuid, Decimal(0))
        for quiz in quizzes
    }


async def quiz_totals(session: AsyncSession, quiz: Quiz) -> tuple[int, Decimal]:
    """Number of questions of an attempt, and the most points that it can bring."""
    points = list(await session.scalars(select(Question.points).where(Question.quiz == quiz.uuid)))
    for pool in quiz.pools:
        points += await session.scalars(
            select(Question.points)
            .where(Question.bank == UUID(pool["bank"]))
            .order_by(Question.points.desc())
            .limit(pool["pick"])
        )
    return len(points), sum(points, Decimal(0))
