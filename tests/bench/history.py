"""A year of a big school in the event log: how fast it is folded, and whether dashboards notice its length.

`ONLY=history make bench` takes about twenty minutes and 20 GB of disk; `EVENTS=1000000` makes it shorter.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterable

import httpx
import psycopg

from deploy.local.testing import suite_servers
from services.analytics.rebuild import Rebuilt, run
from tests.bench.figures import Figure
from tests.bench.school import COLUMNS, Row, School, school
from tests.bench.service import migrated, running

LEARNERS, COURSES, FEW, TIMES = 100_000, 1_000, 10_000, 200
LIMIT = 3000.0


def write(url: str, rows: Iterable[Row]) -> int:
    """Copy events into the log; returns how many."""
    written = 0
    with psycopg.connect(url, options="-c statement_timeout=0") as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY analytics.event_log ({COLUMNS}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
                written += 1
        cursor.execute(
            "UPDATE analytics.live_projection SET as_of = (SELECT max(occurred_at) FROM analytics.event_log)"
        )
    with psycopg.connect(url, autocommit=True, options="-c statement_timeout=0") as connection:
        connection.execute("ANALYZE analytics.event_log")
    return written


async def fold(url: str, *, accept: bool) -> tuple[Rebuilt, float]:
    began = time.perf_counter()
    result = await run(0, swap_differing=accept)
    seconds = time.perf_counter() - began
    with psycopg.connect(url, autocommit=True, options="-c statement_timeout=0") as connection:
        connection.execute("VACUUM ANALYZE")
    return result, seconds


async def dashboards(url: str, directory: str, made: School) -> dict[str, list[float]]:
    """Milliseconds of each dashboard, over HTTP, one request after another."""
    teacher, course = made.teachers[0], made.courses[0]
    student = next(seat.student for seat in made.seats if seat.course == 0)
    paths = {
        "student": (f"student:{student}", "/api/core/analytics/student/"),
        "teacher": (f"teacher:{teacher}", "/api/core/analytics/teacher/"),
        "course": (f"teacher:{teacher}", f"/api/courses/{course}/analytics/"),
        "platform": (f"manager:{teacher}", "/api/core/analytics/platform/"),
        "compared": (f"manager:{teacher}", "/api/core/analytics/platform/?compare=previous"),
    }
    times: dict[str, list[float]] = {}
    people = sorted({person for person, _ in paths.values()})
    async with running("analytics", url, directory, people) as service:
        for name, (person, path) in paths.items():
            headers = {"Authorization": f"Bearer {service.tokens[person]}"}
            async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60) as http:
                times[name] = [await _timed(http, path) for _ in range(TIMES + 10)][10:]
    return times


async def _timed(http: httpx.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - began) * 1000


async def measure() -> list[Figure]:
    most = int(os.environ.get("EVENTS", "10000000"))
    with suite_servers(["postgres"]) as servers, tempfile.TemporaryDirectory() as directory:
        url = await asyncio.to_thread(migrated, servers.postgres, "analytics")
        made = school(LEARNERS, COURSES)
        base = await asyncio.to_thread(write, url, made.base())
        # What is looked at has the same content before and after: only the history around it grows.
        looked_at = range(0, COURSES, len(made.teachers))
        await asyncio.to_thread(write, url, made.events(FEW, looked_at))
        await fold(url, accept=True)
        short = await dashboards(url, directory, made)
        began = time.perf_counter()
        written = await asyncio.to_thread(write, url, made.events(most))
        writing = time.perf_counter() - began
        await fold(url, accept=True)
        long = await dashboards(url, directory, made)
        again, seconds = await fold(url, accept=False)
    medians = {n: (statistics.median(short[n]), statistics.median(long[n])) for n in short}
    ratios = {name: after / before for name, (before, after) in medians.items()}
    slowest = {n: sorted(times)[int(len(times) * 0.99)] for n, times in long.items()}
    said = "; ".join(f"{n} {b:.1f} → {a:.1f} ms, p99 {slowest[n]:.1f}" for n, (b, a) in medians.items())
    return [
        Figure(
            "history, events folded a second", again.events / seconds, "", least=20_000, aim=60_000,
            detail=f"{again.events:,} events ({base:,} of them states of people and courses), written at"
            f" {written / writing:,.0f} a second, folded in {seconds:.0f} s with indexes, aggregates and both"
            f" digests; the digests {'differ: ' + str(again.differing) if again.differing else 'are equal'}",
            reason="every event becomes rows in up to six tables with their indexes, on one disk",
        ),
        Figure(
            f"dashboards behind {written:,} events against {FEW:,}", max(ratios.values()), " ×",
            least=1.2, aim=1.05, at_most=True, detail=f"the worst of {len(ratios)}; {said}",
            reason="a short history has fewer days and quarters of an hour in which something happened",
        ),
        Figure(
            "dashboards, p99", max(slowest.values()), " ms", least=50, aim=50, at_most=True,
            detail=f"of {TIMES} requests each, one after another",
            reason="the biggest answers are made of hundreds of days in Python",
        ),
    ]  # fmt: skip
