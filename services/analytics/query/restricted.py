"""Queries of those below manager: own courses, small groups left out, and then filters, order and limit.

Filters by measures, order and limits come after small groups are hidden, so that they tell nothing of them.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import Unprocessable
from services.analytics.dictionary import dictionary
from services.analytics.query.access import cells_of
from services.analytics.query.conditions import Condition, Tree
from services.analytics.query.fetch import Found, Row, fetch, found_of
from services.analytics.query.plan import Plan
from services.analytics.query.row_sets import RowSets, row_sets
from services.analytics.query.small_groups import FEWEST, Key, Levels, hidden_cells
from services.analytics.query.statement import CellDimension, OutputColumn, compile_cells, compile_plan

MOST_CELLS = 5_000


async def run_restricted(session: AsyncSession, plan: Plan, me: UUID) -> Found:
    """Raises QueryTooExpensive, and Unprocessable for too many groups."""
    statement = compile_plan(plan, me=me, limit=MOST_CELLS + 1)
    rows = await fetch(session, statement)
    if len(rows) > MOST_CELLS:
        raise _too_many_groups()
    groups, width = len(plan.groups), len(statement.columns)
    result = [list(row[:width]) for row in rows]
    small: set[int] = set()
    start = width
    for fact in plan.facts:
        sets = row_sets(plan, fact)
        counts = slice(start, start + len(sets.conditions))
        start = counts.stop
        if dictionary().datasets[fact].person is None:
            continue
        hidden = await _hidden_groups(session, plan, fact, sets, me)
        for place, row in enumerate(rows):
            people = row[counts]
            for column, one in enumerate(plan.measures, groups):
                if one.dataset == fact and _is_small(people, tuple(row[:groups]), sets.of[one.name], hidden):
                    small.add(place)
                    result[place][column] = None
    kept = [(place, row) for place, row in enumerate(result) if _holds(plan.having, row, statement.columns)]
    _sort(kept, plan, statement.columns)
    page = kept[plan.offset : plan.offset + plan.limit]
    truncated = len(kept) > plan.offset + plan.limit
    return found_of(
        plan, [tuple(row) for _, row in page], truncated, sum(place in small for place, _ in page)
    )


def _is_small(people: Sequence[int | None], group: Key, sets: frozenset[int], hidden: list[set[Key]]) -> bool:
    """Whether a measure of these sets must not be shown of a group with so many people in each set."""
    return any(0 < (people[n] or 0) < FEWEST or ((people[n] or 0) and group in hidden[n]) for n in sets | {0})


def _sort(kept: list[tuple[int, list[Any]]], plan: Plan, columns: Sequence[OutputColumn]) -> None:
    """By the plan's order; what has no value comes last."""
    for key, way in reversed(plan.order):
        column = next(i for i, c in enumerate(columns) if c.key == key)
        have = [entry for entry in kept if entry[1][column] is not None]
        have.sort(key=lambda entry: _comparable(entry[1][column]), reverse=way == "desc")
        kept[:] = have + [entry for entry in kept if entry[1][column] is None]


def _comparable(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def _too_many_groups() -> Unprocessable:
    return Unprocessable.field("dimensions", f"makes more than {MOST_CELLS} groups: ask for fewer or filter")


async def _hidden_groups(
    session: AsyncSession, plan: Plan, fact: str, sets: RowSets, me: UUID
) -> list[set[Key]]:
    """For each set of rows the groups of the answer that cover a hidden cell."""
    dims = cells_of(plan, fact)
    if not dims:
        return [set() for _ in sets.conditions]
    rows = await fetch(session, compile_cells(plan, fact, dims, me, 4 * MOST_CELLS + 1))
    if len(rows) > 4 * MOST_CELLS:
        raise _too_many_groups()
    finest = [dim.level for dim in dims]
    found = []
    for number in range(len(sets.conditions)):
        tables, covering = _tables(rows, dims, len(plan.groups), number)
        # Of all rows a group is hidden for its own size alone: other sets are what measures tell of.
        told = any(number in of for of in sets.of.values())
        hidden = hidden_cells(tables, finest) if told else set()
        found.append({group for cell, group in covering if cell in hidden})
    return found


def _tables(
    rows: Sequence[Row], dims: Sequence[CellDimension], groups: int, number: int
) -> tuple[dict[Levels, dict[Key, int]], list[tuple[Key, Key]]]:
    """People by cell of every table, and of the finest the chosen cells with the groups they are in."""
    levels = [dim.levels for dim in dims]
    width = sum(map(len, levels))
    finest = tuple(dim.level for dim in dims)
    tables: dict[Levels, dict[Key, int]] = {}
    covering: list[tuple[Key, Key]] = []
    counts = 2 * width + 1 + groups
    for row in rows:
        people = row[counts + number]
        if not people:
            continue
        of: list[str | None] = []
        key: list[Any] = []
        start = 0
        for names in levels:
            found = next((i for i in range(len(names)) if row[start + i] == 0), None)
            of.append(None if found is None else names[found])
            key.append(None if found is None else row[width + start + found])
            start += len(names)
        tables.setdefault(tuple(of), {})[tuple(key)] = people
        if tuple(of) == finest and row[2 * width]:
            covering.append((tuple(key), tuple(row[2 * width + 1 : counts])))
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
