"""The lake's tables. Methods block: call them in a thread.

Each commit changes what a table holds and the property `POSITION` at once, so that an event is there exactly
once wherever the writer is killed: files of a commit that did not come are nobody's; `tidy.py` deletes them.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any
from uuid import uuid4

import obstore
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionFieldValue, PartitionKey, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table, WriteTask
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

from libs.common.data.db import connect_options
from libs.common.files.storage import open_area
from libs.common.runtime.connections import postgres_url
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger
from services.analytics.lake.files import AREA, IMPLEMENTATION, STORAGE
from services.analytics.settings import Settings

log = get_logger(__name__)

# Read when PyIceberg makes its threads: each holds a file that it writes, and more of them are no quicker.
os.environ.setdefault("PYICEBERG_MAX_WORKERS", "2")
# Arrow's own pool keeps what it has freed: a hundred MiB of a worker that writes now and then.
pa.set_memory_pool(pa.system_memory_pool())

CATALOG = "lectern"
LOG = "event_log"
POSITION = "lectern.position"
"""Property of a table: it holds what the log had up to this position, and nothing later."""
LAST_EVENT = "lectern.last_event"
"""Property of the log's table: position and id of its last event."""
LOG_SCHEMA = Schema(
    NestedField(1, "position", LongType(), required=True, doc="order of application"),
    NestedField(2, "occurred_at", TimestamptzType(), required=True),
    NestedField(3, "event_id", StringType(), required=True),
    NestedField(4, "topic", StringType(), required=True),
    NestedField(5, "key", StringType(), required=True),
    NestedField(6, "seq", LongType(), required=True),
    NestedField(7, "type", StringType(), required=True),
    NestedField(8, "payload", StringType(), required=False, doc="JSON; none for a tombstone"),
)
LOG_COLUMNS = tuple(field.name for field in LOG_SCHEMA.fields)
BY_MONTH_AND_TOPIC = PartitionSpec(
    PartitionField(source_id=2, field_id=1000, transform=MonthTransform(), name="occurred_month"),
    PartitionField(source_id=4, field_id=1001, transform=IdentityTransform(), name="topic"),
)
PROPERTIES = {
    "format-version": "2",
    # Another try after somebody else's commit would add the same events once more.
    "commit.retry.num-retries": "0",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-limit": "65536",
    # Bounds of a column are its values: manifests are to know nothing of what an event says.
    "write.metadata.metrics.column.payload": "none",
    "write.metadata.previous-versions-max": "10",
    "write.metadata.delete-after-commit.enabled": "false",
}


class LakeLost(Exception):
    """The catalog names a table of which the storage has nothing."""


class Lake:
    """The catalog in the schema of analytics, and the area of the storage that its tables lie in."""

    def __init__(self, settings: Settings) -> None:
        url = postgres_url(settings, direct=True).set(drivername="postgresql+psycopg")
        url = url.update_query_dict({"options": connect_options(settings.service)})
        self.store, self.root, self.url = open_area(settings.storage_url, AREA)
        self.catalog: Catalog = SqlCatalog(
            CATALOG,
            **{
                "uri": url.render_as_string(hide_password=False),
                "py-io-impl": IMPLEMENTATION,
                STORAGE: settings.storage_url,
                "init_catalog_tables": "false",
            },
        )

    def close(self) -> None:
        assert isinstance(self.catalog, SqlCatalog)
        self.catalog.engine.dispose()

    def names(self) -> list[str]:
        if not self.catalog.namespace_exists(CATALOG):
            return []
        return sorted(name for _, name in self.catalog.list_tables(CATALOG))

    def log(self) -> Table:
        """The table of the event log, made where there is none."""
        return self.table(LOG, LOG_SCHEMA, BY_MONTH_AND_TOPIC)

    def table(
        self, name: str, schema: Any, spec: PartitionSpec, properties: Mapping[str, str] | None = None
    ) -> Table:
        """A table, made where there is none."""
        table = self.load(name)
        if table is None:
            self.catalog.create_namespace_if_not_exists(CATALOG)
            location = f"{self.url}/{name}"
            table = self.catalog.create_table(
                (CATALOG, name), schema, location, spec, properties=PROPERTIES | dict(properties or {})
            )
        return table

    def load(self, name: str) -> Table | None:
        """A table as it is now. Where the catalog was restored to a moment whose metadata are deleted by now,
        the newest that are there: they say up to which position it is. Raises LakeLost."""
        try:
            return self.catalog.load_table((CATALOG, name))
        except NoSuchTableError:
            return None
        except FileNotFoundError as error:
            newest = max(
                (str(e["path"]) for batch in obstore.list(self.store, f"{name}/metadata") for e in batch),
                key=lambda path: (path.endswith(".metadata.json"), path),
                default="",
            )
            if not newest.endswith(".metadata.json"):
                raise LakeLost(f"the files of the lake's table {name} are gone") from error
            log.warning("lake_table_adopted", table=name, metadata=newest)
            self.forget(name)
            return self.catalog.register_table((CATALOG, name), f"{self.url}/{newest}")

    def forget(self, name: str) -> None:
        """Take a table out of the catalog. Its files stay."""
        self.catalog.drop_table((CATALOG, name))


