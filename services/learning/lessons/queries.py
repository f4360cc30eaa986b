"""Statements of the lesson paths: few round trips, because every learner walks them all day."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.learning.models import LessonProgress

UNFINISHED = text(
    "SELECT q.title FROM quizzes q WHERE q.lesson = :lesson AND q.course = :course AND q.is_published"
    " AND q.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM quiz_results r"
    " WHERE r.quiz = q.uuid AND r.enrollment = :enrollment AND r.finished_at IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM quiz_extensions x JOIN enrollments e ON e.student = x.student"
    " WHERE x.quiz = q.uuid AND x.excused AND e.uuid = :enrollment)"
    " UNION ALL SELECT a.title FROM assignments a WHERE a.lesson = :lesson AND a.course = :course"
    " AND a.deleted_at IS NULL AND NOT EXISTS"
    " (SELECT 1 FROM submissions s WHERE s.assignment = a.uuid AND s.enrollment = :enrollment"
    "  AND (s.number > 0 OR s.status = 'excused' AND a.posted))"
)

STORE_COMPLETION = text(
    "WITH lesson AS (INSERT INTO lesson_progress (enrollment, lesson, student, completed_at, points)"
    " VALUES (:enrollment, :lesson, :student, :now, :points) ON CONFLICT (enrollment, lesson)"
    " DO UPDATE SET completed_at = excluded.completed_at, points = excluded.points)"
    " INSERT INTO study_days (student, local_date) VALUES (:student, :local_date) ON CONFLICT DO NOTHING"
)

STORE_STUDY_DAY = text(
    "INSERT INTO study_days (student, local_date) VALUES (:student, :local_date) ON CONFLICT DO NOTHING"
)

STORE_STUDY_DAYS = text(
    "INSERT INTO study_days (student, local_date) SELECT DISTINCT student, local_date"
    " FROM json_to_recordset(CAST(:days AS json)) AS d(student uuid, local_date date)"
    " ORDER BY student, local_date ON CONFLICT DO NOTHING"
)

# Locks the learner's clock; a first heartbeat makes the row, and nothing is counted yet.
LOCK_CLOCK = text(
    "INSERT INTO study_clocks AS c (student, counted_until, last_counted) VALUES (:student, 'epoch', 0)"
    " ON CONFLICT (student) DO UPDATE SET last_counted = c.last_counted RETURNING counted_until"
)

STORE_HEARTBEAT = text(
    "WITH clock AS (UPDATE study_clocks SET counted_until = :until, last_counted = :seconds"
    " WHERE student = :student),"
    " day AS (INSERT INTO study_days AS d (student, local_date, seconds)"
    " SELECT :student, :local_date, :seconds WHERE :seconds > 0 ON CONFLICT (student, local_date)"
    " DO UPDATE SET seconds = d.seconds + excluded.seconds)"
    " INSERT INTO lesson_progress AS p (enrollment, lesson, student, position_seconds, study_seconds)"
    " VALUES (:enrollment, :lesson, :student, coalesce(:position, 0), :seconds)"
    " ON CONFLICT (enrollment, lesson)"
    " DO UPDATE SET position_seconds = coalesce(:position, p.position_seconds),"
    " study_seconds = p.study_seconds + excluded.study_seconds"
    " RETURNING position_seconds, study_seconds"
)


async def unfinished_work(session: AsyncSession, course: UUID, enrollment: UUID, lesson: UUID) -> list[str]:
    """Titles of the lesson's published quizzes not passed and assignments not handed in; what the learner is
    excused from, and may know of, is not asked for."""
    rows = await session.scalars(UNFINISHED, {"course": course, "enrollment": enrollment, "lesson": lesson})
    return list(rows)


async def store_study_day(session: AsyncSession, student: UUID, day: date) -> None:
    await session.execute(STORE_STUDY_DAY, {"student": student, "local_date": day})


async def get_progress(session: AsyncSession, enrollment: UUID, lesson: UUID) -> LessonProgress | None:
    return await session.get(LessonProgress, (enrollment, lesson))


async def get_notes(session: AsyncSession, enrollment: UUID, lesson: UUID) -> tuple[str, datetime | None]:
    row = (
        await session.execute(
            text("SELECT notes, notes_at FROM lesson_progress WHERE enrollment = :e AND lesson = :l"),
            {"e": enrollment, "l": lesson},
        )
    ).one_or_none()
    return (row[0], row[1]) if row else ("", None)


async def store_notes(
    session: AsyncSession, enrollment: UUID, lesson: UUID, student: UUID, notes: str, now: datetime
) -> None:
    await session.execute(
        text(
            "INSERT INTO lesson_progress (enrollment, lesson, student, notes, notes_at)"
            " VALUES (:e, :l, :s, :notes, :now) ON CONFLICT (enrollment, lesson)"
            " DO UPDATE SET notes = excluded.notes, notes_at = excluded.notes_at"
        ),
        {"e": enrollment, "l": lesson, "s": student, "notes": notes, "now": now},
    )
