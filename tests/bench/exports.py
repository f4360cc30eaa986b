"""A million rows as a file: how much memory a real worker takes, for every format of an export and a report.

`ONLY=export make bench` takes some minutes; `ROWS=100000` makes it shorter.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import psycopg
from psycopg.types.json import Jsonb

from deploy.local.testing import suite_servers
from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue
from libs.common.runtime.trace import new_trace
from libs.common.testing.harness import eventually
from services.analytics.projection import use_live
from services.analytics.settings import Settings
from tests.bench.figures import CHECKOUT, Figure
from tests.bench.service import migrated

FORMATS = ("csv", "ndjson", "parquet", "xlsx")
REPORTS = ("csv", "xlsx")
MOST = 200
"""Megabytes."""
QUERY = {
    "measures": ["people.count"],
    "dimensions": ["people.uuid", "people.role", "people.time_zone", "people.joined_at"],
}
PEOPLE = (
    "INSERT INTO {schema}.users (uuid, role, is_active, time_zone, date_joined)"
    " SELECT gen_random_uuid(), 'student', true, 'Europe/London',"
    " timestamptz '2025-01-01' + n * interval '30 s'"
    " FROM generate_series(1, %s) n"
)
LIMIT = 900.0


async def school(postgres: str, url: str, rows: int) -> None:
    """So many people in the live projection; aggregates are not asked for."""
    settings = Settings()
    db = Database(settings, CeleryQueue(settings))
    async with db.session() as session:
        number = await use_live(session)
    await db.close()
    with psycopg.connect(postgres, dbname=psycopg.conninfo.conninfo_to_dict(url)["dbname"]) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(PEOPLE.format(schema=f"projection_{number}"), (rows,))


@contextlib.contextmanager
def worker(environment: dict[str, str]) -> Iterator[psutil.Process]:
    """Celery's worker as it runs in its image, with every service."""
    command = [sys.executable, "-m", "libs.common.service.tasks", "worker"]
    process = subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def most_memory(process: psutil.Process) -> float:
    """The most that it has had at once since the last `forget_most`, in megabytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def forget_most(process: psutil.Process) -> None:
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def ask_export(connection: psycopg.Connection[tuple[object, ...]], owner: UUID, kind: str) -> UUID:
    uuid = uuid4()
    connection.execute(
        "INSERT INTO exports (uuid, owner, role, asked, format, created_at)"
        " VALUES (%s, %s, 'manager', %s, %s, now())",
        (uuid, owner, Jsonb({"query": QUERY}), kind),
    )
    return uuid


def ask_report(connection: psycopg.Connection[tuple[object, ...]], owner: UUID, kind: str) -> UUID:
    report, run = uuid4(), uuid4()
    connection.execute(
        "INSERT INTO reports (uuid, version, owner, role, name, asked, format, recipients)"
        " VALUES (%s, 1, %s, 'manager', 'Everybody', %s, %s, %s)",
        (report, owner, Jsonb({"query": QUERY}), kind, Jsonb([str(owner)])),
    )
    connection.execute(
        "INSERT INTO report_runs (uuid, report, created_at) VALUES (%s, %s, now())", (run, report)
    )
    return run


async def written(
    url: str, process: psutil.Process, kind: str, *, report: bool
) -> tuple[float, float, int, int]:
    """Megabytes at most, seconds, rows, bytes."""
    ask, table, task = (
        (ask_report, "report_runs", "analytics.write_report")
        if report
        else (ask_export, "exports", "analytics.write_export")
    )
    options = "-c search_path=analytics"
    with psycopg.connect(url, autocommit=True, options=options) as connection:
        uuid = ask(connection, uuid4(), kind)
        forget_most(process)
        began = time.perf_counter()
        await CeleryQueue(Settings()).enqueue(task, [str(uuid)], new_trace())

        def ended() -> bool:
            row = connection.execute(f"SELECT status, error FROM {table} WHERE uuid = %s", (uuid,)).fetchone()
            assert row is not None
            if row[0] not in ("queued", "running", "done"):
                raise RuntimeError(f"{kind}: {row}")
            return bool(row[0] == "done")

        await eventually(ended, 300, interval=0.1)
        seconds = time.perf_counter() - began
        found = connection.execute(
            "SELECT rows, size FROM report_files WHERE run = %s"
            if report
            else "SELECT (manifest->>'rows')::int, (manifest->>'size')::bigint FROM exports WHERE uuid = %s",
            (uuid,),
        ).fetchone()
        assert found is not None
    return most_memory(process), seconds, int(str(found[0])), int(str(found[1]))


async def measure() -> list[Figure]:
    rows = int(os.environ.get("ROWS", "1000000"))
    with suite_servers(["postgres", "valkey"]) as servers, tempfile.TemporaryDirectory() as directory:
        url = await asyncio.to_thread(migrated, servers.postgres, "analytics")
        values = {
            "ANALYTICS_DATABASE_URL": url,
            "LECTERN_BROKER_URL": f"{servers.valkey}/1",
            "LECTERN_VALKEY_URL": f"{servers.valkey}/0",
            "LECTERN_STORAGE_URL": f"file:{directory}",
            "LECTERN_ENVIRONMENT": "test",
            "LECTERN_READY_FILE": f"{directory}/ready",
            "TMPDIR": directory,
            "MALLOC_ARENA_MAX": "2",  # as in the image
        }
        os.environ.update(values)
        await school(servers.postgres, url, rows)
        totals, added, said = [], [], []
        for kind, report in [*((k, False) for k in FORMATS), *((k, True) for k in REPORTS)]:
            ready = Path(values["LECTERN_READY_FILE"])
            ready.unlink(missing_ok=True)
            with worker(dict(os.environ)) as process:
                await eventually(ready.exists, 60)
                idle = most_memory(process)
                most, seconds, count, size = await written(url, process, kind, report=report)
                assert count == rows, (kind, count)
                totals.append(most)
                added.append(most - idle)
                name = f"report as {kind}" if report else kind
                said.append(f"{name} {most:.0f} MB, {seconds:.0f} s, {size / 1e6:.0f} MB of file")
    return [
        Figure(
            f"memory that a file of {rows:,} rows adds to a worker", max(added), " MB", least=MOST, aim=50,
            at_most=True, detail="resident, the most at once, of a worker started for each format",
            reason="libraries that a format needs are read when the first file is written",
        ),
        Figure(
            "the same worker, with every service in it, in all", max(totals), " MB",
            detail=f"idle {idle:.0f} MB; {'; '.join(said)}",
        ),
    ]  # fmt: skip
