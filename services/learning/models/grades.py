"""Tables of grades: policies, and the history of whatever decides about a grade."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate
from services.learning.models.base import Base


class GradingPolicy(Aggregate, Base):
    """How the grades of a course come about; every version is kept in `grading_policy_versions`."""

    __tablename__ = "grading_policies"
    __topics__ = ("learning.events",)

    course: Mapped[UUID] = mapped_column(unique=True)


class GradingPolicyVersion(Base):
    """A policy from `saved_at` until the next one: append-only, so that the past can be graded as it was."""

    __tablename__ = "grading_policy_versions"

    policy: Mapped[UUID] = mapped_column(ForeignKey("grading_policies.uuid"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]
    saved_at: Mapped[datetime]
    saved_by: Mapped[UUID]
    event: Mapped[UUID | None]


class GradeRecord(Base):
    """Where a learner stands with an item from `at` on: append-only, the newest up to a moment counts.

    `score` is out of `points`, before any cost of lateness; `event` is the published fact behind it, null for
    grades that are older than this history.
    """

    __tablename__ = "grade_marks"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    course: Mapped[UUID]
    item: Mapped[UUID]
    student: Mapped[UUID]
    status: Mapped[str]
    score: Mapped[Decimal | None]
    points: Mapped[Decimal]
    late_seconds: Mapped[int]
    at: Mapped[datetime]
    event: Mapped[UUID | None]

    __table_args__ = (
        CheckConstraint("status IN ('submitted', 'graded', 'excused', 'open')", name="status"),
        CheckConstraint("(score IS NOT NULL) = (status = 'graded')", name="score"),
        Index(None, "course", "item", "student", "at"),
    )


class GradeFact(Base):
    """What else decides about grades, from `at` on: append-only, so that the past can be graded as it was.

    By kind: an `item` (`subject` is the quiz or assignment; null content: deleted or withdrawn), a `seat` in
    the course (`subject` is the student; null: left), an `extension` (`student`'s, of the quiz `subject`).
    """

    __tablename__ = "grade_facts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    course: Mapped[UUID]
    kind: Mapped[str]
    subject: Mapped[UUID]
    student: Mapped[UUID | None] = mapped_column(index=True)
    content: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("kind IN ('item', 'seat', 'extension')", name="kind"),
        Index(None, "course", "kind", "subject", "student", "at"),
    )
