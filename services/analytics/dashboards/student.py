"""What a learner sees of their own learning."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import rules
from services.analytics.charts import chart
from services.analytics.period import Period, compared
from services.analytics.queries import as_of, recent_activity, rows
from services.analytics.rules import TAKING_PART

WEEKS = 4
EVER = datetime(2000, 1, 1, tzinfo=UTC)
COURSES = (
    "SELECT e.course AS course_uuid, coalesce(c.title, '') AS course_title, e.progress, e.status,"
    " c.category, jsonb_array_length(coalesce(c.lessons, '[]')) AS total_lessons,"
    " (SELECT count(*) FROM jsonb_array_elements(coalesce(c.lessons, '[]')) l"
    "  WHERE e.completed_lessons ? (l->>'uuid')) AS completed_lessons, e.last_accessed,"
    " e.enrolled_at, e.completed_at"
    f" FROM enrollments e LEFT JOIN courses c ON c.uuid = e.course WHERE e.student = :u AND e.{TAKING_PART}"
    " ORDER BY e.last_accessed DESC NULLS LAST, e.enrolled_at DESC, e.uuid"
)
# The best visible result of each quiz; surveys have no score.
QUIZZES = (
    "SELECT r.quiz, c.category, r.best_visible AS best FROM quiz_results r"
    " LEFT JOIN courses c ON c.uuid = r.course WHERE r.student = :u"
)
QUIZZES_BEFORE = (
    "SELECT quiz, max(percentage) FILTER (WHERE score_visible) AS best FROM attempts"
    " WHERE student = :u AND submitted_at < :end GROUP BY quiz"
)
# A lesson counts once, however many enrolments completed it; what the course no longer has does not.
PROGRESS_BEFORE = (
    "SELECT avg(CASE WHEN e.total > 0 THEN 100.0 * e.done / e.total ELSE 0 END) AS progress FROM ("
    " SELECT (SELECT count(*) FROM lesson_completions l WHERE l.enrollment = e.uuid"
    "  AND l.completed_at < :end) AS done, jsonb_array_length(coalesce(c.lessons, '[]')) AS total"
    f" FROM enrollments e LEFT JOIN courses c ON c.uuid = e.course WHERE e.student = :u AND e.{TAKING_PART}"
    " AND e.enrolled_at < :end) e"
)


async def student_dashboard(
    session: AsyncSession, user: UUID, period: Period, now: datetime
) -> dict[str, Any]:
    """Numbers of one learner, by their own calendar. The session uses a projection already."""
    courses = [dict(row._mapping) for row in await rows(session, COURSES, u=user)]
    quizzes = await rows(session, QUIZZES, u=user)
    days = [
        row.local_date
        for row in await rows(session, "SELECT local_date FROM learning_days WHERE student = :u", u=user)
    ]
    minutes = await _minutes(session, user, period)
    summary = _summary(period, courses, quizzes, days, minutes)
    comparison = None
    if period.compare:
        comparison = compared(summary, await _before(session, user, period.previous, courses, days))
    performance = {
        "quizzes": summary["avg_quiz_score"],
        "assignments": await _assignments(session, user),
        "participation": await _participation(session, user, now),
        "completion": summary["average_progress"],
        "consistency": rules.consistency(days, period.last),
    }
    trend = await _quiz_trend(session, user, period)
    shown = period.days if period.asked else period.week.days
    daily = [{"date": day.isoformat(), "minutes": rules.rounded(minutes.get(day, 0))} for day in shown]
    subjects = _subjects(courses, quizzes)
    for course in courses:
        course["progress_percentage"] = course["progress"] = rules.rounded(course["progress"], 2)
    return {
        "period": {"from": period.first, "to": period.last},
        "summary": summary,
        "comparison": comparison,
        "performance": performance,
        "course_progress": courses,
        "study_time": {
            "daily_breakdown": daily,
            "total_minutes": rules.rounded(sum(minutes.get(day, 0) for day in period.days)),
            "weekly_average": rules.rounded(
                sum(minutes.get(day, 0) for day in rules.last_days(period.last, 7 * WEEKS)) / WEEKS
            ),
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


def _summary(
    period: Period, courses: Any, quizzes: Any, days: list[date], minutes: dict[date, float]
) -> dict[str, Any]:
    """As things stand; the streak and the minutes at the end of the period."""
    return {
        "total_courses": len(courses),
        "completed_courses": sum(course["status"] == "completed" for course in courses),
        "average_progress": rules.mean(course["progress"] for course in courses),
        "learning_streak": rules.streak(days, period.last),
        "total_quizzes": len(quizzes),
        "avg_quiz_score": rules.mean(quiz.best for quiz in quizzes),
        "study_minutes_7d": rules.rounded(sum(minutes.get(day, 0) for day in period.week.days)),
    }


async def _before(
    session: AsyncSession, user: UUID, period: Period, courses: list[dict[str, Any]], days: list[date]
) -> dict[str, Any]:
    """The same numbers at the end of an earlier period, of the courses that are attended now."""
    end = period.end
    quizzes = await rows(session, QUIZZES_BEFORE, u=user, end=end)
    progress = await rows(session, PROGRESS_BEFORE, u=user, end=end)
    minutes = await _minutes(session, user, period)
    return {
        "total_courses": sum(course["enrolled_at"] < end for course in courses),
        "completed_courses": sum(
            course["completed_at"] is not None and course["completed_at"] < end for course in courses
        ),
        "average_progress": rules.rounded(progress[0].progress),
        "learning_streak": rules.streak([day for day in days if day <= period.last], period.last),
        "total_quizzes": len(quizzes),
        "avg_quiz_score": rules.mean(quiz.best for quiz in quizzes),
        "study_minutes_7d": rules.rounded(sum(minutes.get(day, 0) for day in period.week.days)),
    }


async def _minutes(session: AsyncSession, user: UUID, period: Period) -> dict[date, float]:
    """By day, over the period and at least the four weeks at its end."""
    found = await rows(
        session,
        "SELECT local_date, sum(seconds) AS seconds FROM study"
        " WHERE student = :u AND local_date BETWEEN :first AND :last GROUP BY local_date",
        u=user,
        first=min(period.first, period.last - timedelta(days=7 * WEEKS - 1)),
        last=period.last,
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
        "SELECT (SELECT count(*) FROM discussions WHERE author = :u AND started_at > :since"
        "  AND is_hidden IS NOT TRUE)"
        " + (SELECT count(*) FROM replies WHERE author = :u AND posted_at > :since"
        "  AND is_deleted IS NOT TRUE) AS posts",
        u=user,
        since=now - timedelta(days=30),
    )
    return rules.participation(found[0].posts)


async def _quiz_trend(session: AsyncSession, user: UUID, period: Period) -> list[dict[str, Any]]:
    """The newest twenty results; of those in the period where one was asked for."""
    found = await rows(
        session,
        "SELECT * FROM (SELECT attempt, submitted_at, title, percentage FROM attempts WHERE student = :u"
        " AND score_visible AND percentage IS NOT NULL AND submitted_at >= :start AND submitted_at < :end"
        " ORDER BY submitted_at DESC, attempt LIMIT 20) newest ORDER BY submitted_at, attempt",
        u=user,
        start=period.start if period.asked else EVER,
        end=period.end,
    )
    return [
        {
            "date": row.submitted_at.astimezone(period.zone).date().isoformat(),
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
