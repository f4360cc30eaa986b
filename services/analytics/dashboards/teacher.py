"""What a teacher sees of their courses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import rules
from services.analytics.charts import chart
from services.analytics.period import Period, compared
from services.analytics.queries import (
    active_students,
    as_of,
    at_risk,
    by_day,
    one,
    progress_distribution,
    rows,
    students_at,
)
from services.analytics.rules import TAKING_PART

MOST_AT_RISK = 50
MEASURES = (("course_enrollments", "enrollments"), ("course_enrollments", "completions"))
COURSES = (
    "SELECT uuid, title, status, average_rating, reviews_count, created_at, published_at FROM courses"
    " WHERE status <> 'archived' AND (instructor = :u OR instructors ? CAST(:u AS text)) ORDER BY title, uuid"
)
ACTIVE = (
    "SELECT d.course, count(DISTINCT d.student) AS n FROM course_days d"
    f" JOIN enrollments e ON e.course = d.course AND e.student = d.student AND e.{TAKING_PART}"
    " WHERE d.course = ANY(:courses) AND d.local_date BETWEEN :first AND :last GROUP BY d.course"
)
DISCUSSIONS = (
    "SELECT coalesce(sum(discussions), 0) AS discussions, coalesce(sum(open_questions), 0) AS open_questions"
    " FROM discussion_totals WHERE course = ANY(:courses)"
)


async def teacher_dashboard(
    session: AsyncSession, user: UUID, period: Period, now: datetime
) -> dict[str, Any]:
    """Numbers over all courses that somebody teaches. The session uses a projection already."""
    courses = await rows(session, COURSES, u=user)
    ids = [course.uuid for course in courses]
    performance = await _performance(session, courses, period)
    distribution = await progress_distribution(session, ids)
    summary = await _summary(session, courses, period, now=True)
    enrollments, completions = await by_day(session, period, ids, *MEASURES)
    comparison: dict[str, Any] = await _comparison(session, ids, period, enrollments, completions)
    if period.compare:
        before = await _summary(session, courses, period.previous, now=False)
        comparison |= compared(summary, before)
    return {
        "period": {"from": period.first, "to": period.last},
        "summary": summary,
        "course_performance": performance,
        "student_activity": {"progress_distribution": distribution},
        "discussion_activity": await _discussions(session, ids, period),
        "at_risk": {
            "rule": rules.AT_RISK_RULE,
            "learners": [
                {
                    "student": row.student,
                    "course_uuid": row.course,
                    "progress": rules.rounded(row.progress),
                    "last_active": row.last_day,
                    "avg_quiz_score": None if row.score is None else rules.rounded(row.score),
                    "reasons": reasons,
                }
                for row, reasons in await at_risk(session, ids, period.today, MOST_AT_RISK)
            ],
        },
        "comparison": comparison,
        "charts": {
            "progress_distribution": chart(
                "doughnut", "Where the learners are", list(distribution), learners=list(distribution.values())
            ),
            "course_performance": chart(
                "bar", "Courses", [c["course_title"] for c in performance],
                average_progress=[c["avg_progress"] for c in performance],
                completion_rate=[c["completion_rate"] for c in performance],
            ),
            "activity": chart(
                "line", "Enrolments and completions by day", period.days,
                enrollments=enrollments, completions=completions,
            ),
        },
        "as_of": await as_of(session, now),
    }  # fmt: skip


async def _summary(session: AsyncSession, courses: Any, period: Period, *, now: bool) -> dict[str, Any]:
    """At the end of the period; what learners think of courses is known for now alone."""
    ids = [course.uuid for course in courses]
    week, end = period.week, period.end
    made = [course for course in courses if now or course.created_at < end]
    published = [
        course
        for course in made
        if course.status == "published" and (now or (course.published_at and course.published_at < end))
    ]
    return {
        "total_courses": len(made),
        "published_courses": len(published),
        "total_students": (await students_at(session, ids, end))["students"],
        "active_students_7d": await active_students(session, ids, week.first, week.last),
        "avg_course_rating": rules.rating((c.average_rating, c.reviews_count) for c in courses)
        if now
        else None,
    }


async def _performance(session: AsyncSession, courses: Any, period: Period) -> list[dict[str, Any]]:
    ids = [course.uuid for course in courses]
    week = period.week
    counted = await rows(session, "SELECT * FROM course_totals WHERE course = ANY(:courses)", courses=ids)
    totals = {row.course: row for row in counted}
    found = await rows(session, ACTIVE, courses=ids, first=week.first, last=week.last)
    active = {row.course: row.n for row in found}
    performance = []
    for course in courses:
        row = totals.get(course.uuid)
        number = row.students if row else 0
        progress = rules.rounded(row.progress / number) if row and number else 0.0
        performance.append(
            {
                "course_uuid": course.uuid,
                "course_title": course.title,
                "students": number,
                "avg_progress": progress,
                "completion_rate": rules.share(row.completed if row else 0, number),
                "rating": rules.rating([(course.average_rating, course.reviews_count)]),
                "engagement_score": rules.engagement(
                    rules.share(active.get(course.uuid, 0), number), progress
                ),
            }
        )
    return performance


async def _discussions(session: AsyncSession, courses: list[UUID], period: Period) -> dict[str, int]:
    row = await one(session, DISCUSSIONS, courses=courses)
    replies = await one(
        session, "SELECT coalesce(sum(replies), 0) AS n FROM reply_totals WHERE course = ANY(:courses)",
        courses=courses,
    )  # fmt: skip
    return {
        "discussions": int(row.discussions),
        "open_questions": int(row.open_questions),
        "replies": int(replies.n),
        "replies_7d": sum(*await by_day(session, period.week, courses, ("course_replies", "replies"))),
    }


async def _comparison(
    session: AsyncSession,
    courses: list[UUID],
    period: Period,
    enrollments: list[int],
    completions: list[int],
) -> dict[str, Any]:
    """The period against as many days before it."""
    before = await by_day(session, period.previous, courses, *MEASURES)
    return {
        "days": len(period.days),
        "current": {"enrollments": sum(enrollments), "completions": sum(completions)},
        "previous": {"enrollments": sum(before[0]), "completions": sum(before[1])},
    }
