"""Tables of what learners do in lessons, and when they learnt."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.learning.models.base import Base


class LessonProgress(Base):
    """What a learner left in one lesson: position, study time, notes, completion. Publishes nothing."""

    __tablename__ = "lesson_progress"

    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), primary_key=True)
    lesson: Mapped[UUID] = mapped_column(primary_key=True)
    student: Mapped[UUID] = mapped_column(index=True)
    position_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    study_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    points: Mapped[int] = mapped_column(default=0, server_default="0")
    completed_at: Mapped[datetime | None]
    notes: Mapped[str] = mapped_column(default="", server_default="")
    notes_at: Mapped[datetime | None]


class StudyClock(Base):
    """Up to when a learner's time has been counted, over all courses: study time never passes wall clock."""

    __tablename__ = "study_clocks"

    student: Mapped[UUID] = mapped_column(primary_key=True)
    counted_until: Mapped[datetime]
    last_counted: Mapped[int]


class StudyDay(Base):
    """A day, the learner's own, on which they learnt something."""

    __tablename__ = "study_days"

    student: Mapped[UUID] = mapped_column(primary_key=True)
    local_date: Mapped[date] = mapped_column(primary_key=True)
    seconds: Mapped[int] = mapped_column(default=0, server_default="0")
