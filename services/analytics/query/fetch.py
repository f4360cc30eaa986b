"""Rows of a statement, and of an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import driver
from services.analytics.query.errors import QueryTooExpensive
from services.analytics.query.plan import Plan
from services.analytics.query.statement import OutputColumn, Statement, columns_of

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Found:
    """Rows of an answer, in the order of `columns`."""

    columns: tuple[OutputColumn, ...]
    rows: list[Row]
    truncated: bool
    suppressed: int


async def fetch(session: AsyncSession, statement: Statement) -> list[Row]:
    """All rows. Raises QueryTooExpensive when the time is over."""
    connection = await driver(session)
    try:
        cursor = await connection.execute(statement.sql.encode(), dict(statement.values), prepare=False)
        return await cursor.fetchall()
    except psycopg.errors.QueryCanceled as error:
        raise QueryTooExpensive from error


def found_of(plan: Plan, rows: Sequence[Row], truncated: bool, suppressed: int) -> Found:
    """Without the measures that only filters name, which are the last ones."""
    columns = columns_of(plan)
    return Found(columns, [row[: len(columns)] for row in rows], truncated, suppressed)
