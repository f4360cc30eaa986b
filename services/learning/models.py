"""Tables of learning: replicas of courses and users, and everything that learners do.

Those of quizzes, assignments and certificates stand in the `models.py` of their folders. Columns that hold
another aggregate's id carry its name (`course`, `student`, `quiz`), as in the events. Locks are taken in the
order course, enrolment, attempt or submission, certificate.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate
from libs.common.privacy.parts import PrivacyPartTable
from services.learning.assignments.models import Assignment as Assignment
from services.learning.assignments.models import Submission as Submission
from services.learning.assignments.models import SubmissionFile as SubmissionFile
from services.learning.assignments.models import SubmissionVersion as SubmissionVersion
from services.learning.base import Base as Base
from services.learning.certificates.models import Certificate as Certificate
from services.learning.certificates.models import CertificateTemplate as CertificateTemplate
from services.learning.quizzes.models import Attempt as Attempt
from services.learning.quizzes.models import AttemptQuestion as AttemptQuestion
from services.learning.quizzes.models import Question as Question
from services.learning.quizzes.models import QuestionBank as QuestionBank
from services.learning.quizzes.models import Quiz as Quiz
from services.learning.quizzes.models import QuizExtension as QuizExtension
from services.learning.quizzes.models import QuizResult as QuizResult


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


class Enrollment(Aggregate, Base):
    """A learner's seat in a course: enrolled → in_progress → completed; or dropped, and taken up again.

    One per course and student, for ever. Who waits for a seat has `waiting_since`: a new row is `waitlisted`
    then, and goes again if they wait no longer; a dropped one stays dropped. A completed enrolment never
    changes its status, revision or progress. `study_seconds` and `points` are the sums over its lessons.
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
    study_seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    points: Mapped[int] = mapped_column(default=0, server_default="0")
    waiting_since: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("course", "student"),
        CheckConstraint(
            "status IN ('waitlisted', 'enrolled', 'in_progress', 'completed', 'dropped')", name="status"
        ),
        CheckConstraint("progress_percentage BETWEEN 0 AND 100", name="progress"),
        CheckConstraint("(status = 'completed') = (completed_at IS NOT NULL)", name="completed"),
        CheckConstraint("status <> 'waitlisted' OR waiting_since IS NOT NULL", name="waiting"),
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


class GradingPolicy(Aggregate, Base):
    """How the grades of a course come about; every version is kept in `grading_policy_versions`."""

    __tablename__ = "grading_policies"
    __topics__ = ("learning.events",)

    course: Mapped[UUID] = mapped_column(unique=True)


class GradingPolicyVersion(Base):
    """A policy from `saved_at` until the next one: append-only, so that the past can be graded as it was."""

    __tablename__ = "grading_policy_versions"

    policy: Mapped[UUID] = mapped_column(ForeignKey("grading_policies.uuid"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]
    saved_at: Mapped[datetime]
    saved_by: Mapped[UUID]
    event: Mapped[UUID | None]


class GradeMark(Base):
    """Where a learner stands with an item from `at` on: append-only, the newest up to a moment counts.

    `score` is out of `points`, before any cost of lateness; `event` is the published fact behind it, null for
    grades that are older than this history.
    """

    __tablename__ = "grade_marks"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    course: Mapped[UUID]
    item: Mapped[UUID]
    student: Mapped[UUID]
    status: Mapped[str]
    score: Mapped[Decimal | None]
    points: Mapped[Decimal]
    late_seconds: Mapped[int]
    at: Mapped[datetime]
    event: Mapped[UUID | None]

    __table_args__ = (
        CheckConstraint("status IN ('submitted', 'graded', 'excused', 'open')", name="status"),
        CheckConstraint("(score IS NOT NULL) = (status = 'graded')", name="score"),
        Index(None, "course", "item", "student", "at"),
    )


class GradeFact(Base):
    """What else decides about grades, from `at` on: append-only, so that the past can be graded as it was.

    By kind: an `item` (`subject` is the quiz or assignment; null content: deleted or withdrawn), a `seat` in
    the course (`subject` is the student; null: left), an `extension` (`student`'s, of the quiz `subject`).
    """

    __tablename__ = "grade_facts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    course: Mapped[UUID]
    kind: Mapped[str]
    subject: Mapped[UUID]
    student: Mapped[UUID | None] = mapped_column(index=True)
    content: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("kind IN ('item', 'seat', 'extension')", name="kind"),
        Index(None, "course", "kind", "subject", "student", "at"),
    )


class CompletionRules(Aggregate, Base):
    """When a course counts as completed: `content` is a list of rules that must all be met."""

    __tablename__ = "completion_rules"
    __topics__ = ("learning.events",)

    course: Mapped[UUID] = mapped_column(unique=True)
    content: Mapped[list[dict[str, Any]]]
    check_wanted_at: Mapped[datetime | None]
    """Since when those underway may meet them without having been looked at; null once they were."""


class CompletionCheck(Base):
    """An enrolment that may meet its course's rules by now, until a task has looked."""

    __tablename__ = "completion_checks"

    enrollment: Mapped[UUID] = mapped_column(primary_key=True)
    wanted_at: Mapped[datetime] = mapped_column(index=True)


class PrivacyPart(PrivacyPartTable, Base):
    """What learning was asked to pack or to erase."""

    __topics__ = ("learning.privacy.events",)
