"""Table of views."""

from datetime import date
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.catalog.models import Base


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
