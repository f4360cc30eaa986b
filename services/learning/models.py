"""Tables of learning: replicas of courses and users, and everything that learners do.

Columns that hold another aggregate's id carry its name (`course`, `student`, `quiz`), as in the events. Locks
are taken in the order course, enrolment, attempt or submission, certificate.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Numeric,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from libs.common.tables import TYPES, Aggregate, service_metadata


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = {
        **TYPES,
        list[UUID]: ARRAY(Uuid()),
        list[dict[str, Any]]: JSONB(),
        Decimal: Numeric(20, 10),
    }


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


class Enrollment(Aggregate, Base):
    """A learner's seat in a course: enrolled → in_progress → completed; or dropped, and taken up again.

    One per course and student, for ever. Who waits for a seat has `waiting_since`: a new row then has version
    0 and has published nothing, a dropped one keeps its last version. A completed enrolment never changes its
    status, revision or progress.
    """

    __tablename__ = "enrollments"
    __topics__ = ("learning.events", "learning.enrollments")

    course: Mapped[UUID]
    student: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[str]
    revision: Mapped[int | None]
    completed_lessons: Mapped[list[UUID]] = mapped_column(default=list)
    progress_percentage: Mapped[Decimal] = mapped_column(Numeric(5, 2), default=Decimal(0))
    final_score: Mapped[Decimal | None]
    enrolled_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    last_accessed: Mapped[datetime | None]
    waiting_since: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("course", "student"),
        CheckConstraint(
            "status IN ('waitlisted', 'enrolled', 'in_progress', 'completed', 'dropped')", name="status"
        ),
        CheckConstraint("progress_percentage BETWEEN 0 AND 100", name="progress"),
        CheckConstraint("(status = 'completed') = (completed_at IS NOT NULL)", name="completed"),
        CheckConstraint("(status = 'waitlisted') = (version = 0)", name="waitlisted"),
        Index(
            "ix_enrollments_waiting",
            "course",
            "waiting_since",
            postgresql_where=text("waiting_since IS NOT NULL"),
        ),
    )

    @property
    def shown_status(self) -> str:
        """The status that the API answers."""
        return "waitlisted" if self.waiting_since else self.status


class LessonProgress(Base):
    """What a learner left in one lesson: position, study time, notes, completion. Publishes nothing."""

    __tablename__ = "lesson_progress"

    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), primary_key=True)
    lesson: Mapped[UUID] = mapped_column(primary_key=True)
    student: Mapped[UUID] = mapped_column(index=True)
    position_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    study_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    points: Mapped[int] = mapped_column(default=0, server_default="0")
    completed_at: Mapped[datetime | None]
    notes: Mapped[str] = mapped_column(default="", server_default="")
    notes_at: Mapped[datetime | None]


class StudyClock(Base):
    """Up to when a learner's time has been counted, over all courses: study time never passes wall clock."""

    __tablename__ = "study_clocks"

    student: Mapped[UUID] = mapped_column(primary_key=True)
    counted_until: Mapped[datetime]
    last_counted: Mapped[int]


class StudyDay(Base):
    """A day, the learner's own, on which they learnt something."""

    __tablename__ = "study_days"

    student: Mapped[UUID] = mapped_column(primary_key=True)
    local_date: Mapped[date] = mapped_column(primary_key=True)
    seconds: Mapped[int] = mapped_column(default=0, server_default="0")


class Quiz(Aggregate, Base):
    """A quiz of a course, perhaps of one of its lessons: draft → published; deleted ones stay as rows."""

    __tablename__ = "quizzes"
    __topics__ = ("learning.events",)

    course: Mapped[UUID] = mapped_column(index=True)
    lesson: Mapped[UUID | None] = mapped_column(index=True)
    title: Mapped[str]
    description: Mapped[str]
    kind: Mapped[str]
    time_limit_seconds: Mapped[int | None]
    opens_at: Mapped[datetime | None]
    closes_at: Mapped[datetime | None]
    time_zone: Mapped[str]
    attempts_allowed: Mapped[int | None]
    scoring: Mapped[str]
    pass_mark: Mapped[Decimal] = mapped_column(Numeric(5, 2))
    shuffle_questions: Mapped[bool]
    shuffle_answers: Mapped[bool]
    feedback: Mapped[dict[str, Any]]
    is_published: Mapped[bool] = mapped_column(default=False)
    published_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("kind IN ('practice', 'graded', 'final', 'survey')", name="kind"),
        CheckConstraint("scoring IN ('highest', 'latest', 'average', 'first')", name="scoring"),
        CheckConstraint("pass_mark BETWEEN 0 AND 100", name="pass_mark"),
    )


