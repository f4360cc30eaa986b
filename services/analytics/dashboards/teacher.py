"""What a teacher sees of their courses."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import rules
from services.analytics.charts import chart
from services.analytics.queries import active_students, as_of, one, progress_distribution, rows
from services.analytics.rules import TAKING_PART

COURSES = (
    "SELECT uuid, title, status, average_rating, reviews_count FROM courses"
    " WHERE status <> 'archived' AND (instructor = :u OR instructors ? CAST(:u AS text)) ORDER BY title, uuid"
)
PERFORMANCE = (
    "SELECT course, count(*) AS students, avg(progress) AS progress,"
    " count(*) FILTER (WHERE status = 'completed') AS completed"
    f" FROM enrollments WHERE course = ANY(:courses) AND {TAKING_PART} GROUP BY course"
)
AT_RISK = (
    "SELECT e.student, e.course, e.progress, d.last_day, q.score FROM enrollments e"
    " LEFT JOIN LATERAL (SELECT max(local_date) AS last_day FROM learning_days"
    "  WHERE student = e.student) d ON true"
    " LEFT JOIN LATERAL (SELECT avg(best) AS score FROM (SELECT max(percentage) AS best FROM attempts"
    "  WHERE student = e.student AND course = e.course AND percentage IS NOT NULL GROUP BY quiz) b) q ON true"
    " WHERE e.course = ANY(:courses) AND e.status IN ('enrolled', 'in_progress')"
    " AND (coalesce(d.last_day, e.enrolled_at::date) < :idle_since OR q.score < :score)"
    " ORDER BY e.progress, e.student LIMIT 50"
)


async def teacher_dashboard(session: AsyncSession, user: UUID, now: datetime) -> dict[str, Any]:
    """Numbers over all courses that somebody teaches. The session uses a projection already."""
    courses = await rows(session, COURSES, u=user)
    ids = [course.uuid for course in courses]
    week_ago = now.date() - timedelta(days=6)
    measured = {row.course: row for row in await rows(session, PERFORMANCE, courses=ids)}
    active = await active_students(session, ids, week_ago)
    students = await one(
        session,
        "SELECT count(DISTINCT student) AS n FROM enrollments"
        f" WHERE course = ANY(:courses) AND {TAKING_PART}",
        courses=ids,
    )
    performance = []
    for course in courses:
        row = measured.get(course.uuid)
        number = row.students if row else 0
        progress = rules.rounded(row.progress if row else 0)
        active_share = rules.share(len(active.get(course.uuid, ())), number)
        performance.append(
            {
                "course_uuid": course.uuid,
                "course_title": course.title,
                "students": number,
                "avg_progress": progress,
                "completion_rate": rules.share(row.completed if row else 0, number),
                "rating": rules.rating([(course.average_rating, course.reviews_count)]),
                "engagement_score": rules.engagement(active_share, progress),
            }
        )
    distribution = await progress_distribution(session, ids)
    return {
        "summary": {
            "total_courses": len(courses),
            "published_courses": sum(course.status == "published" for course in courses),
            "total_students": students.n,
            "active_students_7d": len(set().union(*active.values())),
            "avg_course_rating": rules.rating((c.average_rating, c.reviews_count) for c in courses),
        },
        "course_performance": performance,
        "student_activity": {"progress_distribution": distribution},
        "discussion_activity": await _discussions(session, ids, now),
        "at_risk": {
            "rule": rules.AT_RISK_RULE,
            "learners": await _at_risk(session, ids, now),
        },
        "comparison": await _comparison(session, ids, now),
        "charts": {
            "progress_distribution": chart(
                "doughnut", "Where the learners are", list(distribution), learners=list(distribution.values())
            ),
            "course_performance": chart(
                "bar", "Courses", [c["course_title"] for c in performance],
                average_progress=[c["avg_progress"] for c in performance],
                completion_rate=[c["completion_rate"] for c in performance],
            ),
        },
        "as_of": await as_of(session, now),
    }  # fmt: skip


async def _discussions(session: AsyncSession, courses: list[UUID], now: datetime) -> dict[str, int]:
    row = await one(
        session,
        "SELECT (SELECT count(*) FROM discussions WHERE course = ANY(:c)) AS discussions,"
        " (SELECT count(*) FROM discussions WHERE course = ANY(:c) AND discussion_type = 'question'"
        "  AND NOT is_resolved) AS open_questions,"
        " (SELECT count(*) FROM replies WHERE course = ANY(:c)) AS replies,"
        " (SELECT count(*) FROM replies WHERE course = ANY(:c) AND posted_at > :since) AS replies_7d",
        c=courses,
        since=now - timedelta(days=7),
    )
    return dict(row._mapping)


async def _at_risk(session: AsyncSession, courses: list[UUID], now: datetime) -> list[dict[str, Any]]:
    found = await rows(
        session,
        AT_RISK,
        courses=courses,
        idle_since=now.date() - timedelta(days=rules.AT_RISK_IDLE_DAYS),
        score=rules.AT_RISK_SCORE,
    )
    return [
        {
            "student": row.student,
            "course_uuid": row.course,
            "progress": rules.rounded(row.progress),
            "last_active": row.last_day.isoformat() if row.last_day else None,
            "avg_quiz_score": rules.rounded(row.score) if row.score is not None else None,
        }
        for row in found
    ]


async def _comparison(session: AsyncSession, courses: list[UUID], now: datetime) -> dict[str, Any]:
    """The last thirty days against the thirty before."""

    async def period(start: datetime, end: datetime) -> dict[str, int]:
        row = await one(
            session,
            "SELECT count(*) FILTER (WHERE enrolled_at >= :s AND enrolled_at < :e) AS enrollments,"
            " count(*) FILTER (WHERE completed_at >= :s AND completed_at < :e) AS completions"
            " FROM enrollments WHERE course = ANY(:c) AND status <> 'waitlisted'",
            c=courses,
            s=start,
            e=end,
        )
        return dict(row._mapping)

    month = timedelta(days=30)
    later = now + timedelta(minutes=1)
    return {
        "days": 30,
        "current": await period(now - month, later),
        "previous": await period(now - 2 * month, now - month),
    }
