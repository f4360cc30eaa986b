"""What the people who teach one course see of it."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.web.paging import Paging
from services.analytics import rules
from services.analytics.charts import chart
from services.analytics.period import Period, compared
from services.analytics.queries import (
    active_students,
    as_of,
    at_risk,
    by_day,
    minutes_by_day,
    progress_distribution,
    rows,
    students_at,
)
from services.analytics.rules import TAKING_PART

MOST_AT_RISK, MOST_COHORTS = 100, 26
MEDIA = ("video", "audio")
QUESTIONS = (
    "SELECT s.quiz, q.title, s.question, s.kind, s.percentage, s.answers, s.share FROM question_scores s"
    " LEFT JOIN quizzes q ON q.quiz = s.quiz WHERE s.course = :c AND s.answers > 0"
)
PLAYS = "SELECT lesson, stretch, plays FROM media_plays WHERE course = :c"
WATCHED = "SELECT lesson, stretches FROM media_learners WHERE course = :c"
STUDENTS = (
    "SELECT e.student, e.status, e.progress, e.enrolled_at, l.last_day,"
    " l.score / nullif(l.quizzes, 0) AS score, coalesce(l.seconds, 0) AS seconds"
    f" FROM (SELECT * FROM enrollments WHERE course = :c AND {TAKING_PART}"
    "  ORDER BY enrolled_at, uuid LIMIT :most OFFSET :skip) e"
    " LEFT JOIN learners l ON l.course = :c AND l.student = e.student ORDER BY e.enrolled_at, e.uuid"
)


async def course_dashboard(
    session: AsyncSession, course: Any, period: Period, page: Paging, now: datetime
) -> dict[str, Any]:
    """Numbers of one course (a row of `access_course`). The session uses a projection already."""
    distribution = await progress_distribution(session, [course.uuid])
    students = sum(distribution.values())
    summary = await _summary(session, course, period, now=True)
    funnel = await _funnel(session, course, students)
    questions = await _questions(session, course)
    series = (
        ("course_enrollments", "enrollments"), ("course_enrollments", "completions"),
        ("course_discussions", "discussions"), ("course_replies", "replies"),
    )  # fmt: skip
    days = await by_day(session, period, [course.uuid], *series)
    activity = {measure: counted for (_, measure), counted in zip(series, days, strict=True)}
    minutes = await minutes_by_day(session, period, course.uuid)
    return {
        "course_uuid": course.uuid,
        "course_title": course.title,
        "period": {"from": period.first, "to": period.last},
        "summary": summary,
        "comparison": compared(summary, await _summary(session, course, period.previous, now=False))
        if period.compare
        else None,
        "studentActivity": {"progress_distribution": distribution},
        "funnel": funnel,
        "questions": questions,
        "media": await _media(session, course),
        "at_risk": [
            {
                "student": {"uuid": row.student},
                "reasons": reasons,
                "last_active": row.last_day,
                "progress": rules.rounded(row.progress),
                "score": None if row.score is None else rules.rounded(row.score),
            }
            for row, reasons in await at_risk(session, [course.uuid], period.today, MOST_AT_RISK)
        ],
        "at_risk_rule": rules.AT_RISK_RULE,
        "cohorts": await _cohorts(session, course, period.today),
        "students": await _students(session, course, students, page),
        "charts": {
            "progress_distribution": chart(
                "doughnut", "Where the learners are", list(distribution), learners=list(distribution.values())
            ),
            "funnel": chart(
                "bar", "Lessons reached and completed", [f["title"] for f in funnel],
                reached=[f["reached"] for f in funnel], completed=[f["completed"] for f in funnel],
            ),
            "activity": chart(
                "line", "Activity by day", period.days, study_minutes=minutes, **activity
            ),
            "questions": chart(
                "bar", "Questions: share of right answers", [str(q["title"]) for q in questions],
                difficulty=[q["difficulty"] for q in questions],
            ),
        },
        "as_of": await as_of(session, now),
    }  # fmt: skip


async def _summary(session: AsyncSession, course: Any, period: Period, *, now: bool) -> dict[str, Any]:
    """At the end of the period, of those who take part now; progress and rating are known for now alone."""
    ids = [course.uuid]
    counted = await students_at(session, ids, period.end)
    week = period.week
    progress = None
    if now:
        found = await rows(session, "SELECT progress FROM course_totals WHERE course = :c", c=course.uuid)
        progress = rules.rounded(found[0].progress / counted["seats"]) if counted["seats"] and found else 0.0
    return {
        "total_students": counted["seats"],
        "active_students_7d": await active_students(session, ids, week.first, week.last),
        "avg_progress": progress,
        "completion_rate": rules.share(counted["completed"], counted["seats"]),
        "avg_course_rating": rules.rating([(course.average_rating, course.reviews_count)]) if now else None,
    }


async def _funnel(session: AsyncSession, course: Any, students: int) -> list[dict[str, Any]]:
    """Lessons in order: how many reached and completed each, and what share is lost from one to the next."""
    reached = await rows(session, "SELECT lesson, reached FROM lesson_reach WHERE course = :c", c=course.uuid)
    done = await rows(session, "SELECT lesson, completed FROM lesson_totals WHERE course = :c", c=course.uuid)
    seen = {str(row.lesson): row.reached for row in reached}
    completed = {str(row.lesson): row.completed for row in done}
    funnel = []
    before = students
    for lesson in course.lessons or []:
        number = completed.get(lesson["uuid"], 0)
        funnel.append(
            {
                "lesson_uuid": lesson["uuid"],
                "title": lesson["title"],
                "lesson_title": lesson["title"],
                "reached": max(seen.get(lesson["uuid"], 0), number),
                "completed": number,
                "completion_rate": rules.share(number, students),
                "drop_off": rules.share(max(before - number, 0), before),
            }
        )
        before = number
    return funnel


async def _questions(session: AsyncSession, course: Any) -> list[dict[str, Any]]:
    """Hardest first: `difficulty` is the mean share of right answers, in percent."""
    found: dict[tuple[Any, Any], list[Any]] = defaultdict(list)
    for row in await rows(session, QUESTIONS, c=course.uuid):
        found[row.quiz, row.question].append(row)
    questions = []
    for (quiz, question), scores in found.items():
        answers = sum(row.answers for row in scores)
        questions.append(
            {
                "quiz": quiz,
                "quiz_title": scores[0].title,
                "question": question,
                "title": scores[0].title,
                "kind": scores[0].kind,
                "answers": answers,
                "difficulty": rules.rounded(sum(row.share for row in scores) / answers, 3),
                "discrimination": rules.discrimination(
                    [(float(row.percentage), row.answers, float(row.share)) for row in scores]
                ),
                "time_median_s": None,
            }
        )
    return sorted(questions, key=lambda q: (q["difficulty"], str(q["question"])))


async def _media(session: AsyncSession, course: Any) -> list[dict[str, Any]]:
    """Videos and audios in order: the median share that learners have played, and where they go back to."""
    plays: dict[str, dict[int, int]] = defaultdict(dict)
    for row in await rows(
        session, "SELECT lesson, stretch, plays FROM media_plays WHERE course = :c", c=course.uuid
    ):
        plays[str(row.lesson)][row.stretch] = row.plays
    watched: dict[str, list[int]] = defaultdict(list)
    for row in await rows(
        session, "SELECT lesson, stretches FROM media_learners WHERE course = :c", c=course.uuid
    ):
        watched[str(row.lesson)].append(row.stretches)
    return [
        {
            "lesson_uuid": lesson["uuid"],
            "title": lesson["title"],
            "watched_median": rules.share(median(watched[lesson["uuid"]]), max(plays[lesson["uuid"]]) + 1),
            "replays": rules.slices(plays[lesson["uuid"]]),
        }
        for lesson in course.lessons or []
        if lesson["content_type"] in MEDIA and plays.get(lesson["uuid"])
    ]


async def _cohorts(session: AsyncSession, course: Any, today: date) -> list[dict[str, Any]]:
    """By week of enrolment: how many, and what percent of them learned something in each week since."""
    monday = today - timedelta(days=today.weekday())
    cohorts = await rows(
        session,
        "SELECT week, enrolled FROM cohorts"
        " WHERE course = :c AND enrolled > 0 AND week > :first ORDER BY week",
        c=course.uuid,
        first=monday - timedelta(weeks=MOST_COHORTS),
    )
    active = {
        (row.week, row.age): row.active
        for row in await rows(
            session, "SELECT week, age, active FROM cohort_weeks WHERE course = :c", c=course.uuid
        )
    }
    return [
        {
            "week": row.week,
            "enrolled": row.enrolled,
            "retained": [
                rules.share(active.get((row.week, age), 0), row.enrolled)
                for age in range((monday - row.week).days // 7 + 1)
            ],
        }
        for row in cohorts
    ]


async def _students(session: AsyncSession, course: Any, count: int, page: Paging) -> dict[str, Any]:
    found = await rows(session, STUDENTS, c=course.uuid, most=page.size, skip=page.offset)
    return page.answer(
        count,
        [
            {
                "student": {"uuid": row.student},
                "status": row.status,
                "progress": rules.rounded(row.progress),
                "score": None if row.score is None else rules.rounded(row.score),
                "minutes": rules.rounded(row.seconds / 60),
                "last_active": row.last_day,
                "enrolled_at": row.enrolled_at,
            }
            for row in found
        ],
    )
