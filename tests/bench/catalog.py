"""Catalog with 10,000 published courses: the list against pgbench, searches, memory during a large upload.

The service is a process of its own with one worker; pgbench runs the statement of the same list, prepared.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE
from uuid import uuid4

import httpx
import psutil
import psycopg
import uvicorn

from deploy.local.database import bootstrap_database, service_url
from deploy.local.testing import suite_servers
from libs.common.data.migrations import upgrade
from libs.common.security.tokens import KeySet
from libs.common.testing.harness import TEST_KEY, CollectedQueue, access_token, eventually
from services.catalog.app import make_app
from services.catalog.courses.queries import PUBLIC, list_statement
from services.catalog.search.lexemes import REFRESH
from services.catalog.settings import Settings
from tests.bench.figures import Figure

COURSES, CONNECTIONS, SECONDS, SEARCHES = 10_000, 8, 6, 600
UPLOAD = 500_000_000
WORDS = [
    "graphs", "optics", "logic", "proofs", "python", "history", "poetry", "algebra", "chemistry", "ethics",
    "music", "design", "networks", "statistics", "economics", "biology", "genetics", "astronomy", "rhetoric",
    "geometry",
]  # fmt: skip
FILL = """
INSERT INTO users (uuid, email, full_name, role, is_active, bio)
 SELECT md5('u' || n)::uuid, n || '@lectern.example', 'Teacher Number ' || n, 'teacher', true, ''
 FROM generate_series(1, 200) n;
INSERT INTO courses (uuid, version, title, slug, description, short_description, learning_outcomes,
  prerequisites, level, language, tags, is_featured, status, instructor, co_instructors, instructor_name,
  draft_changed, total_lessons, published_at, duration_hours)
 SELECT md5('c' || n)::uuid, 1, initcap(w[1 + n % 20] || ' and ' || w[1 + n / 20 % 20]) || ' ' || n,
  'course-' || n, repeat('What is taught about ' || w[1 + n / 7 % 20] || ' here. ', 8), 'Short.', '', '',
  'beginner', 'en', ARRAY[w[1 + n / 3 % 20]], false, 'draft', md5('u' || (1 + n % 200))::uuid, '{}',
  'Teacher Number ' || (1 + n % 200), false, 1, now() - n * interval '1 minute', n % 40
 FROM generate_series(1, COURSES) n, (SELECT ARRAY[WORDS] AS w) v;
