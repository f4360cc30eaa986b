"""Tables of modules and lessons."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.events.fields import ContentType
from services.catalog.models.base import Base


class Module(Base):
    """A part of a course's working structure; removed ones stay as rows, for a revision may show them.

    `version` is the course's version at the last change of the module. Positions are unique in the course;
    the constraint waits for the commit, so that a whole tree can be reordered.
    """

    __tablename__ = "modules"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    course_uuid: Mapped[UUID] = mapped_column(ForeignKey("courses.uuid"))
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    position: Mapped[int | None]
    version: Mapped[int]
    removed_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("course_uuid", "position", deferrable=True, initially="DEFERRED"),
        CheckConstraint("(position IS NULL) = (removed_at IS NOT NULL)", name="removed"),
    )


class Lesson(Base):
    """A lesson of a course's working structure; otherwise like `Module`, its positions are the module's.

    `file` is `{path, name, media_type, size, sha256, uploaded_at}`; an object is never overwritten, because
    revisions refer to it.
    """

    __tablename__ = "lessons"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    course_uuid: Mapped[UUID] = mapped_column(ForeignKey("courses.uuid"), index=True)
    module_uuid: Mapped[UUID] = mapped_column(ForeignKey("modules.uuid"))
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    content_type: Mapped[ContentType] = mapped_column(Text)
    text_content: Mapped[str] = mapped_column(default="")
    video_url: Mapped[str | None]
    video_duration: Mapped[int | None]
    estimated_time_minutes: Mapped[int | None]
    is_preview: Mapped[bool] = mapped_column(default=False)
    is_published: Mapped[bool] = mapped_column(default=True)
    points: Mapped[int] = mapped_column(default=0)
    requires_submission: Mapped[bool] = mapped_column(default=False)
    file: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    resources: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    position: Mapped[int | None]
    version: Mapped[int]
    removed_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("module_uuid", "position", deferrable=True, initially="DEFERRED"),
        CheckConstraint("(position IS NULL) = (removed_at IS NOT NULL)", name="removed"),
        CheckConstraint(
            "content_type IN ('video', 'text', 'pdf', 'slides', 'interactive', 'assignment', 'quiz')",
            name="content_type",
        ),
        Index(
            "ix_lessons_media",
            text("jsonb_path_query_array(resources, '$[*].media')"),
            postgresql_using="gin",
        ),
        Index("ix_lessons_file", text("(file ->> 'path')"), postgresql_where=text("file IS NOT NULL")),
    )
