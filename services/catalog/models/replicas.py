"""Replicas of users and enrolments."""

from uuid import UUID

from sqlalchemy import (
    Index,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.catalog.models.base import Base


class User(Base):
    """Replica of `identity.users`; the row goes when the person is erased."""

    __tablename__ = "users"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    full_name: Mapped[str]
    role: Mapped[str]
    is_active: Mapped[bool]
    avatar: Mapped[str | None]
    bio: Mapped[str]


class Enrollment(Base):
    """Replica of `learning.enrollments`: who is in which course, and what they have completed."""

    __tablename__ = "enrollments"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    course: Mapped[UUID]
    student: Mapped[UUID]
    status: Mapped[str]
    completed_lessons: Mapped[list[UUID]]

    __table_args__ = (Index(None, "course", "status"), Index(None, "student", "course"))
