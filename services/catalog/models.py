"""Tables that several folders use: replicas of users and enrolments, categories, courses with what they hold.

Tables of one folder are in its `models.py`; they are imported last, so that the metadata is whole.

Locks are taken in the order category, course; a course's row guards everything inside the course.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Numeric,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.data.tables import TYPES, Aggregate, Timestamps, service_metadata
from libs.common.events.fields import ContentType, CourseLevel, CourseStatus
from libs.common.privacy.parts import PrivacyPartTable
from services.catalog.rules import hours_of


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = {
        **TYPES,
        list[UUID]: ARRAY(Uuid()),
        list[str]: ARRAY(Text()),
        list[dict[str, Any]]: JSONB(),
    }


class StoredObject:
    """Columns of a table of stored objects: the row is written before the object, and deleted after it.

    `unused_since` is when a sweep first found no use of the object. Once it is condemned, it cannot be used
    any more.
    """

    unused_since: Mapped[datetime | None]
    condemned_at: Mapped[datetime | None]


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


class Category(Aggregate, Timestamps, Base):
    """A category in the tree of subjects: created → renamed, moved → deleted (the row stays).

    The slug is unique among those that are not deleted. A category with courses or children stays.
    """

    __tablename__ = "categories"
    __topics__ = ("catalog.events",)

    name: Mapped[str]
    slug: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    parent_uuid: Mapped[UUID | None] = mapped_column(ForeignKey("categories.uuid"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_categories_slug_live", "slug", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )


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


class PrivacyPart(PrivacyPartTable, Base):
    """Catalog's part of an export or an erasure."""

    __topics__ = ("catalog.privacy.events",)


# They need `Base` first.
import services.catalog.courses.models  # noqa: E402
import services.catalog.favorites.models  # noqa: E402
import services.catalog.media.models  # noqa: E402
import services.catalog.reviews.models  # noqa: E402
import services.catalog.search.models  # noqa: E402
import services.catalog.tags.models  # noqa: E402
import services.catalog.thumbnails.models  # noqa: E402, F401
