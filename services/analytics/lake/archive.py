"""Reading back the months of the log that only the lake holds (`retention.py` has let their partitions go).

Where no month is gone nothing of the lake is opened, nor is PyIceberg needed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database, driver
from services.analytics.models import LakeMonth
from services.analytics.settings import Settings

WINDOW = 20_000
"""Positions that are read at once."""
COLUMNS = "position, occurred_at, event_id, topic, key, seq, type, payload"
Row = tuple[Any, ...]


class LakeNotReadable(Exception):
    """Months of the log are in the lake, and this process has nothing to read it with."""


async def archived_months(session: AsyncSession) -> list[LakeMonth]:
    return list(await session.scalars(select(LakeMonth).order_by(LakeMonth.month)))


async def open_archive(db: Database) -> "Archive":
    async with db.sessions() as session:
        return Archive(db.settings, await archived_months(session))  # type: ignore[arg-type]


class Archive:
    """The events that only the lake holds, by their positions."""

    def __init__(self, settings: Settings, months: Sequence[LakeMonth]) -> None:
        self._settings = settings
        self._months = months
        self._after, self._upto = 0, 0
        self._rows: list[Row] = []
        self.last = max((month.last_position for month in months), default=0)

    async def rows(self, after: int, upto: int) -> list[Row]:
        """Events above `after`, up to `upto`, in order, in the order of `COLUMNS`. Raises LakeNotReadable."""
        if not any(m.first_position <= upto and m.last_position > after for m in self._months):
            return []
        if after < self._after or upto > self._upto:
            self._after, self._upto = after, max(upto, after + WINDOW)
            self._rows = await asyncio.to_thread(self._read)
        return [row for row in self._rows if after < row[0] <= upto]

    def _read(self) -> list[Row]:
        try:
            from services.analytics.lake import tables
        except ImportError as error:
            raise LakeNotReadable(
                f"months of the event log are in the lake alone, and {error.name} is not installed here: run"
                " this where the extra 'worker' is, such as the worker's image"
            ) from error
        months = " or ".join(tables.of_month(m.month, m.last_position) for m in self._months)
        wanted = f"{tables.between(self._after, self._upto)} and ({months})"
        with tables.open_lake(self._settings) as lake:
            return tables.rows_where(lake.log(), wanted)

    async def fill(self, session: AsyncSession, table: str, after: int, upto: int) -> None:
        """Copy these events to a table with the columns of the log."""
        await copy_to(session, table, await self.rows(after, upto))


async def copy_to(session: AsyncSession, table: str, rows: Sequence[Row]) -> None:
    if rows:
        statement = f"COPY {table} ({COLUMNS}) FROM STDIN".encode()
        async with (await driver(session)).cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                await copy.write_row(row)
