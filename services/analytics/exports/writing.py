"""Rows as files. Each format takes batches and keeps none of them, so that memory stays flat."""

import asyncio
import csv
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.sheets import guarded, write_cells
from libs.common.files.storage import CHUNK
from services.analytics.exports.rules import MOST_SHEET_ROWS
from services.analytics.exports.source import Source

Row = Sequence[Any]


class TooManyRows(Exception):
    """More than the format has room for."""


class Writer(Protocol):
    """One file. Its methods block: call them in a thread."""

    def write(self, rows: Iterable[Row]) -> None: ...

    def close(self) -> None: ...


def plain(value: Any) -> Any:
    """A value as JSON has it: moments in UTC, ids and days as text, decimals as numbers."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, (UUID, date)):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    return value


def _cell(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, (dict, list)):
        return orjson.dumps(value).decode()
    return value


class CsvWriter:
    """RFC 4180 with a header; no text is taken for a formula."""

    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerow([guarded(name) for name, _ in columns])

    def write(self, rows: Iterable[Row]) -> None:
        self._csv.writerows([self._text(_cell(value)) for value in row] for row in rows)

    @staticmethod
    def _text(value: Any) -> Any:
        if isinstance(value, bool):
            return str(value).lower()
        return guarded(value) if isinstance(value, str) else "" if value is None else value

    def close(self) -> None:
        self._file.close()


class NdjsonWriter:
    """An object a line."""

    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]) -> None:
        self._file = path.open("wb")
        self._names = [name for name, _ in columns]

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            values = dict(zip(self._names, map(plain, row), strict=True))
            self._file.write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        self._file.close()


class XlsxWriter:
    """One sheet, written row by row. Raises TooManyRows."""

    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]) -> None:
        import xlsxwriter

        self._book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
        self._quoted = self._book.add_format({"quote_prefix": True})
        self._sheet = self._book.add_worksheet("Export")
        self._sheet.freeze_panes(1, 0)
        self._row = 0
        self._line([name for name, _ in columns])

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if self._row > MOST_SHEET_ROWS:
                raise TooManyRows
            self._line([_cell(value) for value in row])

    def _line(self, cells: Iterable[Any]) -> None:
        write_cells(self._sheet, self._quoted, self._row, cells)
        self._row += 1

    def close(self) -> None:
        self._book.close()


def arrow_table(schema: Any, rows: Iterable[Row]) -> Any:
    """Rows as a table of Arrow, with the types of its schema."""
    import pyarrow

    columns = zip(*rows, strict=True)
    arrays = [
        pyarrow.array(_arrow_values(column, each.type), type=each.type)
        for each, column in zip(schema, columns, strict=True)
    ]
    return pyarrow.Table.from_arrays(arrays, schema=schema)


def _arrow_values(values: Iterable[Any], kind: Any) -> list[Any]:
    """Values of a column as pyarrow takes them for that type."""
    from pyarrow import types

    def value_of(value: Any) -> Any:
        if value is None or isinstance(value, (datetime, date)):
            return value
        if types.is_string(kind) or types.is_large_string(kind):
            return value if isinstance(value, str) else str(_cell(value))
        return float(value) if types.is_floating(kind) else value

    return [value_of(value) for value in values]


class ParquetWriter:
    """Typed columns, a row group a batch."""

    def __init__(self, path: Path, columns: Sequence[tuple[str, str]]) -> None:
        import pyarrow
        import pyarrow.parquet

        # Rows come one batch after another: threads and a pool of its own would only hold memory.
        pyarrow.set_cpu_count(1)
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())
        kinds = {
            "integer": pyarrow.int64(), "number": pyarrow.float64(), "boolean": pyarrow.bool_(),
            "time": pyarrow.timestamp("us", tz="UTC"), "date": pyarrow.date32(),
        }  # fmt: skip
        self._schema = pyarrow.schema([(name, kinds.get(kind, pyarrow.string())) for name, kind in columns])
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Iterable[Row]) -> None:
        self._writer.write_table(arrow_table(self._schema, rows))

    def close(self) -> None:
        self._writer.close()


WRITERS: dict[str, Callable[[Path, Sequence[tuple[str, str]]], Writer]] = {
    "csv": CsvWriter,
    "ndjson": NdjsonWriter,
    "xlsx": XlsxWriter,
    "parquet": ParquetWriter,
}

Progress = Callable[[int, int], Awaitable[None]]
"""Called with rows written so far and rows in all (0: not known)."""


async def write_rows(session: AsyncSession, source: Source, kind: str, file: Path, progress: Progress) -> int:
    """The whole result of a query, in flat memory; returns how many rows. Raises TooManyRows."""
    total, done = await source.count(session), 0
    writer = await asyncio.to_thread(WRITERS[kind], file, source.columns)
    try:
        async for rows in source.batches(session):
            await asyncio.to_thread(writer.write, rows)
            done += len(rows)
            await progress(done, total)
    finally:
        await asyncio.to_thread(writer.close)
    return done


async def chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as content:
        while chunk := await asyncio.to_thread(content.read, CHUNK):
            yield chunk
