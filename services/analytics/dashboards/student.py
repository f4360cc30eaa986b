"""What a learner sees of their own learning."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.uuids import as_v4
from services.analytics import rules
from services.analytics.charts import chart
from services.analytics.queries import as_of, local_today, rows
from services.analytics.rules import TAKING_PART

COURSES = (
    "SELECT e.course AS course_uuid, coalesce(c.title, '') AS course_title, e.progress, e.status,"
    " c.category, jsonb_array_length(coalesce(c.lessons, '[]')) AS total_lessons,"
    " (SELECT count(*) FROM jsonb_array_elements(coalesce(c.lessons, '[]')) l"
    "  WHERE e.completed_lessons ? (l->>'uuid')) AS completed_lessons, e.last_accessed"
    f" FROM enrollments e LEFT JOIN courses c ON c.uuid = e.course WHERE e.student = :u AND e.{TAKING_PART}"
    " ORDER BY e.last_accessed DESC NULLS LAST, e.enrolled_at DESC, e.uuid"
)
# The best visible result of each quiz; surveys have no score.
QUIZZES = (
    "SELECT a.quiz, max(a.title) AS title, max(a.course::text)::uuid AS course, max(c.category) AS category,"
    " max(a.percentage) FILTER (WHERE a.score_visible) AS best"
    " FROM attempts a LEFT JOIN courses c ON c.uuid = a.course"
    " WHERE a.student = :u AND a.submitted_at IS NOT NULL GROUP BY a.quiz"
)


async def student_dashboard(session: AsyncSession, user: UUID, now: datetime) -> dict[str, Any]:
    """Numbers of one learner, by their own calendar. The session uses a projection already."""
    today = await local_today(session, user, now)
    courses = [dict(row._mapping) for row in await rows(session, COURSES, u=user)]
    quizzes = await rows(session, QUIZZES, u=user)
    days = [
        row.local_date
        for row in await rows(session, "SELECT local_date FROM learning_days WHERE student = :u", u=user)
    ]
    minutes = await _minutes(session, user, today)
    week = rules.last_days(today, 7)
    summary = {
        "total_courses": len(courses),
        "completed_courses": sum(course["status"] == "completed" for course in courses),
        "average_progress": rules.mean(course["progress"] for course in courses),
        "learning_streak": rules.streak(days, today),
        "total_quizzes": len(quizzes),
        "avg_quiz_score": rules.mean(quiz.best for quiz in quizzes),
        "study_minutes_7d": rules.rounded(sum(minutes.get(day, 0) for day in week)),
    }
    performance = {
        "quizzes": summary["avg_quiz_score"],
        "assignments": await _assignments(session, user),
        "participation": await _participation(session, user, now),
        "completion": summary["average_progress"],
        "consistency": rules.consistency(days, today),
    }
    trend = await _quiz_trend(session, user)
    daily = [{"date": day.isoformat(), "minutes": rules.rounded(minutes.get(day, 0))} for day in week]
    subjects = _subjects(courses, quizzes)
    for course in courses:
        course["progress_percentage"] = course["progress"] = rules.rounded(course["progress"], 2)
    return {
        "summary": summary,
        "performance": performance,
        "course_progress": courses,
        "study_time": {
            "daily_breakdown": daily,
            "weekly_average": rules.rounded(sum(minutes.values()) / 4),
        },
        "quiz_trend": trend,
        "subject_performance": subjects,
        "recent_activity": await recent_activity(session, user),
        "charts": {
            "study_time": chart(
                "bar", "Minutes studied", [d["date"] for d in daily], minutes=[d["minutes"] for d in daily]
            ),
            "quiz_trend": chart(
                "line", "Quiz results", [t["date"] for t in trend], score=[t["score"] for t in trend]
            ),
            "course_progress": chart(
                "bar", "Progress by course", [c["course_title"] for c in courses],
                progress=[c["progress"] for c in courses],
            ),
            "performance": chart("radar", "Performance", list(performance), you=list(performance.values())),
        },
        "as_of": await as_of(session, now),
    }  # fmt: skip


async def _minutes(session: AsyncSession, user: UUID, today: date) -> dict[date, float]:
    found = await rows(
        session,
        "SELECT local_date, sum(seconds) AS seconds FROM study"
        " WHERE student = :u AND local_date > :since GROUP BY local_date",
        u=user,
        since=today - timedelta(days=28),
    )
    return {row.local_date: float(row.seconds) / 60 for row in found}


async def _assignments(session: AsyncSession, user: UUID) -> float:
    found = await rows(
        session,
        "SELECT least(percentage, 100) AS best FROM submissions"
        " WHERE student = :u AND posted AND NOT coalesce(excused, false) AND percentage IS NOT NULL",
        u=user,
    )
    return rules.mean(row.best for row in found)


async def _participation(session: AsyncSession, user: UUID, now: datetime) -> float:
    found = await rows(
        session,
        "SELECT (SELECT count(*) FROM discussions WHERE author = :u AND started_at > :since)"
        " + (SELECT count(*) FROM replies WHERE author = :u AND posted_at > :since) AS posts",
        u=user,
        since=now - timedelta(days=30),
    )
    return rules.participation(found[0].posts)


async def _quiz_trend(session: AsyncSession, user: UUID) -> list[dict[str, Any]]:
    found = await rows(
        session,
        "SELECT * FROM (SELECT attempt, submitted_at, title, percentage FROM attempts WHERE student = :u"
        " AND score_visible AND percentage IS NOT NULL AND submitted_at IS NOT NULL"
        " ORDER BY submitted_at DESC, attempt LIMIT 20) newest ORDER BY submitted_at, attempt",
        u=user,
    )
    return [
        {
            "date": row.submitted_at.date().isoformat(),
            "title": row.title,
            "score": rules.rounded(row.percentage),
        }
        for row in found
    ]


def _subjects(courses: list[dict[str, Any]], quizzes: Any) -> list[dict[str, Any]]:
    names = sorted({course["category"] for course in courses if course["category"]})
    return [
        {
            "subject": name,
            "courses": sum(course["category"] == name for course in courses),
            "average_progress": rules.mean(c["progress"] for c in courses if c["category"] == name),
            "average_score": rules.mean(q.best for q in quizzes if q.category == name),
        }
        for name in names
    ]


async def recent_activity(session: AsyncSession, user: UUID | None, most: int = 10) -> list[dict[str, Any]]:
    """The newest lines of the activity feed, of one user or of all."""
    found = await rows(
        session,
        'SELECT a.event_id AS uuid, a."user", a.kind, a.course AS course_uuid, c.title AS course_title,'
        " a.title, a.at FROM activities a LEFT JOIN courses c ON c.uuid = a.course"
        ' WHERE CAST(:u AS uuid) IS NULL OR a."user" = :u ORDER BY a.at DESC, a.event_id DESC LIMIT :most',
        u=user,
        most=most,
    )
    return [{**row._mapping, "uuid": as_v4(row.uuid)} for row in found]
