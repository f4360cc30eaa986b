"""Running a plan: read-only, with a time limit; rows as JSON for answers, in batches for exports."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import driver
from services.analytics.dictionary import TIME, dictionary, dimensions, measures
from services.analytics.projection import use_live
from services.analytics.query.errors import QueryTooExpensive
from services.analytics.query.fetch import Found, Row, fetch, found_of
from services.analytics.query.plan import Plan
from services.analytics.query.restricted import run_restricted
from services.analytics.query.statement import OutputColumn, columns_of, compile_plan

BATCH = 2_000


async def begin(session: AsyncSession, seconds: float) -> None:
    """Point a new session at the live projection, to read one moment of it, for so long a statement."""
    await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    await use_live(session)
    await session.execute(text("SET TRANSACTION READ ONLY"))
    await session.execute(
        text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(int(seconds * 1000))}
    )


async def run(session: AsyncSession, plan: Plan, *, me: UUID | None = None) -> Found:
    """The rows of a plan, of `me` of own courses and without small groups. The session has begun.

    Raises QueryTooExpensive."""
    if me is not None:
        return await run_restricted(session, plan, me)
    statement = compile_plan(plan, limit=plan.limit + 1, offset=plan.offset)
    rows = await fetch(session, statement)
    return found_of(plan, rows[: plan.limit], len(rows) > plan.limit, 0)


async def stream(
    session: AsyncSession, plan: Plan, *, me: UUID | None = None, batch: int = BATCH, limit: int | None = None
) -> AsyncIterator[list[Row]]:
    """The rows of a plan in batches, in flat memory; what they are, `columns_of(plan)` says.

    Without `limit` all of them, whatever the plan's own limit. Closing the iterator ends the statement.
    """
    if me is not None:
        found = await run_restricted(session, plan, me)
        for start in range(0, len(found.rows), batch):
            yield found.rows[start : start + batch]
        return
    statement = compile_plan(plan, limit=limit, offset=plan.offset)
    width = len(columns_of(plan))
    async with (await driver(session)).cursor(name="stream") as cursor:
        try:
            await cursor.execute(statement.sql.encode(), dict(statement.values))
            while rows := await cursor.fetchmany(batch):
                yield [row[:width] for row in rows]
        except psycopg.errors.QueryCanceled as error:
            raise QueryTooExpensive from error


def as_json(value: Any, column: OutputColumn, zone: ZoneInfo) -> Any:
    """A value of an answer: hours with the zone's offset, other moments in UTC, days as dates."""
    if isinstance(value, datetime):
        if column.granularity:
            return value.astimezone(zone).isoformat()
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, (UUID, date)):
        return str(value)
    return value


def data_of(found: Found, zone: str) -> list[dict[str, Any]]:
    """Rows by key; a time is also there under its bare name, where it has one granularity."""
    place = ZoneInfo(zone)
    bare = [c.member for c in found.columns if c.granularity]
    answer = []
    for row in found.rows:
        values: dict[str, Any] = {}
        for value, column in zip(row, found.columns, strict=True):
            values[column.key] = as_json(value, column, place)
            if column.granularity and bare.count(column.member) == 1:
                values.setdefault(column.member, values[column.key])
        answer.append(values)
    return answer


def annotation_of(columns: Sequence[OutputColumn]) -> dict[str, dict[str, Any]]:
    """Title, description, type and unit of every column."""
    said: dict[str, dict[str, Any]] = {"measures": {}, "dimensions": {}, "timeDimensions": {}}
    for column in columns:
        if column.member in measures():
            measure = measures()[column.member][1]
            said["measures"][column.key] = {
                "title": measure.title, "description": measure.description, "type": measure.type,
                "unit": measure.unit,
            }  # fmt: skip
            continue
        of = dictionary().time if column.member == TIME else dimensions()[column.member].of
        kind = "timeDimensions" if column.granularity else "dimensions"
        said[kind][column.key] = {
            "title": of.title, "description": of.description, "type": column.type,
            "granularity": column.granularity,
        }  # fmt: skip
    return said
