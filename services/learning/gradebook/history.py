"""Whatever decides about grades, at any moment: grades, items, enrolments and extensions.

Other tables say how things are; `grade_marks` and `grade_facts` how they were. Whoever changes one of them
records it in the same transaction, under the lock that the change holds.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.tables import is_any_of
from services.learning.gradebook.items import ItemFact, item_fact, items_where
from services.learning.models import (
    ENROLLED,
    Assignment,
    Enrollment,
    GradeFact,
    GradeRecord,
    Quiz,
    QuizExtension,
)


def record_grade(
    session: AsyncSession,
    *,
    course: UUID,
    item: UUID,
    student: UUID,
    status: str,
    score: Decimal | None,
    points: Decimal,
    late_seconds: int,
    at: datetime,
    event: UUID,
) -> None:
    """Add a fact to the history of grades, in the transaction of the event that says it."""
    session.add(
        GradeRecord(
            course=course, item=item, student=student, status=status, score=score, points=points,
            late_seconds=late_seconds, at=at, event=event,
        )
    )  # fmt: skip


async def items_at(session: AsyncSession, course: UUID, as_of: datetime) -> dict[UUID, ItemFact]:
    """The same at a past moment."""
    found = {
        subject: item_fact(content)
        for subject, _, content in await _newest(session, GradeFact.course == course, "item", as_of)
        if content is not None
    }
    return dict(sorted(found.items(), key=lambda each: (each[1].kind != "quiz", each[1].created_at, each[0])))


async def learners_at(session: AsyncSession, course: UUID, as_of: datetime | None) -> set[UUID]:
    """Learners who are enrolled, or were at that moment."""
    if as_of is None:
        seated = await session.scalars(
            select(Enrollment.student).where(Enrollment.course == course, Enrollment.status.in_(ENROLLED))
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


async def record_items(session: AsyncSession, course: UUID, items: Iterable[UUID], now: datetime) -> None:
    """Record how these quizzes and assignments are from now on, as far as the gradebook sees them."""
    wanted = list(items)
    await session.flush()
    live = await items_where(session, is_any_of(Quiz.uuid, wanted), is_any_of(Assignment.uuid, wanted))
    known = {
        subject: content
        for subject, _, content in await _newest(
            session, (GradeFact.course == course) & is_any_of(GradeFact.subject, wanted), "item", None
        )
    }
    for uuid in wanted:
        fact = live.get(uuid)
        before = known.get(uuid)
        if fact == (item_fact(before) if before else None):
            continue
        content = fact.content() if fact else None
        session.add(GradeFact(course=course, kind="item", subject=uuid, content=content, at=now))


def record_extension(session: AsyncSession, course: UUID, extension: QuizExtension, now: datetime) -> None:
    """Record until when a learner may take a quiz."""
    moment = extension.closes_at
    session.add(
        GradeFact(
            course=course, kind="extension", subject=extension.quiz, student=extension.student,
            content={"closes_at": moment.isoformat()} if moment else None, at=now,
        )
    )  # fmt: skip
