"""Tables of support."""

from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, Interval, Sequence, SmallInteger, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.data.tables import TYPES, Aggregate, Timestamps, service_metadata
from libs.common.privacy.parts import PrivacyPartTable
from libs.common.runtime.clock import system_clock
from services.support.rules import Priority, Status


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = TYPES


TICKET_NUMBERS = Sequence("ticket_numbers", metadata=Base.metadata)


class Ticket(Aggregate, Timestamps, Base):
    """A request for help: open → in_progress ⇄ waiting → resolved → closed; may be reopened for a while.

    `paused_since` is set while it waits for its requester; `paused_for` is the time it has waited before.
    `shown_version` and `shown_at` are version and time of the last change that its requester can see.
    """

    __tablename__ = "tickets"
    __topics__ = ("support.events",)

    number: Mapped[str] = mapped_column(unique=True)
    requester: Mapped[UUID] = mapped_column(index=True)
    assigned_to: Mapped[UUID | None] = mapped_column(index=True)
    subject: Mapped[str]
    description: Mapped[str]
    category: Mapped[str]
    course: Mapped[UUID | None]
    priority: Mapped[Priority] = mapped_column(Text())
    status: Mapped[Status] = mapped_column(Text(), default="open")
    first_response_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    paused_since: Mapped[datetime | None]
    paused_for: Mapped[timedelta] = mapped_column(Interval(), default=timedelta())
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    rating_comment: Mapped[str] = mapped_column(default="")
    shown_version: Mapped[int] = mapped_column(default=0, server_default="0")
    shown_at: Mapped[datetime] = mapped_column(default=system_clock, server_default=func.now())

    __table_args__ = (
        CheckConstraint("status IN ('open', 'in_progress', 'waiting', 'resolved', 'closed')", name="status"),
        CheckConstraint("priority IN ('low', 'medium', 'high', 'urgent')", name="priority"),
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
        CheckConstraint("(status = 'waiting') = (paused_since IS NOT NULL)", name="paused"),
        Index(None, "status", "created_at"),
    )


class Message(Base):
    """One message of a ticket, append-only; internal ones are for staff."""

    __tablename__ = "messages"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    ticket: Mapped[UUID] = mapped_column(ForeignKey("tickets.uuid"))
    author: Mapped[UUID]
    content: Mapped[str]
    is_internal: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "ticket", "created_at"),)


class Person(Base):
    """Replica of identity.users: names to show, and who is staff."""

    __tablename__ = "people"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    full_name: Mapped[str]
    avatar: Mapped[str | None]
    role: Mapped[str]
    is_active: Mapped[bool]


class CourseTitle(Base):
    """Replica of catalog.courses: which courses a ticket may be about, and who knows of drafts."""

    __tablename__ = "course_titles"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="published")
    instructors: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), server_default="{}")


class Seat(Base):
    """Replica of learning.enrollments: who learns in a course, published or not."""

    __tablename__ = "seats"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    course: Mapped[UUID]
    student: Mapped[UUID]
    status: Mapped[str]

    __table_args__ = (Index(None, "student", "course"),)


class StatusDay(Base):
    """How one part of the platform was on one day (UTC): checks, one a minute, and how many were good."""

    __tablename__ = "status_days"

    component: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    checks: Mapped[int]
    good: Mapped[int]
    counted_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("good BETWEEN 0 AND checks", name="good"),)


class PrivacyPart(PrivacyPartTable, Base):
    """What support was asked to pack or to erase."""

    __topics__ = ("support.privacy.events",)
