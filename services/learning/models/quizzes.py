"""Tables of quizzes: what teachers write, what learners answer, where they stand."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from libs.common.data.tables import Aggregate
from services.learning.models.base import Base


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
    pools: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")
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
    """A question of a quiz or of a bank. `content` holds what is right, by kind (see `rules`).

    A change of it is a version of the quiz or the bank.
    """

    __tablename__ = "questions"

    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    quiz: Mapped[UUID | None] = mapped_column(ForeignKey("quizzes.uuid"), index=True)
    bank: Mapped[UUID | None] = mapped_column(ForeignKey("question_banks.uuid"), index=True)
    position: Mapped[int]
    kind: Mapped[str]
    text: Mapped[str] = mapped_column("text", Text())
    points: Mapped[Decimal]
    explanation: Mapped[str]
    partial_credit: Mapped[bool]
    content: Mapped[dict[str, Any]]

    __table_args__ = (
        CheckConstraint("points >= 0", name="points"),
        CheckConstraint("(quiz IS NULL) <> (bank IS NULL)", name="place"),
    )


class QuestionBank(Aggregate, Base):
    """Questions of a course that quizzes draw from by their `pools`; deleted ones stay as rows."""

    __tablename__ = "question_banks"
    __topics__ = ("learning.events",)

    course: Mapped[UUID] = mapped_column(index=True)
    title: Mapped[str]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class QuizExtension(Aggregate, Base):
    """What one learner has beyond others in a quiz: time, attempts, a later close; zeros when taken back.

    `excused`: the quiz does not count for them, until a teacher takes that back.
    """

    __tablename__ = "quiz_extensions"
    __topics__ = ("learning.events",)

    quiz: Mapped[UUID] = mapped_column(ForeignKey("quizzes.uuid"))
    student: Mapped[UUID] = mapped_column(index=True)
    extra_seconds: Mapped[int] = mapped_column(default=0)
    extra_attempts: Mapped[int] = mapped_column(default=0)
    closes_at: Mapped[datetime | None]
    excused: Mapped[bool] = mapped_column(default=False, server_default="false")
    updated_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("quiz", "student"),
        CheckConstraint("extra_seconds >= 0 AND extra_attempts >= 0", name="extra"),
    )


class Attempt(Aggregate, Base):
    """A learner's attempt at a quiz: in_progress → submitted → graded. At most one is open per learner.

    It stays submitted while an answer waits for a teacher, and has no score until then. `time_limit_seconds`
    is the quiz's when it started, `closes_at` the quiz's as long as it is open: `deadline` follows from them
    and the learner's extension. `score_shown` is what its last event said of the score's visibility; null
    where an earlier release graded it, by the policy of that moment.
    """

    __tablename__ = "attempts"
    __topics__ = ("learning.events",)

    quiz: Mapped[UUID] = mapped_column(ForeignKey("quizzes.uuid"))
    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), index=True)
    student: Mapped[UUID]
    number: Mapped[int]
    status: Mapped[str]
    started_at: Mapped[datetime]
    deadline: Mapped[datetime | None]
    time_limit_seconds: Mapped[int | None]
    closes_at: Mapped[datetime | None]
    submitted_at: Mapped[datetime | None]
    score: Mapped[Decimal | None]
    max_score: Mapped[Decimal]
    percentage: Mapped[Decimal | None]
    passed: Mapped[bool | None]
    score_shown: Mapped[bool | None]

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
        Index("ix_attempts_shown", "quiz", "score_shown", postgresql_where=text("status = 'graded'")),
    )


class AttemptQuestion(Base):
    """A question as an attempt pinned it, with its saved answer: the record of an autosave.

    `score` is what the rules gave, or by hand `graded_by`; what full credit adds is not written into it, and
    goes when that is taken back. Null while a teacher has to read the answer.
    """

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
    comment: Mapped[str] = mapped_column(default="", server_default="")
    graded_by: Mapped[UUID | None]
    graded_at: Mapped[datetime | None]


class QuizResult(Base):
    """Where a learner stands in a quiz by its `scoring`. `finished_at` is the first time that it was passed
    (a survey: submitted), and is never taken back."""

    __tablename__ = "quiz_results"

    quiz: Mapped[UUID] = mapped_column(ForeignKey("quizzes.uuid"), primary_key=True)
    enrollment: Mapped[UUID] = mapped_column(ForeignKey("enrollments.uuid"), primary_key=True)
    percentage: Mapped[Decimal | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "enrollment"),)
