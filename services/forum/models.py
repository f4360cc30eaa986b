"""Tables of forum."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.data.tables import TYPES, Aggregate, Timestamps, service_metadata
from libs.common.privacy.parts import PrivacyPartTable
from services.forum.rules import DiscussionType


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = TYPES


class Forum(Aggregate, Timestamps, Base):
    """The forum of a course, made when the course is first heard of, or a platform forum (`course` null).

    It is made once and not changed; a course's forum shows the title that the course has now.
    """

    __tablename__ = "forums"
    __topics__ = ("forum.events",)

    course: Mapped[UUID | None] = mapped_column(unique=True)
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")


class Discussion(Aggregate, Timestamps, Base):
    """Opened, answered, perhaps resolved, pinned, locked or moved; deletion only sets `deleted_at`.

    `last_seq` numbers the replies without gaps and `replies_count` counts those that are not deleted; both
    are written under the row's lock, with the reply. `views_count` changes without a new version.
    `state_version` is the version that `forum.discussions` was told last; `publish_states` makes good what is
    behind.
    """

    __tablename__ = "discussions"
    __topics__ = ("forum.events", "forum.discussions")

    forum: Mapped[UUID] = mapped_column(ForeignKey("forums.uuid"))
    course: Mapped[UUID | None]
    author: Mapped[UUID]
    title: Mapped[str]
    content: Mapped[str]
    discussion_type: Mapped[DiscussionType] = mapped_column(Text())
    is_pinned: Mapped[bool] = mapped_column(default=False)
    is_locked: Mapped[bool] = mapped_column(default=False)
    is_resolved: Mapped[bool] = mapped_column(default=False)
    views_count: Mapped[int] = mapped_column(BigInteger, default=0)
    replies_count: Mapped[int] = mapped_column(BigInteger, default=0)
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    state_version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    deleted_by: Mapped[UUID | None]

    __table_args__ = (
        CheckConstraint("discussion_type IN ('question', 'discussion', 'announcement')", name="type"),
        CheckConstraint("replies_count BETWEEN 0 AND last_seq", name="replies_count"),
        Index(None, "forum", "is_pinned", "created_at", "uuid"),
        Index(None, "course"),
        Index(None, "author"),
        Index("ix_discussions_unsaid", "uuid", postgresql_where=text("state_version < version")),
        Index(
            "ix_discussions_words",
            "title",
            "content",
            postgresql_using="gin",
            postgresql_ops={"title": "gin_trgm_ops", "content": "gin_trgm_ops"},
        ),
    )


class Reply(Aggregate, Timestamps, Base):
    """One reply, over HTTP or in the chat room (`is_chat`); deletion only sets `deleted_at`.

    `seq` is its gapless number in the discussion, and there is one reply per `client_id` of an author.
    `upvotes` equals the rows of `upvotes`: both change under this row's lock. One solution per discussion.
    """

    __tablename__ = "replies"
    __topics__ = ("forum.events",)

    discussion: Mapped[UUID] = mapped_column(ForeignKey("discussions.uuid"))
    parent: Mapped[UUID | None]
    author: Mapped[UUID]
    content: Mapped[str]
    seq: Mapped[int] = mapped_column(BigInteger)
    is_chat: Mapped[bool] = mapped_column(default=False)
    client_id: Mapped[str | None]
    is_instructor_reply: Mapped[bool] = mapped_column(default=False)
    is_solution: Mapped[bool] = mapped_column(default=False)
    upvotes: Mapped[int] = mapped_column(BigInteger, default=0)
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    deleted_by: Mapped[UUID | None]

    __table_args__ = (
        UniqueConstraint("discussion", "seq"),
        UniqueConstraint("discussion", "author", "client_id"),
        UniqueConstraint("discussion", "uuid"),
        # A parent stands in the same discussion.
        ForeignKeyConstraint(["discussion", "parent"], ["replies.discussion", "replies.uuid"]),
        CheckConstraint("upvotes >= 0", name="upvotes"),
        Index("uq_replies_solution", "discussion", unique=True, postgresql_where=text("is_solution")),
        Index(None, "parent"),
        Index(None, "author"),
    )


class Upvote(Base):
    """One person's upvote of one reply."""

    __tablename__ = "upvotes"

    reply: Mapped[UUID] = mapped_column(ForeignKey("replies.uuid"), primary_key=True)
    user: Mapped[UUID] = mapped_column(primary_key=True)


class Follow(Base):
    """Who wants to hear of a discussion."""

    __tablename__ = "follows"

    discussion: Mapped[UUID] = mapped_column(ForeignKey("discussions.uuid"), primary_key=True)
    user: Mapped[UUID] = mapped_column(primary_key=True)


class Flag(Base):
    """A reader's report of a discussion (`reply` null) or a reply; open until somebody decides.

    One open flag per reporter and thing.
    """

    __tablename__ = "flags"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    discussion: Mapped[UUID] = mapped_column(ForeignKey("discussions.uuid"))
    reply: Mapped[UUID | None] = mapped_column(ForeignKey("replies.uuid"))
    reporter: Mapped[UUID]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    resolved_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "uq_flags_open",
            "discussion",
            "reply",
            "reporter",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
            postgresql_nulls_not_distinct=True,
        ),
        Index(None, "discussion", "created_at"),
    )


class ModerationAct(Base):
    """What moderation did, append-only: who, what, to which post, why."""

    __tablename__ = "moderation_acts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    actor: Mapped[UUID]
    action: Mapped[str]
    discussion: Mapped[UUID] = mapped_column(index=True)
    reply: Mapped[UUID | None]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (CheckConstraint("action IN ('dismiss', 'delete', 'restore')", name="action"),)


class Presence(Base):
    """Who has a socket in a discussion's room, per process; a process says now and then that it lives."""

    __tablename__ = "presence"

    discussion: Mapped[UUID] = mapped_column(primary_key=True)
    process: Mapped[UUID] = mapped_column(primary_key=True)
    user: Mapped[UUID] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "process"),)


class Person(Base):
    """Replica of identity.users: names to show and to mention. The folded ones are what mentions compare."""

    __tablename__ = "people"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    full_name: Mapped[str]
    avatar: Mapped[str | None]
    role: Mapped[str]
    is_active: Mapped[bool]
    folded_name: Mapped[str] = mapped_column(index=True)
    folded_first_name: Mapped[str] = mapped_column(index=True)


class Course(Base):
    """Replica of catalog.courses: titles, and who instructs."""

    __tablename__ = "courses"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    status: Mapped[str]
    instructors: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()))

    __table_args__ = (Index(None, "instructors", postgresql_using="gin"),)


class Enrollment(Base):
    """Replica of learning.enrollments: who learns in which course."""

    __tablename__ = "enrollments"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    course: Mapped[UUID]
    student: Mapped[UUID]
    status: Mapped[str]

    __table_args__ = (Index(None, "student", "course"), Index(None, "course"))


class PrivacyPart(PrivacyPartTable, Base):
    """What forum was asked to pack or to erase."""

    __topics__ = ("forum.privacy.events",)
