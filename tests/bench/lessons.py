"""Completing a lesson with its events, through the service, against pgbench running the same statements."""

import asyncio
import hashlib
import re
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid5

import psycopg

from deploy.local.testing import suite_servers
from services.learning.lessons import queries
from tests.bench.figures import Figure
from tests.bench.service import CONNECTIONS, SECONDS, Running, asked, migrated, pgbench, running

STUDENTS, LESSONS = 400, 40
COURSE = UUID("6f1f5d0e-6c1c-4c4c-9a43-5d1f6a1b2c3d")
TEACHER = uuid5(COURSE, "teacher")
PLACES = [uuid5(COURSE, f"lesson {number}") for number in range(LESSONS)]
LEARNERS = [UUID(hashlib.md5(f"s{number}".encode()).hexdigest()) for number in range(STUDENTS)]
EACH = 5
"""Learners of one connection, who complete all lessons one after the other."""
FILL = """
INSERT INTO courses (uuid, title, slug, short_description, status, level, language, tags, instructor,
  instructors, is_featured, revision, modules, draft_modules, lessons, points, prerequisites, created_at,
  updated_at)
 VALUES (%(course)s, 'Lessons', 'lessons', '', 'published', 'beginner', 'en', '[]', %(teacher)s,
  ARRAY[%(teacher)s]::uuid[], false, 1, '[]', '[]', %(lessons)s, '{}', '{}', now(), now());
INSERT INTO users (uuid, email, first_name, last_name, full_name, role, is_active, bio, locale, time_zone)
 SELECT student, student || '@lectern.example', 'Ada', 'Byron', 'Ada Byron', 'student', true, '', 'en',
  'Europe/Berlin' FROM unnest(%(students)s::uuid[]) student;
INSERT INTO enrollments (uuid, version, course, student, status, revision, completed_lessons,
  progress_percentage, enrolled_at)
 SELECT student, 1, %(course)s, student, 'enrolled', 1, '{}', 0, now()
 FROM unnest(%(students)s::uuid[]) student;
"""
HEADERS = f'{{{{"x-request-id": "{COURSE}"}}}}'
# The statements of `complete_lesson`, in its transaction; events as long as the service's.
TRANSACTION = f"""
\\set s random({STUDENTS // 2}, {STUDENTS - 1})
\\set l random(1, {LESSONS})
BEGIN;
SELECT e.*, c.revision, c.lessons, c.points, u.time_zone, u.full_name FROM enrollments e
 JOIN courses c ON c.uuid = e.course LEFT JOIN users u ON u.uuid = e.student
 WHERE e.course = '{COURSE}' AND e.student = md5('s' || :s)::uuid FOR NO KEY UPDATE OF e;
{{unfinished}};
UPDATE enrollments SET version = version + 1, completed_lessons = array_append(completed_lessons[1:20],
 ('{{{{{",".join(map(str, PLACES))}}}}}'::uuid[])[:l]), progress_percentage = :l, status = 'in_progress',
 started_at = now(), last_accessed = now() WHERE uuid = md5('s' || :s)::uuid RETURNING version \\gset
{{completion}};
INSERT INTO outbox (lane, id, topic, key, key_seq, type, occurred_at, headers, payload) VALUES
 (:s % 16, gen_random_uuid(), 'learning.events', md5('s' || :s)::uuid::text, :version,
 'learning.lesson_completed.v1', now(), '{HEADERS}', convert_to(repeat('x', 700), 'UTF8')),
 (:s % 16, gen_random_uuid(), 'learning.enrollments', md5('s' || :s)::uuid::text, :version,
 'learning.enrollment.v1', now(), '{HEADERS}', convert_to(repeat('x', 1500), 'UTF8'));
END;
"""


def transaction() -> str:
    """For pgbench, which takes `:name` for its own variables as well."""
    student, lesson = "md5('s' || :s)::uuid", f"('{{{','.join(map(str, PLACES))}}}'::uuid[])[:l]"
    values = {
        "course": f"'{COURSE}'", "enrollment": student, "student": student, "lesson": lesson, "now": "now()",
        "points": "0", "local_date": "current_date",
    }  # fmt: skip
    statements = {"unfinished": queries.UNFINISHED.text, "completion": queries.KEEP_COMPLETION.text}
    for name, statement in statements.items():
        for parameter, value in values.items():
            statement = re.sub(rf":{parameter}\b", value, statement)
        statements[name] = statement
    return TRANSACTION.format(**statements)


def fill(url: str) -> None:
    values = {"course": COURSE, "teacher": TEACHER, "lessons": PLACES, "students": LEARNERS}
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(FILL, values)
        connection.execute("VACUUM ANALYZE")


def completions(service: Running, learner: UUID) -> list[bytes]:
    token = service.tokens[f"student:{learner}"]
    return [
        (
            f"POST /api/courses/{COURSE}/lessons/{lesson}/complete/ HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        for lesson in PLACES
    ]


async def completions_per_second(service: Running) -> float:
    batches = [
        [
            request
            for learner in LEARNERS[at * EACH : (at + 1) * EACH]
            for request in completions(service, learner)
        ]
        for at in range(CONNECTIONS)
    ]
    await asked(service.port, completions(service, LEARNERS[CONNECTIONS * EACH]))  # warm
    began = time.perf_counter()
    await asyncio.gather(*(asked(service.port, batch) for batch in batches))
    return sum(map(len, batches)) / (time.perf_counter() - began)


async def measure() -> list[Figure]:
    people = [f"student:{learner}" for learner in LEARNERS[: CONNECTIONS * EACH + 1]]
    with suite_servers(["postgres"]) as servers, tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        url = await asyncio.to_thread(migrated, servers.postgres, "learning")
        await asyncio.to_thread(fill, url)
        async with running("learning", url, directory, people) as service:
            rps = await completions_per_second(service)
            script = Path(directory) / "complete.sql"
            script.write_text(transaction())
            tps = await asyncio.to_thread(pgbench, url, "learning", script, "-T", str(SECONDS))
    return [
        Figure(
            "a lesson completed, with its events",
            rps / tps,
            least=0.2,
            aim=0.5,
            detail=f"{rps:,.0f} rps of one worker on {CONNECTIONS} connections, pgbench {tps:,.0f} tps",
            reason="FastAPI, two events as JSON and SQLAlchemy stand around six statements",
        )
    ]
