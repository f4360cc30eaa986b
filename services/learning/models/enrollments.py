"""Table of enrolments."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Numeric, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate
from services.learning.models.base import Base

UNDERWAY = ("enrolled", "in_progress")
"""Statuses of active learners: in the course, and not done with it."""
ENROLLED = frozenset({*UNDERWAY, "completed"})
"""Statuses of learners who are in the course."""


class Enrollment(Aggregate, Base):
    """A learner in a course: enrolled → in_progress → completed; or dropped, and taken up again.

    One per course and student, for ever. Who waits for a seat has `waiting_since`: a new row is `waitlisted`
    then, and goes again if they wait no longer; a dropped one stays dropped. A completed enrolment never
    changes its status, revision or progress. `study_seconds` and `points` are the sums over its lessons.
    """

    __tablename__ = "enrollments"
    __topics__ = ("learning.events", "learning.enrollments")

    course: Mapped[UUID]
    student: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[str]
    revision: Mapped[int | None]
    completed_lessons: Mapped[list[UUID]] = mapped_column(default=list)
    progress_percentage: Mapped[Decimal] = mapped_column(Numeric(5, 2), default=Decimal(0))
    final_score: Mapped[Decimal | None]
    enrolled_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    last_accessed: Mapped[datetime | None]
    study_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    points: Mapped[int] = mapped_column(default=0, server_default="0")
    waiting_since: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("course", "student"),
        CheckConstraint(
            "status IN ('waitlisted', 'enrolled', 'in_progress', 'completed', 'dropped')", name="status"
        ),
        CheckConstraint("progress_percentage BETWEEN 0 AND 100", name="progress"),
        CheckConstraint("(status = 'completed') = (completed_at IS NOT NULL)", name="completed"),
        CheckConstraint("status <> 'waitlisted' OR waiting_since IS NOT NULL", name="waiting"),
        Index(
            "ix_enrollments_waiting",
            "course",
            "waiting_since",
            postgresql_where=text("waiting_since IS NOT NULL"),
        ),
    )

    @property
    def shown_status(self) -> str:
        """The status that the API answers."""
        return "waitlisted" if self.waiting_since else self.status
