"""SQL over the lake with DuckDB, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from services.analytics.lake.files import path_of
from services.analytics.lake.tables import Lake, files_of


@contextmanager
def reader(lake: Lake) -> Iterator[Any]:
    """A DuckDB connection in which every table of the lake is a view of its newest snapshot.

    Files are read where they lie, of S3 by the suite's own client.
    """
    connection = duckdb.connect()
    try:
        prefix = str(lake.root) if lake.root is not None else ""
        if lake.root is None:
            prefix = _register(connection, lake)
        for name in lake.names():
            table = lake.load(name)
            assert table is not None
            paths = [f"{prefix}/{path_of(file.file_path)}" for file in files_of(table)]
            if paths:
                source = connection.read_parquet(paths, hive_partitioning=False)
            else:
                empty = table.schema().as_arrow().empty_table()
                source = connection.from_arrow(empty)
            source.create_view(name)
        yield connection
    finally:
        connection.close()


def _register(connection: Any, lake: Lake) -> str:
    """Give DuckDB the storage as a file system; returns how its paths begin."""
    from obstore.fsspec import FsspecStore

    bucket, _, prefix = lake.url.removeprefix("s3://").partition("/")
    connection.register_filesystem(FsspecStore("s3"))
    return f"s3://{bucket}/{prefix}"
