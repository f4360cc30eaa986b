"""Tables of courses: what they say, what is counted of them, what was published."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Numeric,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate, Timestamps
from libs.common.events.fields import CourseLevel, CourseStatus
from services.catalog.models.base import Base
from services.catalog.rules import hours_of


class Course(Aggregate, Timestamps, Base):
    """A course: draft ⇄ published → archived (and back by publishing); deleted while nobody ever enrolled.

    Its own fields take effect at once. Its structure is written in `modules` and `lessons` and read by
    learners from the revision `revision`; `draft_changed` says that the two differ. `tags` are names from the
    table of tags. `total_lessons` counts the published revision's lessons, or the working ones while there is
    no revision, and `lesson_minutes` adds up the minutes of the same; `hours` is the duration that is shown.
    `edited_version` is the version at the last change by its editors, which is what `ETag` and `If-Match`
    mean: reviews are versions, too. `instructor_name` is a copy for the search index, kept by the handler of
    users.
    """

    __tablename__ = "courses"
    __topics__ = ("catalog.events", "catalog.courses")

    title: Mapped[str]
    slug: Mapped[str]
    description: Mapped[str]
    short_description: Mapped[str] = mapped_column(default="")
    learning_outcomes: Mapped[str] = mapped_column(default="")
    prerequisites: Mapped[str] = mapped_column(default="")
    level: Mapped[CourseLevel] = mapped_column(Text)
    language: Mapped[str]
    duration_hours: Mapped[float | None]
    category_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("categories.uuid"), index=True)
    tags: Mapped[list[str]] = mapped_column(default=list)
    enrollment_limit: Mapped[int | None]
    is_featured: Mapped[bool] = mapped_column(default=False)
    thumbnail: Mapped[str | None]
    preview_video: Mapped[str | None]
    status: Mapped[CourseStatus] = mapped_column(Text, default="draft")
    instructor: Mapped[UUID]
    co_instructors: Mapped[list[UUID]] = mapped_column(default=list)
    instructor_name: Mapped[str] = mapped_column(default="")
    edited_version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    revision: Mapped[int | None]
    draft_changed: Mapped[bool] = mapped_column(default=False)
    total_lessons: Mapped[int] = mapped_column(default=0)
    lesson_minutes: Mapped[int] = mapped_column(default=0, server_default="0")
    published_at: Mapped[datetime | None]
    publish_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    search: Mapped[Any] = mapped_column(
        TSVECTOR,
        Computed(
            "course_search(title, tags, instructor_name, short_description, description, learning_outcomes)",
            persisted=True,
        ),
        deferred=True,
    )
    search_words: Mapped[str] = mapped_column(
        Text, Computed("course_words(title, tags, instructor_name)", persisted=True), deferred=True
    )
    search_grams: Mapped[list[str]] = mapped_column(
        Computed(
            "course_grams(title, tags, instructor_name, short_description, description, learning_outcomes)",
            persisted=True,
        ),
        deferred=True,
    )
    hours: Mapped[float] = mapped_column(
        Computed("coalesce(duration_hours, round(lesson_minutes / 60.0, 2)::float8)", persisted=True),
        deferred=True,
    )

    __table_args__ = (
        CheckConstraint("status IN ('draft', 'published', 'archived')", name="status"),
        CheckConstraint("level IN ('beginner', 'intermediate', 'advanced')", name="level"),
        CheckConstraint("status <> 'published' OR revision IS NOT NULL", name="published_revision"),
        ForeignKeyConstraint(
            ["uuid", "revision"],
            ["course_revisions.course_uuid", "course_revisions.number"],
            name="fk_courses_revision",
            use_alter=True,
            deferrable=True,
            initially="DEFERRED",
        ),
        Index("uq_courses_slug_live", "slug", unique=True, postgresql_where=text("deleted_at IS NULL")),
        # The list's default order; the count of the list reads it too.
        Index(
            "ix_courses_newest",
            text("published_at DESC"),
            "uuid",
            postgresql_where=text("status = 'published' AND deleted_at IS NULL"),
        ),
        Index(
            "ix_courses_duration",
            "duration_hours",
            "uuid",
            postgresql_where=text("status = 'published' AND deleted_at IS NULL"),
        ),
        Index(
            "ix_courses_hours",
            "hours",
            "uuid",
            postgresql_where=text("status = 'published' AND deleted_at IS NULL"),
        ),
        Index("ix_courses_due", "publish_at", postgresql_where=text("publish_at IS NOT NULL")),
        Index(None, "instructor"),
        Index(None, "co_instructors", postgresql_using="gin"),
        Index(None, "tags", postgresql_using="gin"),
        Index(None, "search", postgresql_using="gin"),
        Index(None, "search_grams", postgresql_using="gin"),
        Index(
            "ix_courses_search_words",
            "search_words",
            postgresql_using="gin",
            postgresql_ops={"search_words": "gin_trgm_ops"},
        ),
    )

    @property
    def shown_hours(self) -> float:
        """`hours`, before the row is written."""
        return hours_of(self.duration_hours, self.lesson_minutes)


class CourseStats(Base):
    """Numbers of a course, in a table of their own because they change without the course.

    The enrolled and the ratings are recomputed from their rows; views are added by a sweep.
    """

    __tablename__ = "course_stats"

    course: Mapped[UUID] = mapped_column(primary_key=True)
    enrolled_count: Mapped[int] = mapped_column(default=0, server_default="0")
    average_rating: Mapped[Decimal] = mapped_column(Numeric(3, 2), default=0, server_default="0")
    reviews_count: Mapped[int] = mapped_column(default=0, server_default="0")
    views_count: Mapped[int] = mapped_column(default=0, server_default="0")

    __table_args__ = (
        Index("ix_course_stats_popular", text("enrolled_count DESC"), "course"),
        Index("ix_course_stats_rating", text("average_rating DESC"), text("reviews_count DESC"), "course"),
    )


class CourseRevision(Base):
    """What one publish made visible: the structure with the lessons' content; never changed."""

    __tablename__ = "course_revisions"

    course_uuid: Mapped[UUID] = mapped_column(ForeignKey("courses.uuid"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[list[dict[str, Any]]]
    published_by: Mapped[UUID | None]
    published_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        Index(
            "ix_course_revisions_media",
            text("jsonb_path_query_array(content, '$[*].lessons[*].resources[*].media')"),
            postgresql_using="gin",
        ),
        Index(
            "ix_course_revisions_files",
            text("jsonb_path_query_array(content, '$[*].lessons[*].file.path')"),
            postgresql_using="gin",
        ),
    )


class CoursePrerequisite(Base):
    """`course_uuid` is open only to those who completed `requires_uuid`; without cycles."""

    __tablename__ = "course_prerequisites"

    course_uuid: Mapped[UUID] = mapped_column(ForeignKey("courses.uuid"), primary_key=True)
    requires_uuid: Mapped[UUID] = mapped_column(ForeignKey("courses.uuid"), primary_key=True, index=True)

    __table_args__ = (CheckConstraint("course_uuid <> requires_uuid", name="not_itself"),)


class CourseView(Base):
    """A view of a course by a user or network on a day, as a keyed hash; deleted after two days.

    A sweep adds what is not `counted` to the course's number, so that no request waits for that row.
    """

    __tablename__ = "course_views"

    day: Mapped[date] = mapped_column(primary_key=True)
    course: Mapped[UUID] = mapped_column(primary_key=True)
    viewer: Mapped[bytes] = mapped_column(primary_key=True)
    counted: Mapped[bool] = mapped_column(default=False, server_default="false")

    __table_args__ = (Index("ix_course_views_waiting", "course", postgresql_where=text("NOT counted")),)