INSERT INTO course_revisions (course_uuid, number, content) SELECT uuid, 1, '[]' FROM courses;
UPDATE courses SET revision = 1, status = 'published';
INSERT INTO course_stats (course, enrolled_count) SELECT uuid, 1 + total_lessons FROM courses;
"""


def serve(settings: Settings, port: int) -> None:
    """What the process of the service does: it says the token that it trusts, then answers."""
    print(access_token(settings, uuid4(), "teacher"), flush=True)
    app = make_app(settings, keys=KeySet.static([TEST_KEY]), queue=CollectedQueue())
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", log_level="critical", access_log=False)


@contextlib.contextmanager
def service(url: str, directory: str) -> Iterator[tuple[str, str, psutil.Process]]:
    """URL, a teacher's token, and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "CATALOG_DATABASE_URL": url,
        "LECTERN_STORAGE_URL": f"file:{directory}",
        "LECTERN_ENVIRONMENT": "test",
        "TMPDIR": directory,
    }
    command = [sys.executable, "-m", "tests.bench.catalog", str(port)]
    with subprocess.Popen(command, env=environment, stdout=PIPE, stderr=DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            token = process.stdout.readline().strip()
            yield f"http://127.0.0.1:{port}", token, psutil.Process(process.pid)
        finally:
            process.terminate()


async def requests_per_second(port: int, path: str) -> float:
    """Requests that `CONNECTIONS` connections get answered, without a client library's cost."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    end = time.monotonic() + SECONDS

    async def visit() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        done = 0
        while time.monotonic() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            assert length is not None
            await reader.readexactly(int(length[1]))
            done += 1
        writer.close()
        return done

    return sum(await asyncio.gather(*(visit() for _ in range(CONNECTIONS)))) / SECONDS


def transactions_per_second(url: str, directory: str) -> float:
    """The same page by pgbench."""
    # pgbench takes every colon before a letter for one of its variables, also in a literal.
    query = list_statement((), False, "newest", False, PUBLIC, False).text.replace(
        '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'', 'U&\'YYYY-MM-DD"T"HH24\\003AMI\\003ASS.US"Z"\''
    )
    script = Path(directory) / "list.sql"
    script.write_text(f"\\set size 20\n\\set offset 0\n{query};\n")
    script.chmod(0o644)
    command = [
        "pgbench",
        "-n",
        "-M",
        "prepared",
        "-c",
        str(CONNECTIONS),
        "-T",
        str(SECONDS),
        "-f",
        script,
        url,
    ]
    environment = os.environ | {"PGOPTIONS": "-c search_path=catalog,public"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"tps = ([\d.]+)", ran.stdout)
    assert ran.returncode == 0, ran.stderr
    assert found is not None
    return float(found[1])


async def search_times(http: httpx.AsyncClient) -> list[float]:
    """Milliseconds of each search, sorted: single words, two words, and one word in six misspelt."""
    times = []
    for number in range(SEARCHES):
        word = WORDS[number % 20]
        words = (word, f"{word} {WORDS[number // 20 % 20]}", word[0] + word[2] + word[1] + word[3:])
        kind = 2 if number % 6 == 5 else number % 2
        started = time.perf_counter()
        answer = await http.get("/api/courses/", params={"search": words[kind]})
        times.append(1000 * (time.perf_counter() - started))
        assert answer.status_code == 200, answer.text
    return sorted(times)


async def upload_growth(http: httpx.AsyncClient, process: psutil.Process) -> float:
    """MiB by which the process grows at most while 500 MB come in."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.pdf"\r\n\r\n%PDF-1.7\n'
    tail = b"\r\n--b--\r\n"
    block = bytes(250_000)

    async def body() -> AsyncIterator[bytes]:
        yield head
        for _ in range(UPLOAD // len(block) - 1):
            yield block
        yield tail

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    before = most = process.memory_info().rss
    sent = asyncio.create_task(http.post("/api/core/media/", content=body(), headers=headers, timeout=120))
    while not sent.done():
        most = max(most, process.memory_info().rss)
        await asyncio.wait([sent], timeout=0.02)
    assert (await sent).status_code == 201, sent.result().text
    return (most - before) / 2**20


def fill(url: str) -> None:
    words = ", ".join(f"'{word}'" for word in WORDS)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(FILL.replace("COURSES", str(COURSES)).replace("WORDS", words))
        connection.execute(str(REFRESH))
        connection.execute("VACUUM ANALYZE")


async def measure() -> list[Figure]:
    with suite_servers(["postgres"]) as servers, tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        bootstrap_database(servers.postgres, services=["catalog"])
        url = service_url(servers.postgres, "catalog")
        os.environ["CATALOG_DATABASE_URL"] = url
        await asyncio.to_thread(upgrade, "catalog")
        await asyncio.to_thread(fill, url)
        with service(url, directory) as (base, token, process):
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(base_url=base, headers=headers) as http:

                async def up() -> bool:
                    with contextlib.suppress(httpx.TransportError):
                        return (await http.get("/api/courses/")).status_code == 200
                    return False

                await eventually(up, 30)
                port = int(base.rpartition(":")[2])
                rps = await requests_per_second(port, "/api/courses/")
                tps = await asyncio.to_thread(transactions_per_second, url.replace("+psycopg", ""), directory)
                times = await search_times(http)
                growth = await upload_growth(http, process)
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    return [
        Figure(
            "list of courses",
            rps / tps,
            least=0.25,
            aim=0.6,
            detail=f"{COURSES:,} courses, page of 20: {rps:,.0f} rps of one worker, pgbench {tps:,.0f} tps",
            reason="FastAPI's routing and dependencies stand around one statement",
        ),
        Figure(
            "search, p99", p99, " ms", detail=f"{SEARCHES} searches in {COURSES:,} courses, p50 {p50:.1f} ms"
        ),
        Figure("memory of a 500 MB upload", growth, " MiB", detail="growth of the service's process at most"),
    ]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(Settings(), int(sys.argv[1]))
    else:
        for figure in asyncio.run(measure()):
            print(json.dumps({"name": figure.name, "value": figure.value, "detail": figure.detail}))
