"""The lake of a big school's year: how fast it is written, how small it is, and what a rebuild from it costs.

`ONLY=lake make bench`; `EVENTS=1000000` by default, four minutes.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime

import orjson
import psycopg

from deploy.local.testing import suite_servers
from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue
from services.analytics.settings import Settings
from services.analytics.tasks import make_partition
from tests.bench.figures import Figure
from tests.bench.history import fold, write
from tests.bench.school import school
from tests.bench.service import migrated

LEARNERS, COURSES, MONTHS, LEFT = 20_000, 200, 14, 2
QUESTION = "SELECT date_trunc('month', occurred_at) AS m, type, count(*) AS n FROM event_log GROUP BY ALL"


def command(*arguments: str, **environment: str) -> tuple[str, float, float, int]:
    """Of the lake's command line: what it said, seconds, seconds of CPU, and MiB at most."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    argv = [sys.executable, "-c", PEAK, *arguments]
    done = subprocess.run(argv, env=os.environ | environment, capture_output=True, check=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said, _, peak = done.stdout.decode().strip().rpartition("\n")
    return said, seconds, cpu, int(peak) // 1024


PEAK = """
import resource, sys
from services.analytics.lake.__main__ import main
failed = main()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(failed)
"""


async def partitions() -> None:
    settings = Settings()
    db = Database(settings, CeleryQueue(settings))
    for number in range(-MONTHS, 1):
        async with db.session() as session:
            await make_partition(session, datetime.now(UTC), number)
    await db.close()


def caught_up(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "UPDATE analytics.live_projection SET position = (SELECT max(position) FROM analytics.event_log)"
        )


def size_of_log(database: str) -> int:
    query = (
        "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits"
        " WHERE inhparent = 'analytics.event_log'::regclass"
    )
    with psycopg.connect(database) as connection:
        (size,) = connection.execute(query).fetchone() or (0,)
    return int(size)


async def measure() -> list[Figure]:
    most = int(os.environ.get("EVENTS", "1000000"))
    with suite_servers(["postgres"]) as servers, tempfile.TemporaryDirectory() as directory:
        database = await asyncio.to_thread(migrated, servers.postgres, "analytics")
        os.environ["LECTERN_STORAGE_URL"] = f"file:{directory}"
        await partitions()
        made = school(LEARNERS, COURSES)
        events = await asyncio.to_thread(write, database, made.base())
        events += await asyncio.to_thread(write, database, made.events(most))
        await fold(database, accept=True)
        caught_up(database)
        _, writing, cpu, peak = await asyncio.to_thread(command, "write")
        held = orjson.loads((await asyncio.to_thread(command, "status"))[0])["event_log"]
        assert held["rows"] == events, held
        in_log = size_of_log(database)
        _, asking, _, _ = await asyncio.to_thread(command, "sql", QUESTION, "--json")
        whole, from_log = await fold(database, accept=False)
        said, letting_go, _, _ = await asyncio.to_thread(command, "tidy", ANALYTICS_LOG_MONTHS=str(LEFT))
        left = size_of_log(database)
        again, from_lake = await fold(database, accept=False)
    assert whole.differing == []
    assert again.differing == [], again.differing
    os.environ.pop("LECTERN_STORAGE_URL")
    return [
        Figure(
            "lake, events written a second", events / writing, "", least=5_000, aim=10_000,
            detail=f"{events:,} events in {writing:.0f} s, {cpu:.0f} s of CPU, {peak} MiB at most;"
            f" {held['files']} files, {held['bytes'] / events:.0f} bytes an event, {in_log / events:.0f} in"
            f" PostgreSQL with indexes; months and kinds counted by DuckDB in {asking:.1f} s, start and all",
            reason="rows go through Python on their way to files",
        ),
        Figure(
            "rebuild with old months in the lake, against all in PostgreSQL", from_lake / from_log, " ×",
            least=3, aim=1.5, at_most=True,
            detail=f"{from_log:.0f} s and {from_lake:.0f} s; {said.partition(';')[0]} in {letting_go:.0f} s"
            f" with both digests, {in_log / 2**20:.0f} → {left / 2**20:.0f} MiB of log",
            reason="events are read back and copied in, for base tables and days of learning each",
        ),
    ]  # fmt: skip
