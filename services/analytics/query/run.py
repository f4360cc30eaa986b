"""Running a plan: read-only, with a time limit; rows as JSON for answers, in batches for exports."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import driver
from libs.common.runtime.errors import Unprocessable
from services.analytics.dictionary import TIME, dictionary, dimensions, measures
from services.analytics.projection import use_live
from services.analytics.query.access import cells_of
from services.analytics.query.conditions import Condition, Tree
from services.analytics.query.errors import QueryTooExpensive
from services.analytics.query.plan import Plan
from services.analytics.query.small_groups import FEWEST, Key, Levels, hidden_cells
from services.analytics.query.statement import (
    CellDimension,
    OutputColumn,
    Statement,
    columns_of,
    compile_cells,
    compile_plan,
)

MOST_CELLS = 5_000
BATCH = 2_000
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Found:
    """Rows of an answer, in the order of `columns`."""

    columns: tuple[OutputColumn, ...]
    rows: list[Row]
    truncated: bool
    suppressed: int


async def begin(session: AsyncSession, seconds: float) -> None:
    """Point the session at the live projection, to read from alone, for so long a statement."""
    await use_live(session)
    await session.execute(text("SET TRANSACTION READ ONLY"))
    await session.execute(
        text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(int(seconds * 1000))}
    )


async def run(session: AsyncSession, plan: Plan, *, me: UUID | None = None) -> Found:
    """The rows of a plan, of `me` of own courses and without small groups. The session has begun.

    Raises QueryTooExpensive."""
    if me is not None:
        return await _restricted(session, plan, me)
    statement = compile_plan(plan, limit=plan.limit + 1, offset=plan.offset)
    rows = await _fetch(session, statement)
    return _shown(plan, rows[: plan.limit], len(rows) > plan.limit, 0)


async def stream(
    session: AsyncSession, plan: Plan, *, me: UUID | None = None, batch: int = BATCH, limit: int | None = None
) -> AsyncIterator[list[Row]]:
    """The rows of a plan in batches, in flat memory; what they are, `columns_of(plan)` says.

    Without `limit` all of them, whatever the plan's own limit. Closing the iterator ends the statement.
    """
    if me is not None:
        found = await _restricted(session, plan, me)
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


async def _fetch(session: AsyncSession, statement: Statement) -> list[Row]:
    connection = await driver(session)
    try:
        cursor = await connection.execute(statement.sql.encode(), dict(statement.values), prepare=False)
        return await cursor.fetchall()
    except psycopg.errors.QueryCanceled as error:
        raise QueryTooExpensive from error


def _shown(plan: Plan, rows: Sequence[Row], truncated: bool, suppressed: int) -> Found:
    """Without the measures that only filters name, which are the last ones."""
    columns = columns_of(plan)
    return Found(columns, [row[: len(columns)] for row in rows], truncated, suppressed)


async def _restricted(session: AsyncSession, plan: Plan, me: UUID) -> Found:
    statement = compile_plan(plan, me=me, limit=MOST_CELLS + 1)
    rows = await _fetch(session, statement)
    if len(rows) > MOST_CELLS:
        raise _too_many_groups()
    groups, width = len(plan.groups), len(statement.columns)
    result = [list(row[:width]) for row in rows]
    small: set[int] = set()
    for number, fact in enumerate(plan.facts):
        if dictionary().datasets[fact].person is None:
            continue
        hidden = await _hidden_groups(session, plan, fact, me)
        mine = [groups + j for j, one in enumerate(plan.measures) if one.dataset == fact]
        for place, row in enumerate(rows):
            people = row[width + number] or 0
            if 0 < people < FEWEST or (people and tuple(row[:groups]) in hidden):
                small.add(place)
                for column in mine:
                    result[place][column] = None
    kept = [(place, row) for place, row in enumerate(result) if _holds(plan.having, row, statement.columns)]
    for key, way in reversed(plan.order):
        column = next(i for i, c in enumerate(statement.columns) if c.key == key)
        have = [entry for entry in kept if entry[1][column] is not None]
        have.sort(key=lambda entry: _comparable(entry[1][column]), reverse=way == "desc")
        kept = have + [entry for entry in kept if entry[1][column] is None]
    page = kept[plan.offset : plan.offset + plan.limit]
    return _shown(
        plan,
        [tuple(row) for _, row in page],
        len(kept) > plan.offset + plan.limit,
        sum(place in small for place, _ in page),
    )


def _comparable(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _too_many_groups() -> Unprocessable:
    return Unprocessable.field("dimensions", f"makes more than {MOST_CELLS} groups: ask for fewer or filter")


async def _hidden_groups(session: AsyncSession, plan: Plan, fact: str, me: UUID) -> set[Key]:
    """The groups of the answer that cover a hidden cell."""
    dims = cells_of(plan, fact)
    if not dims:
        return set()
    rows = await _fetch(session, compile_cells(plan, fact, dims, me, 4 * MOST_CELLS + 1))
    if len(rows) > 4 * MOST_CELLS:
        raise _too_many_groups()
    finest = [dim.level for dim in dims]
    tables, covering = _tables(rows, dims, len(plan.groups))
    hidden = hidden_cells(tables, finest)
    return {group for cell, group in covering if cell in hidden}


def _tables(
    rows: Sequence[Row], dims: Sequence[CellDimension], groups: int
) -> tuple[dict[Levels, dict[Key, int]], list[tuple[Key, Key]]]:
    """People by cell of every table, and of the finest the chosen cells with the groups they are in."""
    levels = [dim.levels for dim in dims]
    width = sum(map(len, levels))
    finest = tuple(dim.level for dim in dims)
    tables: dict[Levels, dict[Key, int]] = {}
    covering: list[tuple[Key, Key]] = []
    for row in rows:
        of: list[str | None] = []
        key: list[Any] = []
        start = 0
        for names in levels:
            found = next((i for i in range(len(names)) if row[start + i] == 0), None)
            of.append(None if found is None else names[found])
            key.append(None if found is None else row[width + start + found])
            start += len(names)
        cell, people = tuple(key), row[-1]
        tables.setdefault(tuple(of), {})[cell] = people
        if tuple(of) == finest and row[2 * width]:
            covering.append((cell, tuple(row[2 * width + 1 : 2 * width + 1 + groups])))
    return tables, covering


def _holds(tree: Tree, row: Sequence[Any], columns: Sequence[OutputColumn]) -> bool:
    """Whether a row passes the filters by measures; what is hidden passes none but notSet and notEquals."""
    if not isinstance(tree, Condition):
        parts = (_holds(part, row, columns) for part in tree.parts)
        return all(parts) if tree.every else any(parts)
    value = next(row[i] for i, column in enumerate(columns) if column.key == tree.member)
    match tree.operator:
        case "set":
            return value is not None
        case "notSet":
            return value is None
        case "equals":
            return value is not None and value in tree.values
        case "notEquals":
            return value is None or value not in tree.values
        case _ if value is None:
            return False
        case "gt":
            return bool(value > tree.values[0])
        case "gte":
            return bool(value >= tree.values[0])
        case "lt":
            return bool(value < tree.values[0])
        case _:
            return bool(value <= tree.values[0])


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
