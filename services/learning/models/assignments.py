"""Tables of assignments: what is asked for, what is handed in, and its files."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate
from services.learning.models.base import Base


class Assignment(Aggregate, Base):
    """Work that a course, perhaps one of its lessons, asks for; deleted ones stay as rows.

    `allowed_types` are extensions of files (null: every one that is known), `max_bytes` is of one file.
    `rubric` is a list of `{uuid, title, description, points, levels: [{title, description, points}]}`, points
    as text; `teams` one of `{uuid, name, members: [uuid]}`, the groups that hand in together.
    """

    __tablename__ = "assignments"
    __topics__ = ("learning.events",)

    course: Mapped[UUID] = mapped_column(index=True)
    lesson: Mapped[UUID | None] = mapped_column(index=True)
    title: Mapped[str]
    instructions: Mapped[str]
    points: Mapped[Decimal]
    due_at: Mapped[datetime | None]
    closes_at: Mapped[datetime | None]
    time_zone: Mapped[str]
    max_submissions: Mapped[int | None]
    allowed_types: Mapped[list[str] | None]
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)
    rubric: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")
    teams: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")
    posted: Mapped[bool]
    group: Mapped[UUID | None] = mapped_column("group")
    extra_credit: Mapped[bool] = mapped_column(default=False, server_default="false")
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("points > 0", name="points"),)


class Submission(Aggregate, Base):
    """A learner's work for an assignment: submitted → graded or excused; submitted again by a newer version.

    `number` counts the versions handed in; without any, submitted means that there is nothing. A grade stays
    until the next one is given: under a newer version that waits, and behind an excuse, which stays until it
    is taken back. `rubric_scores` are points by criterion of the rubric, when the grade was given so;
    `graded_number` is the version that it is of, whose lateness counts (0: of none; null: lateness does not
    count). Those of one `team` were handed in
    together and are graded together, but for an `individual` grade.
    """

    __tablename__ = "submissions"
    __topics__ = ("learning.events",)

    assignment: Mapped[UUID] = mapped_column(ForeignKey("assignments.uuid"))
    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), index=True)
    student: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[str]
    number: Mapped[int]
    team: Mapped[UUID | None]
    individual: Mapped[bool] = mapped_column(default=False, server_default="false")
    score: Mapped[Decimal | None]
    rubric_scores: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    feedback: Mapped[str] = mapped_column(default="")
    graded_by: Mapped[UUID | None]
    graded_at: Mapped[datetime | None]
    graded_number: Mapped[int | None]

    __table_args__ = (
        UniqueConstraint("assignment", "enrollment"),
        CheckConstraint("status IN ('submitted', 'graded', 'excused')", name="status"),
        Index("ix_submissions_waiting", "assignment", postgresql_where=text("status = 'submitted'")),
    )


class SubmissionVersion(Base):
    """One version of the work, kept as it was handed in; `submitted_by` null: by the learner themselves.

    `late_seconds` is by the due time of that moment; what counts goes by the due time as it is.
    """

    __tablename__ = "submission_versions"

    submission: Mapped[UUID] = mapped_column(ForeignKey("submissions.uuid"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column("text", Text())
    submitted_at: Mapped[datetime]
    late_seconds: Mapped[int]
    submitted_by: Mapped[UUID | None]


class SubmissionFile(Base):
    """A file of a version: written down, stored, then handed in. Members of a group share its object.

    Until it is handed in it has no submission; what stays so for an hour is swept away with its object.
    """

    __tablename__ = "submission_files"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    submission: Mapped[UUID | None] = mapped_column(ForeignKey("submissions.uuid"))
    number: Mapped[int | None]
    position: Mapped[int]
    student: Mapped[UUID] = mapped_column(index=True)
    path: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("(submission IS NULL) = (number IS NULL)", name="handed_in"),
        Index(None, "submission", "number", "position"),
        Index("ix_submission_files_waiting", "created_at", postgresql_where=text("submission IS NULL")),
    )
