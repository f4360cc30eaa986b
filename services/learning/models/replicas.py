"""Replicas of what other services own."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.learning.models.base import Base


class Course(Base):
    """Replica of `catalog.courses`. `lessons` and `points` are derived from the published `modules`."""

    __tablename__ = "courses"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    slug: Mapped[str]
    short_description: Mapped[str]
    status: Mapped[str]
    level: Mapped[str]
    language: Mapped[str]
    category: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    tags: Mapped[list[Any]]
    instructor: Mapped[UUID]
    instructors: Mapped[list[UUID]]
    thumbnail: Mapped[str | None]
    preview_video: Mapped[str | None]
    is_featured: Mapped[bool]
    duration_hours: Mapped[float | None]
    enrollment_limit: Mapped[int | None]
    revision: Mapped[int | None]
    modules: Mapped[list[dict[str, Any]]]
    draft_modules: Mapped[list[dict[str, Any]]]
    lessons: Mapped[list[UUID]]
    points: Mapped[dict[str, Any]]
    prerequisites: Mapped[list[UUID]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    average_rating: Mapped[float] = mapped_column(server_default="0")
    reviews_count: Mapped[int] = mapped_column(server_default="0")

    __table_args__ = (
        Index(None, "instructor"),
        Index(None, "instructors", postgresql_using="gin"),
    )


class User(Base):
    """Replica of `identity.users`; the row goes when the person is erased."""

    __tablename__ = "users"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    first_name: Mapped[str]
    last_name: Mapped[str]
    full_name: Mapped[str]
    role: Mapped[str]
    is_active: Mapped[bool]
    avatar: Mapped[str | None]
    bio: Mapped[str]
    locale: Mapped[str]
    time_zone: Mapped[str]
