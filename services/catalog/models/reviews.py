"""Tables of reviews."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Timestamps
from services.catalog.models.base import Base


class Review(Timestamps, Base):
    """What one student says of a course: posted → changed → removed (the row stays, without its words).

    A fact of the course, whose row lock guards it; `version` is the review's own, for `If-Match`.
    """

    __tablename__ = "reviews"

    uuid: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    course_uuid: Mapped[UUID] = mapped_column(ForeignKey("courses.uuid"))
    student: Mapped[UUID] = mapped_column(index=True)
    rating: Mapped[int] = mapped_column(SmallInteger)
    comment: Mapped[str] = mapped_column(default="")
    version: Mapped[int] = mapped_column(default=1)
    removed_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
        Index(
            "uq_reviews_course_student_live",
            "course_uuid",
            "student",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
        Index(
            "ix_reviews_newest",
            "course_uuid",
            text("created_at DESC"),
            postgresql_where=text("removed_at IS NULL"),
        ),
    )


class HelpfulVote(Base):
    """Somebody finds a review helpful; the row goes when they take that back."""

    __tablename__ = "helpful_votes"

    review_uuid: Mapped[UUID] = mapped_column(ForeignKey("reviews.uuid"), primary_key=True)
    user: Mapped[UUID] = mapped_column(primary_key=True, index=True)
