"""Writing many rows of a read model by one statement."""

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import Column, Dialect, Table, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession


def _typed(column: Column[Any], dialect: Dialect) -> str:
    return f'"{column.name}" {column.type.compile(dialect)}'


async def merge(
    session: AsyncSession, table: Table, rows: Iterable[dict[str, Any]], *, add: tuple[str, ...] = ()
) -> None:
    """Insert rows; where the key exists, replace the columns that are given, and add to those of `add`.

    All rows give the same columns. Of several rows with one key the last counts, and the sum of `add`. Rows
    travel as one JSON document: one statement, and so one firing of what keeps the aggregates.
    """
    keys = [column.name for column in table.primary_key]
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        place = tuple(row[name] for name in keys)
        if add and place in latest:
            row = row | {name: latest[place][name] + row[name] for name in add}
        latest[place] = row
    if not latest:
        return
    given = list(next(iter(latest.values())))
    columns = ", ".join(f'"{name}"' for name in given)
    dialect = session.get_bind().dialect
    shape = ", ".join(_typed(table.c[name], dialect) for name in given)
    replaced = ", ".join(
        f'"{n}" = t."{n}" + excluded."{n}"' if n in add else f'"{n}" = excluded."{n}"'
        for n in given
        if n not in keys
    )
    conflict = ", ".join(f'"{name}"' for name in keys)
    statement = text(
        f"INSERT INTO {table.name} AS t ({columns})"
        f" SELECT {columns} FROM json_to_recordset(CAST(:rows AS json)) AS given({shape})"
        f" ON CONFLICT ({conflict}) DO " + (f"UPDATE SET {replaced}" if replaced else "NOTHING")
    ).bindparams(bindparam("rows"))
    await session.execute(statement, {"rows": orjson.dumps(list(latest.values())).decode()})
