"""Completing a lesson, below the ORM, because every learner does it all day: two statements and a commit.

Who cannot simply complete it (no seat, another revision, work left, the last lesson of the course) goes the
way of `service`, which says why.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.db import driver
from libs.common.outbox import take_recorded
from services.learning.access import Seat
from services.learning.enrollments.rules import SEATED, progress
from services.learning.enrollments.service import add_completed
from services.learning.models import Enrollment

SEAT = """
SELECT e.uuid, e.version, e.course, e.student, e.status, e.revision, e.completed_lessons,
 e.progress_percentage, e.enrolled_at, e.started_at, e.completed_at, e.study_seconds, e.points,
 c.revision, c.lessons, c.points, u.time_zone, u.full_name,
 EXISTS (SELECT 1 FROM quizzes q WHERE q.lesson = %(lesson)s AND q.course = e.course AND q.is_published
  AND q.deleted_at IS NULL)
 OR EXISTS (SELECT 1 FROM assignments a WHERE a.lesson = %(lesson)s AND a.course = e.course
  AND a.deleted_at IS NULL)
FROM enrollments e JOIN courses c ON c.uuid = e.course LEFT JOIN users u ON u.uuid = e.student
WHERE e.course = %(course)s AND e.student = %(student)s FOR NO KEY UPDATE OF e
"""
STORE = """
WITH seat AS (UPDATE enrollments SET version = %(version)s, status = %(status)s,
  completed_lessons = completed_lessons || %(lesson)s, progress_percentage = %(progress_percentage)s,
  started_at = %(started_at)s, last_accessed = %(now)s, points = %(points)s WHERE uuid = %(uuid)s),
 lesson AS (INSERT INTO lesson_progress (enrollment, lesson, student, completed_at, points)
  VALUES (%(uuid)s, %(lesson)s, %(student)s, %(now)s, %(earned)s) ON CONFLICT (enrollment, lesson)
  DO UPDATE SET completed_at = excluded.completed_at, points = excluded.points),
 day AS (INSERT INTO study_days (student, local_date) VALUES (%(student)s, %(local_date)s)
  ON CONFLICT DO NOTHING)
INSERT INTO outbox (lane, id, topic, key, key_seq, type, occurred_at, headers, payload) VALUES
 (%(lane0)s, %(id0)s, %(topic0)s, %(key0)s,
  %(key_seq0)s, %(type0)s, %(occurred_at0)s, %(headers0)s, %(payload0)s),
 (%(lane1)s, %(id1)s, %(topic1)s, %(key1)s,
  %(key_seq1)s, %(type1)s, %(occurred_at1)s, %(headers1)s, %(payload1)s)
"""
FIELDS = (
    "uuid", "version", "course", "student", "status", "revision", "completed_lessons", "progress_percentage",
    "enrolled_at", "started_at", "completed_at", "study_seconds", "points",
)  # fmt: skip
CHANGED = ("uuid", "version", "student", "status", "progress_percentage", "started_at", "points")


async def complete_simply(
    session: AsyncSession, student: UUID, course: UUID, lesson: UUID, now: datetime
) -> Enrollment | None:
    """The enrolment with this lesson completed, now or before; it belongs to no session.

    None where it is not that simple: then nothing was written, and the enrolment is locked.
    """
    connection = await driver(session)
    asked = await connection.execute(SEAT, {"course": course, "student": student, "lesson": lesson})
    row: Any = await asked.fetchone()
    if row is None:
        return None
    *fields, revision, lessons, points, time_zone, name, has_work = row
    enrollment = Enrollment(**dict(zip(FIELDS, fields, strict=True)))
    seat = Seat(enrollment, revision, lessons, points, time_zone, name)
    if enrollment.status not in SEATED or lesson not in lessons:
        return None
    if lesson in enrollment.completed_lessons:
        return enrollment
    if enrollment.status != "completed" and (
        enrollment.revision != revision
        or progress([*enrollment.completed_lessons, lesson], lessons).is_complete
    ):
        return None
    if has_work:
        return None
    done = add_completed(session, seat, lesson, now)
    values = {name: getattr(enrollment, name) for name in CHANGED}
    for number, row in enumerate(take_recorded(session, 2)):  # what happened, and the new state
        values |= {f"{name}{number}": value for name, value in row.items()}
        values[f"headers{number}"] = Jsonb(row["headers"])
    values |= {"lesson": lesson, "now": now, "earned": done.points, "local_date": done.day}
    await connection.execute(STORE, values)
    return enrollment
