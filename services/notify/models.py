"""Tables of notify."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.data.tables import TYPES, Aggregate, service_metadata
from libs.common.privacy.parts import PrivacyPartTable


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = TYPES


class Inbox(Base):
    """Newest sequence number of a user's notifications; its row lock keeps the numbers without gaps."""

    __tablename__ = "inboxes"

    user: Mapped[UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)


class Notification(Base):
    """One notification: unread ⇄ read, deleted at last (kept, so that numbers stay without gaps).

    `source` is the id of the event that it tells of: one event notifies one person once. `facts` are what
    title and message were made of (null: from before they were kept), so that both can be made anew when
    `actor` is erased or `discussion` is deleted.
    """

    __tablename__ = "notifications"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user: Mapped[UUID]
    seq: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[UUID]
    notification_type: Mapped[str]
    title: Mapped[str]
    message: Mapped[str]
    action_url: Mapped[str]
    course: Mapped[UUID | None]
    actor: Mapped[UUID | None]
    discussion: Mapped[UUID | None]
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    is_read: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("user", "seq"),
        UniqueConstraint("user", "source"),
        Index(None, "user", "created_at", "uuid"),
        Index(None, "actor", postgresql_where=text("actor IS NOT NULL")),
        Index(None, "discussion", postgresql_where=text("discussion IS NOT NULL")),
        Index("ix_notifications_unread", "user", postgresql_where=text("NOT is_read AND deleted_at IS NULL")),
    )


class Delivery(Aggregate, Base):
    """One mail to one person about one event: pending → sending → sent, or failed.

    The row is there before anything is sent, and `sending` is committed just before the text is handed over:
    a mail that may have gone out is never sent again.
    """

    __tablename__ = "deliveries"
    __topics__ = ("notify.events",)

    recipient: Mapped[UUID]
    kind: Mapped[str]
    source: Mapped[UUID]
    course: Mapped[UUID | None]
    subject_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tried_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    request_id: Mapped[str]
    traceparent: Mapped[str]

    __table_args__ = (
        UniqueConstraint("source", "recipient", "kind"),
        CheckConstraint("status IN ('pending', 'sending', 'sent', 'failed')", name="status"),
        Index(
            "ix_deliveries_waiting", "created_at", postgresql_where=text("status IN ('pending', 'sending')")
        ),
    )


class Person(Base):
    """Replica of identity.users: whom to write to, and in which language."""

    __tablename__ = "people"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    first_name: Mapped[str]
    full_name: Mapped[str]
    locale: Mapped[str]
    time_zone: Mapped[str]
    role: Mapped[str]
    is_active: Mapped[bool]


class CourseTitle(Base):
    """Replica of catalog.courses: what the course is called."""

    __tablename__ = "course_titles"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]


class DiscussionTitle(Base):
    """Replica of forum.discussions: what the discussion is called, until it is deleted."""

    __tablename__ = "discussion_titles"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]


class PrivacyPart(PrivacyPartTable, Base):
    """What notify was asked to pack or to erase."""

    __topics__ = ("notify.privacy.events",)
