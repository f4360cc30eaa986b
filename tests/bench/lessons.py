"""Completing a lesson with its events, through the service, against pgbench running the same statements."""

import asyncio
import hashlib
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid5

import psycopg

from deploy.local.testing import suite_servers
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
LESSON = f"('{{{','.join(map(str, PLACES))}}}'::uuid[])[:l]"
HEADERS = f'{{"x-request-id": "{COURSE}"}}'
# What completing a lesson needs, in the fewest statements; events as long as the service's. The service does
# the same for those who complete one at the same moment together.
TRANSACTION = f"""
\\set s random({STUDENTS // 2}, {STUDENTS - 1})
\\set l random(1, {LESSONS})
BEGIN;
SELECT e.version, e.status, e.revision, e.completed_lessons, e.progress_percentage, e.enrolled_at,
 e.started_at, e.completed_at, e.study_seconds, e.points, c.revision, c.lessons, c.points, u.time_zone,
 u.full_name,
 EXISTS (SELECT 1 FROM quizzes q WHERE q.lesson = ({LESSON}) AND q.course = e.course AND q.is_published
  AND q.deleted_at IS NULL)
 OR EXISTS (SELECT 1 FROM assignments a WHERE a.lesson = ({LESSON}) AND a.course = e.course
  AND a.deleted_at IS NULL)
FROM enrollments e JOIN courses c ON c.uuid = e.course LEFT JOIN users u ON u.uuid = e.student
WHERE e.course = '{COURSE}' AND e.student = md5('s' || :s)::uuid FOR NO KEY UPDATE OF e;
WITH seat AS (UPDATE enrollments SET version = version + 1, completed_lessons =
  array_append(completed_lessons[1:20], {LESSON}), progress_percentage = :l, status = 'in_progress',
  started_at = now(), last_accessed = now(), points = 0 WHERE uuid = md5('s' || :s)::uuid RETURNING version),
 lesson AS (INSERT INTO lesson_progress (enrollment, lesson, student, completed_at, points)
  VALUES (md5('s' || :s)::uuid, {LESSON}, md5('s' || :s)::uuid, now(), 0) ON CONFLICT (enrollment, lesson)
  DO UPDATE SET completed_at = excluded.completed_at, points = excluded.points),
 day AS (INSERT INTO study_days (student, local_date) VALUES (md5('s' || :s)::uuid, current_date)
  ON CONFLICT DO NOTHING)
INSERT INTO outbox (lane, id, topic, key, key_seq, type, occurred_at, headers, payload)
 SELECT :s % 16, gen_random_uuid(), topic, md5('s' || :s)::uuid::text, version, type, now(), '{HEADERS}',
  convert_to(repeat('x', long), 'UTF8') FROM seat, (VALUES
   ('learning.events', 'learning.lesson_completed.v1', 400),
   ('learning.enrollments', 'learning.enrollment.v1', 1200)) AS e(topic, type, long);
END;
"""


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
        for lesson in PLACES[:-1]  # the last one completes the course: more than a lesson
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
            script.write_text(TRANSACTION)
            tps = await asyncio.to_thread(pgbench, url, "learning", script, "-T", str(SECONDS))
    return [
        Figure(
            "a lesson completed, with its events",
            rps / tps,
            least=0.2,
            aim=0.5,
            detail=f"{rps:,.0f} rps of one worker on {CONNECTIONS} connections, pgbench {tps:,.0f} tps",
            reason="HTTP, the token, the log line and two events as JSON are Python around two statements",
        )
    ]
