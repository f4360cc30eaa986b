"""The lake by hand: `python -m services.analytics.lake status | write [--views] | tidy | sql "SELECT …"`."""

import argparse
import asyncio
import sys
from datetime import timedelta
from typing import Any

import orjson

from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue, TaskRun
from libs.common.runtime.clock import system_clock
from libs.common.runtime.failpoints import arm
from services.analytics.lake.retention import let_go
from services.analytics.lake.tables import POSITION, files_of, open_lake
from services.analytics.lake.tasks import bring_on, turn
from services.analytics.lake.tidy import tidy
from services.analytics.lake.views import AS_OF, write_views
from services.analytics.settings import Settings


def status(settings: Settings) -> dict[str, dict[str, Any]]:
    """Of each table: up to which position it is, of when, rows, files, bytes and snapshots."""
    found = {}
    with open_lake(settings) as lake:
        for name in lake.names():
            table = lake.load(name)
            assert table is not None
            files = files_of(table)
            found[name] = {
                "position": int(table.properties.get(POSITION, "0")),
                "as_of": table.properties.get(AS_OF),
                "rows": sum(file.record_count for file in files),
                "files": len(files),
                "bytes": sum(file.file_size_in_bytes for file in files),
                "snapshots": len(table.snapshots()),
                "metadata": table.metadata_location,
            }
    return found


async def write(settings: Settings, *, views: bool) -> str:
    """Raises TimeoutError while another one writes."""
    db = Database(settings, CeleryQueue(settings))
    try:
        async with turn(db, 300) as mine:
            if not mine:
                raise TimeoutError("another process writes the lake")
            events = await bring_on(TaskRun(db), settings)
            rows = {}
            if views:
                with open_lake(settings) as lake:
                    rows = await write_views(db, lake)
    finally:
        await db.close()
    return f"{events} events" + (f", {sum(rows.values())} rows of {len(rows)} views" if views else "")


async def clean(settings: Settings) -> str:
    """Raises TimeoutError while another one writes."""
    db = Database(settings, CeleryQueue(settings))
    now = system_clock()
    before = now - timedelta(hours=settings.lake_hours)
    snapshots = files = 0
    months = []
    try:
        async with turn(db, 300) as mine:
            if not mine:
                raise TimeoutError("another process writes the lake")
            with open_lake(settings) as lake:
                if settings.log_months:
                    months = await let_go(db, lake, settings.log_months, now.date())
                for name in lake.names():
                    old, gone = await asyncio.to_thread(tidy, lake, name, before)
                    snapshots, files = snapshots + old, files + gone
    finally:
        await db.close()
    return f"{len(months)} months of the log detached; {snapshots} snapshots and {files} files are gone"


class NotAnswered(Exception):
    """What DuckDB has against a query."""


def ask(settings: Settings, query: str, *, as_json: bool) -> str:
    """The answer as a table or as JSON. Raises NotAnswered."""
    import duckdb

    from services.analytics.lake.sql import reader

    with open_lake(settings) as lake, reader(lake) as connection:
        try:
            answer = connection.sql(query)
            if answer is None:
                return ""
            if not as_json:
                return str(answer)
            rows = answer.fetchall()
        except duckdb.Error as error:
            raise NotAnswered(error) from error
        named = [dict(zip(answer.columns, row, strict=True)) for row in rows]
        return orjson.dumps(named, default=str).decode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.analytics.lake", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="what the tables hold")
    commands.add_parser("write", help="write now what is new").add_argument("--views", action="store_true")
    commands.add_parser("tidy", help="let old months and unused files go now")
    asking = commands.add_parser("sql", help="ask DuckDB")
    asking.add_argument("query")
    asking.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings = Settings()
    arm(settings.failpoints)
    try:
        if arguments.command == "status":
            print(orjson.dumps(status(settings), option=orjson.OPT_INDENT_2).decode())
        elif arguments.command == "write":
            print(asyncio.run(write(settings, views=arguments.views)))
        elif arguments.command == "tidy":
            print(asyncio.run(clean(settings)))
        else:
            print(ask(settings, arguments.query, as_json=arguments.json))
    except ImportError as error:
        print(f"lake: {error.name} is not installed here; it is in the extra 'local'", file=sys.stderr)
        return 1
    except (TimeoutError, NotAnswered) as error:
        print(f"lake: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
