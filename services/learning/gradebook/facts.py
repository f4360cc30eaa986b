"""What decides about grades beside marks and policies, at any moment: items, seats and extensions.

The tables of quizzes, assignments, enrolments and extensions say how things are; `grade_facts` how they were.
Whoever changes one of them notes it in the same transaction, under the lock that the change holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.tables import among
from services.learning.enrollments.rules import SEATED
from services.learning.models import Assignment, Enrollment, GradeFact, Question, Quiz, QuizExtension
from services.learning.quizzes.queries import totals

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
    return await _items(session, Quiz.course == course, Assignment.course == course)


async def _items(
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
        .where(among(Question.quiz, (quiz.uuid for quiz in quizzes)))
        .group_by(Question.quiz)
    )
    found: dict[UUID | None, Decimal] = {quiz: points for quiz, points in own}
    return {
        quiz.uuid: (await totals(session, quiz))[1] if quiz.pools else found.get(quiz.uuid, Decimal(0))
        for quiz in quizzes
    }


async def items_at(session: AsyncSession, course: UUID, as_of: datetime) -> dict[UUID, ItemFact]:
    """The same at a past moment."""
    found = {
        subject: item_fact(content)
        for subject, _, content in await _newest(session, GradeFact.course == course, "item", as_of)
        if content is not None
    }
    return dict(sorted(found.items(), key=lambda each: (each[1].kind != "quiz", each[1].created_at, each[0])))


async def learners_at(session: AsyncSession, course: UUID, as_of: datetime | None) -> set[UUID]:
    """Who has a seat, or had one at that moment."""
    if as_of is None:
        seated = await session.scalars(
            select(Enrollment.student).where(Enrollment.course == course, Enrollment.status.in_(SEATED))
        )
        return set(seated)
    facts = await _newest(session, GradeFact.course == course, "seat", as_of)
    return {student for student, _, content in facts if content is not None}


async def closes_at(
    session: AsyncSession, course: UUID, as_of: datetime | None
) -> dict[tuple[UUID, UUID], datetime]:
    """By quiz and learner, until when an extension lets them, or let them at that moment."""
    if as_of is None:
        rows = await session.execute(
            select(QuizExtension.quiz, QuizExtension.student, QuizExtension.closes_at)
            .join(Quiz, Quiz.uuid == QuizExtension.quiz)
            .where(Quiz.course == course)
        )
        return {(quiz, student): moment for quiz, student, moment in rows if moment is not None}
    facts = await _newest(session, GradeFact.course == course, "extension", as_of)
    return {
        (quiz, student): datetime.fromisoformat(content["closes_at"])
        for quiz, student, content in facts
        if content is not None and student is not None
    }


async def _newest(
    session: AsyncSession, condition: ColumnElement[bool], kind: str, as_of: datetime | None
) -> Sequence[tuple[UUID, UUID | None, dict[str, Any] | None]]:
    """Subject, student and content of the newest fact of each: by id, which is given under its lock."""
    query = (
        select(GradeFact.subject, GradeFact.student, GradeFact.content)
        .where(condition, GradeFact.kind == kind)
        .ext(distinct_on(GradeFact.subject, GradeFact.student))
        .order_by(GradeFact.subject, GradeFact.student, GradeFact.id.desc())
    )
    if as_of is not None:
        query = query.where(GradeFact.at <= as_of)
    return [(subject, student, content) for subject, student, content in await session.execute(query)]


async def note_items(session: AsyncSession, course: UUID, items: Iterable[UUID], now: datetime) -> None:
    """Note how these quizzes and assignments are from now on, as far as the gradebook sees them."""
    wanted = list(items)
    await session.flush()
    live = await _items(session, among(Quiz.uuid, wanted), among(Assignment.uuid, wanted))
    known = {
        subject: content
        for subject, _, content in await _newest(
            session, (GradeFact.course == course) & among(GradeFact.subject, wanted), "item", None
        )
    }
    for uuid in wanted:
        fact = live.get(uuid)
        before = known.get(uuid)
        if fact == (item_fact(before) if before else None):
            continue
        content = fact.content() if fact else None
        session.add(GradeFact(course=course, kind="item", subject=uuid, content=content, at=now))


def note_seat(session: AsyncSession, enrollment: Enrollment, now: datetime) -> None:
    """Note that a seat was taken or given up."""
    content: dict[str, Any] | None = {} if enrollment.status in SEATED else None
    session.add(
        GradeFact(course=enrollment.course, kind="seat", subject=enrollment.student, content=content, at=now)
    )


def note_extension(session: AsyncSession, course: UUID, extension: QuizExtension, now: datetime) -> None:
    """Note until when a learner may take a quiz."""
    moment = extension.closes_at
    session.add(
        GradeFact(
            course=course, kind="extension", subject=extension.quiz, student=extension.student,
            content={"closes_at": moment.isoformat()} if moment else None, at=now,
        )
    )  # fmt: skip
