"""The read models: tables of one projection, each a fold of the event log.

Handlers fill `TABLES`; the database keeps `DERIVED` and the aggregates (`aggregates.py`). Rows of different
keys must not depend on each other: a rebuild applies the events of different keys in another order.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

TABLES = MetaData()
DERIVED = MetaData()
Moment = DateTime(timezone=True)
SQL_TYPES: dict[type[Any], str] = {
    Uuid: "uuid",
    Text: "text",
    Boolean: "boolean",
    Integer: "integer",
    BigInteger: "bigint",
    Float: "double precision",
    Date: "date",
    DateTime: "timestamptz",
}


def _key(name: str, kind: Any = None) -> Column[Any]:
    return Column(name, kind or Uuid(), primary_key=True)


users = Table(
    "users", TABLES, _key("uuid"), Column("role", Text), Column("is_active", Boolean),
    Column("time_zone", Text), Column("date_joined", Moment, index=True),
)  # fmt: skip
courses = Table(
    "courses", TABLES, _key("uuid"), Column("title", Text), Column("status", Text),
    Column("instructor", Uuid, index=True), Column("instructors", JSONB), Column("category", Text),
    Column("level", Text), Column("lessons", JSONB), Column("created_at", Moment),
    Column("published_at", Moment), Column("average_rating", Float), Column("reviews_count", Integer),
)  # fmt: skip
enrollments = Table(
    "enrollments", TABLES, _key("uuid"), Column("course", Uuid, index=True),
    Column("student", Uuid, index=True), Column("status", Text), Column("progress", Float),
    Column("completed_lessons", JSONB), Column("enrolled_at", Moment, index=True),
    Column("started_at", Moment), Column("completed_at", Moment), Column("last_accessed", Moment),
    Column("study_seconds", BigInteger), Column("points", BigInteger),
    Index("ix_enrollments_course_student", "course", "student"),
)  # fmt: skip
lesson_completions = Table(
    "lesson_completions", TABLES, _key("enrollment"), _key("lesson"), Column("course", Uuid, index=True),
    Column("student", Uuid, index=True), Column("completed_at", Moment), Column("local_date", Date),
)  # fmt: skip
# Lessons that a learner has worked on: study time counted there, or completed.
lesson_visits = Table(
    "lesson_visits", TABLES, _key("enrollment"), _key("lesson"), Column("course", Uuid, index=True),
    Column("student", Uuid, index=True),
)  # fmt: skip
attempts = Table(
    "attempts", TABLES, _key("attempt"), Column("quiz", Uuid), Column("kind", Text), Column("title", Text),
    Column("course", Uuid, index=True), Column("student", Uuid), Column("started_at", Moment),
    Column("submitted_at", Moment), Column("percentage", Float), Column("passed", Boolean),
    Column("score_visible", Boolean), Column("questions", JSONB), Column("number", Integer),
    Column("enrollment", Uuid), Column("lesson", Uuid), Column("local_date", Date),
    Column("seconds_taken", Integer), Index("ix_attempts_student_quiz", "student", "quiz"),
)  # fmt: skip
quizzes = Table(
    "quizzes", TABLES, _key("quiz"), Column("course", Uuid, index=True), Column("title", Text),
    Column("kind", Text),
)  # fmt: skip
submissions = Table(
    "submissions", TABLES, _key("submission"), Column("assignment", Uuid), Column("title", Text),
    Column("course", Uuid, index=True), Column("student", Uuid, index=True), Column("submitted_at", Moment),
    Column("late_seconds", Integer), Column("percentage", Float), Column("excused", Boolean),
    Column("posted", Boolean), Column("enrollment", Uuid), Column("local_date", Date),
)  # fmt: skip
# How often a learner has played each stretch (`rules.STRETCH` seconds) of a lesson's video or audio.
media = Table(
    "media", TABLES, _key("lesson"), _key("student"), _key("stretch", BigInteger()),
    Column("course", Uuid, index=True), Column("plays", BigInteger, nullable=False),
)  # fmt: skip
study = Table(
    "study", TABLES, _key("student"), _key("course"), _key("local_date", Date()),
    Column("seconds", BigInteger, nullable=False),
)  # fmt: skip
# Days on which a learner learned something: on one course, and on any.
course_days = Table(
    "course_days", TABLES, _key("course"), _key("student"), _key("local_date", Date()),
    Index("ix_course_days_course_local_date", "course", "local_date"),
)  # fmt: skip
learning_days = Table("learning_days", TABLES, _key("student"), _key("local_date", Date()))
active_days = Table(
    "active_days", TABLES, _key("day", Date()), _key("user"), Index("ix_active_days_user_day", "user", "day")
)
certificates = Table(
    "certificates", TABLES, _key("certificate"), Column("course", Uuid), Column("student", Uuid, index=True),
    Column("issued_at", Moment), Column("revoked", Boolean, nullable=False),
)  # fmt: skip
discussions = Table(
    "discussions", TABLES, _key("discussion"), Column("course", Uuid, index=True), Column("author", Uuid),
    Column("discussion_type", Text), Column("started_at", Moment), Column("is_resolved", Boolean),
    Column("is_hidden", Boolean),
)  # fmt: skip
replies = Table(
    "replies", TABLES, _key("reply"), Column("discussion", Uuid), Column("course", Uuid, index=True),
    Column("author", Uuid, index=True), Column("posted_at", Moment), Column("is_chat", Boolean),
    Column("is_instructor_reply", Boolean), Column("is_solution", Boolean), Column("upvotes", Integer),
    Column("is_deleted", Boolean),
)  # fmt: skip
tickets = Table(
    "tickets", TABLES, _key("ticket"), Column("requester", Uuid), Column("course", Uuid),
    Column("category", Text), Column("priority", Text), Column("status", Text), Column("opened_at", Moment),
    Column("first_response_at", Moment), Column("resolved_at", Moment), Column("rating", Integer),
)  # fmt: skip
activities = Table(
    "activities", TABLES, _key("event_id"), Column("user", Uuid), Column("kind", Text),
    Column("course", Uuid), Column("title", Text), Column("at", Moment),
    Index("ix_activities_user_at", "user", "at", "event_id"), Index("ix_activities_at", "at", "event_id"),
)  # fmt: skip

# The learner's results of each quiz that was handed in: the best of all, and of those that they may see.
quiz_results = Table(
    "quiz_results", DERIVED, _key("student"), _key("quiz"), Column("course", Uuid, index=True),
    Column("title", Text), Column("best", Float), Column("best_visible", Float),
)  # fmt: skip
# One row a learner and course: when they last learned something, for how long in all, and the sum of their
# best results. Side by side, for who teaches asks for all learners of a course at once.
learners = Table(
    "learners", DERIVED, _key("course"), _key("student"), Column("last_day", Date),
    Column("seconds", BigInteger, nullable=False, server_default="0"),
    Column("quizzes", BigInteger, nullable=False, server_default="0"),
    Column("score", Numeric, nullable=False, server_default="0"),
)  # fmt: skip
# The weeks (their Mondays) in which a learner learned something on a course.
course_weeks = Table("course_weeks", DERIVED, _key("course"), _key("student"), _key("week", Date()))
# How many people were active on `day` and before that last on `before` (null: never). Those active in a
# period are they who were active on a day of it and on none of it before: a sum, where people would have to
# be told apart.
returning_days = Table(
    "returning_days", DERIVED, Column("day", Date), Column("before", Date),
    Column("people", BigInteger, nullable=False),
    UniqueConstraint("day", "before", postgresql_nulls_not_distinct=True),
)  # fmt: skip
