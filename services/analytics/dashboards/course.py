"""What the people who teach one course see of it."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import rules
from services.analytics.charts import chart
from services.analytics.queries import active_students, as_of, one, progress_distribution, rows
from services.analytics.rules import TAKING_PART

# Discrimination: mean share of the better half of the attempts less that of the other half.
QUESTIONS = (
    "WITH ranked AS (SELECT a.quiz, a.title, q->>'question' AS question, q->>'kind' AS kind,"
    " (q->>'share')::float AS share,"
    " ntile(2) OVER (PARTITION BY a.quiz, q->>'question' ORDER BY a.percentage DESC, a.attempt) AS half"
    " FROM attempts a, jsonb_array_elements(a.questions) q"
    " WHERE a.course = :c AND a.questions IS NOT NULL AND a.percentage IS NOT NULL"
    " AND q->>'share' IS NOT NULL)"
    " SELECT quiz, max(title) AS quiz_title, question, max(kind) AS kind, count(*) AS answers,"
    " avg(share) AS difficulty, avg(share) FILTER (WHERE half = 1) - avg(share) FILTER (WHERE half = 2)"
    " AS discrimination FROM ranked GROUP BY quiz, question ORDER BY difficulty, question"
)


async def course_dashboard(session: AsyncSession, course: Any, now: datetime) -> dict[str, Any]:
    """Numbers of one course (a row of `access_course`). The session uses a projection already."""
    row = await one(
        session,
        "SELECT count(*) AS students, avg(progress) AS progress,"
        " count(*) FILTER (WHERE status = 'completed') AS completed"
        f" FROM enrollments WHERE course = :c AND {TAKING_PART}",
        c=course.uuid,
    )
    active = await active_students(session, [course.uuid], now.date() - timedelta(days=6))
    distribution = await progress_distribution(session, [course.uuid])
    funnel = await _funnel(session, course, row.students)
    questions = await rows(session, QUESTIONS, c=course.uuid)
    return {
        "course_uuid": course.uuid,
        "course_title": course.title,
        "summary": {
            "total_students": row.students,
            "active_students_7d": len(active.get(course.uuid, ())),
            "avg_progress": rules.rounded(row.progress),
            "completion_rate": rules.share(row.completed, row.students),
            "avg_course_rating": rules.rating([(course.average_rating, course.reviews_count)]),
        },
        "studentActivity": {"progress_distribution": distribution},
        "funnel": funnel,
        "questions": [
            {
                "quiz": q.quiz,
                "quiz_title": q.quiz_title,
                "question": q.question,
                "kind": q.kind,
                "answers": q.answers,
                "difficulty": rules.rounded(q.difficulty, 3),
                "discrimination": _rounded_or_none(q.discrimination),
            }
            for q in questions
        ],
        "charts": {
            "progress_distribution": chart(
                "doughnut", "Where the learners are", list(distribution), learners=list(distribution.values())
            ),
            "funnel": chart(
                "bar", "Completed by lesson", [f["lesson_title"] for f in funnel],
                completed=[f["completed"] for f in funnel],
            ),
        },
        "as_of": await as_of(session, now),
    }  # fmt: skip


def _rounded_or_none(value: float | None) -> float | None:
    return None if value is None else rules.rounded(value, 3)


async def _funnel(session: AsyncSession, course: Any, students: int) -> list[dict[str, Any]]:
    """Lessons in order: how many have completed each, and what share is lost from one to the next."""
    counted = await rows(
        session,
        "SELECT l.lesson::text AS lesson, count(*) AS n FROM lesson_completions l"
        f" JOIN enrollments e ON e.uuid = l.enrollment AND e.{TAKING_PART} WHERE l.course = :c GROUP BY 1",
        c=course.uuid,
    )
    completed = {row.lesson: row.n for row in counted}
    funnel = []
    before = students
    for lesson in course.lessons or []:
        number = completed.get(lesson["uuid"], 0)
        funnel.append(
            {
                "lesson_uuid": lesson["uuid"],
                "lesson_title": lesson["title"],
                "completed": number,
                "completion_rate": rules.share(number, students),
                "drop_off": rules.share(max(before - number, 0), before),
            }
        )
        before = number
    return funnel
