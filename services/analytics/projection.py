"""The read models: tables of one projection, each a fold of the event log.

A projection is a schema `projection_<number>`. Sessions find its tables by `search_path`, so the same
handlers fill the live one and one that is being rebuilt beside it. Rows of different keys must not depend on
each other: a rebuild applies the events of different keys in another order.
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
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateIndex, CreateTable

TABLES = MetaData()
Moment = DateTime(timezone=True)


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
)  # fmt: skip
lesson_completions = Table(
    "lesson_completions", TABLES, _key("enrollment"), _key("lesson"), Column("course", Uuid, index=True),
    Column("student", Uuid, index=True), Column("completed_at", Moment), Column("local_date", Date),
)  # fmt: skip
attempts = Table(
    "attempts", TABLES, _key("attempt"), Column("quiz", Uuid), Column("kind", Text), Column("title", Text),
    Column("course", Uuid, index=True), Column("student", Uuid, index=True), Column("started_at", Moment),
    Column("submitted_at", Moment), Column("percentage", Float), Column("passed", Boolean),
    Column("score_visible", Boolean), Column("questions", JSONB),
)  # fmt: skip
submissions = Table(
    "submissions", TABLES, _key("submission"), Column("assignment", Uuid), Column("title", Text),
    Column("course", Uuid, index=True), Column("student", Uuid, index=True), Column("submitted_at", Moment),
    Column("late_seconds", Integer), Column("percentage", Float), Column("excused", Boolean),
    Column("posted", Boolean),
)  # fmt: skip
study = Table(
    "study", TABLES, _key("student"), _key("course"), _key("local_date", Date()),
    Column("seconds", BigInteger, nullable=False),
)  # fmt: skip
learning_days = Table("learning_days", TABLES, _key("student"), _key("local_date", Date()))
active_days = Table("active_days", TABLES, _key("day", Date()), _key("user"))
certificates = Table(
    "certificates", TABLES, _key("certificate"), Column("course", Uuid), Column("student", Uuid, index=True),
    Column("issued_at", Moment), Column("revoked", Boolean, nullable=False),
)  # fmt: skip
discussions = Table(
    "discussions", TABLES, _key("discussion"), Column("course", Uuid, index=True), Column("author", Uuid),
    Column("discussion_type", Text), Column("started_at", Moment), Column("is_resolved", Boolean),
)  # fmt: skip
replies = Table(
    "replies", TABLES, _key("reply"), Column("discussion", Uuid), Column("course", Uuid, index=True),
    Column("author", Uuid, index=True), Column("posted_at", Moment), Column("is_chat", Boolean),
    Column("is_instructor_reply", Boolean), Column("is_solution", Boolean), Column("upvotes", Integer),
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


def schema_name(number: int) -> str:
    return f"projection_{number}"


async def create_projection(session: AsyncSession, number: int) -> None:
    """Make the empty tables of a projection, in place of any that were left behind."""
    schema = schema_name(number)
    await session.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
    await session.execute(text(f"CREATE SCHEMA {schema}"))
    await use_projection(session, number)
    for table in TABLES.sorted_tables:
        await session.execute(CreateTable(table))
        for index in sorted(table.indexes, key=lambda i: str(i.name)):
            await session.execute(CreateIndex(index))


async def use_projection(session: AsyncSession, number: int) -> None:
    """Find this projection's tables in the rest of the transaction."""
    await session.execute(
        text("SELECT set_config('search_path', :path, true)"),
        {"path": f"{schema_name(number)}, analytics, analytics_audit, public"},
    )


async def use_live(session: AsyncSession, *, writing: bool = False) -> int:
    """Find the live projection's tables in the rest of the transaction; returns its number.

    A writer keeps the swap of a rebuild waiting until its commit. The first projection is made here.
    """
    share = " FOR SHARE" if writing else ""
    number = await session.scalar(text(f"SELECT number FROM live_projection{share}"))
    if number is None:
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('analytics.projection'))"))
        number = await session.scalar(text("SELECT number FROM live_projection"))
        if number is None:
            number = 1
            await create_projection(session, number)
            await session.execute(
                text("INSERT INTO live_projection (id, number) VALUES (1, :n)"), {"n": number}
            )
    await use_projection(session, number)
    return int(number)


async def digest(session: AsyncSession, number: int) -> dict[str, str]:
    """MD5 over every row of each table, in key order: equal digests mean equal read models."""
    await use_projection(session, number)
    found: dict[str, str] = {}
    for table in TABLES.sorted_tables:
        keys = ", ".join(f't."{column.name}"' for column in table.primary_key)
        rows = f"string_agg(t::text, '|' ORDER BY {keys})"
        query = f"SELECT count(*) || ':' || coalesce(md5({rows}), '') FROM {table.name} t"
        found[str(table.name)] = str(await session.scalar(text(query)))
    return found
