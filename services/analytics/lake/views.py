"""The analysts' views as tables of the lake, each as it was at one moment."""

import asyncio
from collections.abc import Collection

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from services.analytics.dictionary import Dataset, dictionary
from services.analytics.exports.source import Source
from services.analytics.exports.writing import arrow_table
from services.analytics.lake.tables import LOG, POSITION, Lake, LakeLost, commit, files_of, write
from services.analytics.projection import use_live

AS_OF = "lectern.as_of"
# A snapshot names the files that it has taken out, with the bounds of their columns: values of people.
WITHOUT_BOUNDS = {"write.metadata.metrics.default": "counts"}
ROWS_OF_A_FILE = 500_000
KINDS: dict[str, IcebergType] = {
    "integer": LongType(), "number": DoubleType(), "boolean": BooleanType(), "time": TimestamptzType(),
    "date": DateType(),
}  # fmt: skip


def schema_of(dataset: Dataset) -> Schema:
    fields = enumerate(dataset.columns.items(), 1)
    return Schema(
        *(
            NestedField(n, name, KINDS.get(of.type, StringType()), required=False, doc=of.description)
            for n, (name, of) in fields
        )
    )


async def write_views(db: Database, lake: Lake, only: Collection[str] = ()) -> dict[str, int]:
    """Write every view, or `only` these, all as they are at one moment; returns the rows of each.

    The log is a table of its own, and is not among them.
    """
    counts: dict[str, int] = {}
    async with db.sessions() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            await session.execute(text(f"SET LOCAL {setting} = 0"))
        await use_live(session)
        moment = (await session.execute(text("SELECT position, as_of FROM analytics.live_projection"))).one()
        properties = {POSITION: str(moment.position), AS_OF: str(moment.as_of)}
        for name, dataset in dictionary().datasets.items():
            if name != LOG and (not only or name in only):
                counts[name] = await _write_view(session, lake, name, dataset, properties)
    return counts


async def _write_view(
    session: AsyncSession, lake: Lake, name: str, dataset: Dataset, properties: dict[str, str]
) -> int:
    table = await asyncio.to_thread(_table, lake, name, schema_of(dataset))
    schema = table.schema().as_arrow()
    added: list[DataFile] = []
    waiting: list[pa.Table] = []
    count = held = 0
    async for rows in Source(None, None, None, name).batches(session):
        waiting.append(arrow_table(schema, rows))
        count += len(rows)
        held += len(rows)
        if held >= ROWS_OF_A_FILE:
            added += await asyncio.to_thread(write, table, pa.concat_tables(waiting))
            waiting, held = [], 0
    if waiting:
        added += await asyncio.to_thread(write, table, pa.concat_tables(waiting))
    await asyncio.to_thread(lambda: commit(table, added, files_of(table), properties))
    return count


def _table(lake: Lake, name: str, schema: Schema) -> Table:
    """A view that has changed its columns is another table at the same place."""
    try:
        table = lake.load(name)
    except LakeLost:
        lake.forget(name)
    else:
        if table is not None and table.schema().as_struct() != schema.as_struct():
            lake.forget(name)
    return lake.table(name, schema, UNPARTITIONED_PARTITION_SPEC, WITHOUT_BOUNDS)