class Question(Base):
    """A question of a quiz. `content` holds what is right, by kind; a change is a change of the quiz."""

    __tablename__ = "questions"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    quiz: Mapped[UUID] = mapped_column(ForeignKey("quizzes.uuid"), index=True)
    position: Mapped[int]
    kind: Mapped[str]
    text: Mapped[str] = mapped_column("text", Text())
    points: Mapped[Decimal]
    explanation: Mapped[str]
    partial_credit: Mapped[bool]
    content: Mapped[dict[str, Any]]

    __table_args__ = (CheckConstraint("points >= 0", name="points"),)


class Attempt(Aggregate, Base):
    """A learner's attempt at a quiz: in_progress → submitted → graded. At most one is open per learner."""

    __tablename__ = "attempts"
    __topics__ = ("learning.events",)

    quiz: Mapped[UUID] = mapped_column(ForeignKey("quizzes.uuid"))
    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), index=True)
    student: Mapped[UUID]
    number: Mapped[int]
    status: Mapped[str]
    started_at: Mapped[datetime]
    deadline: Mapped[datetime | None]
    submitted_at: Mapped[datetime | None]
    score: Mapped[Decimal | None]
    max_score: Mapped[Decimal]
    percentage: Mapped[Decimal | None]
    passed: Mapped[bool | None]

    __table_args__ = (
        UniqueConstraint("quiz", "student", "number"),
        CheckConstraint("status IN ('in_progress', 'submitted', 'graded')", name="status"),
        Index(
            "uq_attempts_open",
            "quiz",
            "student",
            unique=True,
            postgresql_where=text("status = 'in_progress'"),
        ),
        Index("ix_attempts_deadline", "deadline", postgresql_where=text("status = 'in_progress'")),
    )


class AttemptQuestion(Base):
    """A question as an attempt pinned it, with its saved answer: the record of an autosave."""

    __tablename__ = "attempt_questions"

    attempt: Mapped[UUID] = mapped_column(ForeignKey("attempts.uuid"), primary_key=True)
    question: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int]
    kind: Mapped[str]
    text: Mapped[str] = mapped_column("text", Text())
    points: Mapped[Decimal]
    explanation: Mapped[str]
    partial_credit: Mapped[bool]
    content: Mapped[dict[str, Any]]
    answer: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    saved_at: Mapped[datetime | None]
    score: Mapped[Decimal | None]


class QuizResult(Base):
    """Where a learner stands in a quiz by its `scoring`. `finished_at` is the first time that it was passed
    (a survey: submitted), and is never taken back."""

    __tablename__ = "quiz_results"

    quiz: Mapped[UUID] = mapped_column(ForeignKey("quizzes.uuid"), primary_key=True)
    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), primary_key=True)
    percentage: Mapped[Decimal | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "enrollment"),)


class Assignment(Aggregate, Base):
    """Work that a course, perhaps one of its lessons, asks for; deleted ones stay as rows."""

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
    posted: Mapped[bool]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("points > 0", name="points"),)


class Submission(Aggregate, Base):
    """A learner's work for an assignment: submitted → graded or excused; submitted again by a newer version.

    `number` counts the versions handed in; a grade stays until the next one is given.
    """

    __tablename__ = "submissions"
    __topics__ = ("learning.events",)

    assignment: Mapped[UUID] = mapped_column(ForeignKey("assignments.uuid"))
    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), index=True)
    student: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[str]
    number: Mapped[int]
    score: Mapped[Decimal | None]
    feedback: Mapped[str] = mapped_column(default="")
    graded_by: Mapped[UUID | None]
    graded_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("assignment", "enrollment"),
        CheckConstraint("status IN ('submitted', 'graded', 'excused')", name="status"),
    )


class SubmissionVersion(Base):
    """One version of the work, kept as it was handed in."""

    __tablename__ = "submission_versions"

    submission: Mapped[UUID] = mapped_column(ForeignKey("submissions.uuid"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column("text", Text())
    submitted_at: Mapped[datetime]
    late_seconds: Mapped[int]


class Certificate(Aggregate, Base):
    """The certificate of one completed enrolment: requested, then issued once its PDF is stored.

    `pdf_path` is null until then. The name on it comes from the replica of users, never from here.
    """

    __tablename__ = "certificates"
    __topics__ = ("learning.events",)

    certificate_number: Mapped[str] = mapped_column(unique=True)
    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), unique=True)
    course: Mapped[UUID] = mapped_column(index=True)
    student: Mapped[UUID] = mapped_column(index=True)
    course_title: Mapped[str]
    status: Mapped[str] = mapped_column(default="valid")
    final_score: Mapped[Decimal | None]
    completed_at: Mapped[datetime]
    requested_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    issued_at: Mapped[datetime | None]
    pdf_path: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("status IN ('valid', 'revoked', 'superseded')", name="status"),
        Index("ix_certificates_pending", "requested_at", postgresql_where=text("issued_at IS NULL")),
    )