@contextmanager
def open_lake(settings: Settings) -> Iterator[Lake]:
    lake = Lake(settings)
    try:
        yield lake
    finally:
        lake.close()


def position_of(table: Table) -> int:
    return int(table.properties.get(POSITION, "0"))


def arrow_of(rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows of the log, in the order of `LOG_COLUMNS`."""
    schema = LOG_SCHEMA.as_arrow()
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, type=field.type) for field, column in zip(schema, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def write(table: Table, rows: pa.Table) -> list[DataFile]:
    """Files of these rows, one a partition. They are of the table only when `commit` says so."""
    number = uuid4()
    tasks = (
        WriteTask(number, place, table.schema(), part.to_batches(), partition_key=key)
        for place, (key, part) in enumerate(_partitions(table, rows))
    )
    return list(write_file(table.io, table.metadata, tasks))


def _partitions(table: Table, rows: pa.Table) -> Iterator[tuple[PartitionKey | None, pa.Table]]:
    """PyIceberg's own partitioning by month wants a library in Rust."""
    spec = table.spec()
    if spec.is_unpartitioned():
        yield None, rows
        return
    month, topic = spec.fields
    at = rows["occurred_at"]
    months = pc.add(pc.multiply(pc.subtract(pc.year(at), 1970), 12), pc.subtract(pc.month(at), 1))
    groups = pa.table({"month": months, "topic": rows["topic"]})
    for group in groups.group_by(["month", "topic"]).aggregate([]).sort_by("topic").to_pylist():
        values = [
            PartitionFieldValue(month, int(group["month"])),
            PartitionFieldValue(topic, group["topic"]),
        ]
        chosen = pc.and_(pc.equal(months, group["month"]), pc.equal(rows["topic"], group["topic"]))
        yield PartitionKey(values, spec, table.schema()), rows.filter(chosen)


def commit(
    table: Table,
    added: Iterable[DataFile],
    removed: Iterable[DataFile] = (),
    properties: Mapping[str, str] | None = None,
) -> None:
    """One snapshot, with properties that belong to it. Raises CommitFailedException, and then nothing has
    changed, when somebody else has committed since the table was loaded."""
    failpoint("lake.before_commit")
    removed = list(removed)
    with table.transaction() as transaction:
        update = transaction.update_snapshot()
        with update.overwrite() if removed else update.merge_append() as change:
            for file in added:
                change.append_data_file(file)
            for file in removed:
                change.delete_data_file(file)
        if properties:
            transaction.set_properties(dict(properties))
    failpoint("lake.after_commit")


def files_of(table: Table, condition: str | None = None) -> list[DataFile]:
    """The files that the table is made of by now, of those rows alone that a condition takes."""
    scan = table.scan() if condition is None else table.scan(row_filter=condition)
    return [task.file for task in scan.plan_files()]


def read(table: Table, files: Iterable[DataFile]) -> pa.Table:
    """All rows of these files."""
    import pyarrow.parquet

    parts = []
    for file in files:
        with table.io.new_input(file.file_path).open() as source:
            parts.append(pyarrow.parquet.read_table(source))
    return pa.concat_tables(parts)


def following(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def of_month(month: date, last: int) -> str:
    """The condition of a month's events up to a position."""
    return (
        f"(occurred_at >= '{month}T00:00:00+00:00' and occurred_at < '{following(month)}T00:00:00+00:00'"
        f" and position <= {last})"
    )


def between(after: int, upto: int) -> str:
    return f"(position > {after} and position <= {upto})"


def rows_where(table: Table, condition: str) -> list[tuple[Any, ...]]:
    """Events in the order of their positions, each in that of `LOG_COLUMNS`."""
    found = table.scan(row_filter=condition).to_arrow().sort_by("position")
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))
