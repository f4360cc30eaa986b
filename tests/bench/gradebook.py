"""How long a whole gradebook takes: five hundred learners, forty assignments, weighted groups and drops."""

import asyncio
import tempfile
import time
from typing import Any
from uuid import UUID

import httpx
import psycopg

from deploy.local.testing import suite_servers
from tests.bench.figures import Figure
from tests.bench.lessons import COURSE, FILL, PLACES, TEACHER
from tests.bench.service import migrated, running

LEARNERS, ITEMS, TIMES = 500, 40, 7
STUDENTS = [UUID(int=number + 1) for number in range(LEARNERS)]
MARKS = """
INSERT INTO grade_marks (course, item, student, status, score, points, late_seconds, at)
 SELECT %(course)s, item, student, 'graded', (hashtext(item::text || student::text) & 1023) %% 101, 100, 0,
  now() - interval '1 day'
 FROM unnest(%(items)s::uuid[]) item, unnest(%(students)s::uuid[]) student;
"""


async def author(http: httpx.AsyncClient) -> list[UUID]:
    """The assignments, in two weighted groups of which the first drops the worst two."""
    items = []
    for number in range(ITEMS):
        body = {"course": str(COURSE), "title": f"Sheet {number}", "points": 100}
        answer = await http.post("/api/assignments/", json=body)
        assert answer.status_code == 201, answer.text
        items.append(answer.json()["uuid"])
    return items


async def measure() -> list[Figure]:
    policy: dict[str, Any] = {"groups": []}
    with suite_servers(["postgres"]) as servers, tempfile.TemporaryDirectory() as directory:
        url = await asyncio.to_thread(migrated, servers.postgres, "learning")
        values: dict[str, Any] = {
            "course": COURSE, "teacher": TEACHER, "lessons": PLACES, "students": STUDENTS,
        }  # fmt: skip
        person = f"teacher:{TEACHER}"
        async with (
            await psycopg.AsyncConnection.connect(
                url, autocommit=True, cursor_factory=psycopg.AsyncClientCursor
            ) as connection,
            running("learning", url, directory, [person]) as service,
        ):
            await connection.execute(FILL, values)
            headers = {"Authorization": f"Bearer {service.tokens[person]}"}
            async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60) as http:
                items = await author(http)
                half = len(items) // 2
                policy["groups"] = [
                    {"name": "Sheets", "weight": 40, "drop_lowest": 2, "items": items[:half]},
                    {"name": "Exams", "weight": 60, "items": items[half:]},
                ]
                path = f"/api/courses/{COURSE}"
                saved = await http.put(f"{path}/grading-policy/", json=policy)
                assert saved.status_code == 200, saved.text
                await connection.execute(MARKS, values | {"items": items})
                await connection.execute("VACUUM ANALYZE")
                times = [await _timed(http, f"{path}/gradebook/") for _ in range(TIMES)]
                export = await _timed(http, f"{path}/gradebook/export/")
    times.sort()
    return [
        Figure(
            f"gradebook of {LEARNERS} learners and {ITEMS} items",
            times[TIMES // 2],
            " ms",
            detail=f"median of {TIMES}, two groups, two drops; longest {times[-1]:.0f} ms; as CSV"
            f" {export:.0f} ms",
        )
    ]


async def _timed(http: httpx.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - began) * 1000
