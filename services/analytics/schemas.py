"""Response bodies of analytics. Every dashboard has numbers, `charts` and `as_of`."""

import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from libs.common.web.schemas import Identifier, Moment, PlainText, Uri


class ChartData(BaseModel):
    labels: list[PlainText]
    datasets: list[dict[str, Any]]


class Chart(BaseModel):
    """A Chart.js object."""

    type: Identifier
    title: PlainText
    data: ChartData


class PeriodRead(BaseModel):
    """The days that a dashboard is about, in the caller's time zone."""

    first: datetime.date = Field(alias="from")
    to: datetime.date


class Compared(BaseModel):
    """A number at the end of the period, what it was at the end of the one before, and the difference; null
    where nobody knows what it was."""

    value: float | None
    previous: float | None
    change: float | None


class Dashboard(BaseModel):
    period: PeriodRead
    charts: dict[str, Chart]
    as_of: Moment


class ActivityRead(BaseModel):
    uuid: UUID
    user: UUID
    kind: Identifier
    course_uuid: UUID | None
    course_title: PlainText | None
    title: PlainText | None
    at: Moment


class ActivityPage(BaseModel):
    count: int
    next: Uri | None
    previous: Uri | None
    results: list[ActivityRead]


class StudentSummary(BaseModel):
    total_courses: int
    completed_courses: int
    average_progress: float
    learning_streak: int
    total_quizzes: int
    avg_quiz_score: float
    study_minutes_7d: float


class Performance(BaseModel):
    quizzes: float
    assignments: float
    participation: float
    completion: float
    consistency: float


class CourseProgress(BaseModel):
    course_uuid: UUID
    course_title: PlainText
    progress: float
    progress_percentage: float
    status: Identifier
    completed_lessons: int
    total_lessons: int
    category: Identifier | None
    last_accessed: Moment | None


class DayMinutes(BaseModel):
    date: datetime.date
    minutes: float


class StudyTime(BaseModel):
    """Without a chosen period `daily_breakdown` is of the last seven days."""

    daily_breakdown: list[DayMinutes]
    total_minutes: float
    weekly_average: float


class QuizPoint(BaseModel):
    date: datetime.date
    title: PlainText | None
    score: float


class SubjectPerformance(BaseModel):
    subject: PlainText
    courses: int
    average_progress: float
    average_score: float


class StudentDashboard(Dashboard):
    summary: StudentSummary
    comparison: dict[str, Compared] | None
    performance: Performance
    course_progress: list[CourseProgress]
    study_time: StudyTime
    quiz_trend: list[QuizPoint]
    subject_performance: list[SubjectPerformance]
    recent_activity: list[ActivityRead]


class TeacherSummary(BaseModel):
    total_courses: int
    published_courses: int
    total_students: int
    active_students_7d: int
    avg_course_rating: float


class CoursePerformance(BaseModel):
    course_uuid: UUID
    course_title: PlainText
    students: int
    avg_progress: float
    completion_rate: float
    rating: float
    engagement_score: float


class ProgressDistribution(BaseModel):
    not_started: int
    in_progress: int
    completed: int


class StudentActivity(BaseModel):
    progress_distribution: ProgressDistribution


class DiscussionActivity(BaseModel):
    discussions: int
    open_questions: int
    replies: int
    replies_7d: int


class LearnerAtRisk(BaseModel):
    student: UUID
    course_uuid: UUID
    progress: float
    last_active: datetime.date | None
    avg_quiz_score: float | None
    reasons: list[Identifier]


class AtRisk(BaseModel):
    rule: PlainText
    learners: list[LearnerAtRisk]


class PeriodTotals(BaseModel):
    enrollments: int
    completions: int


class Comparison(BaseModel):
    """The period against as many days before it; with `compare=previous` the numbers of the summary, too."""

    days: int
    current: PeriodTotals
    previous: PeriodTotals
    total_courses: Compared | None = None
    published_courses: Compared | None = None
    total_students: Compared | None = None
    active_students_7d: Compared | None = None
    avg_course_rating: Compared | None = None


class TeacherDashboard(Dashboard):
    summary: TeacherSummary
    course_performance: list[CoursePerformance]
    student_activity: StudentActivity
    discussion_activity: DiscussionActivity
    at_risk: AtRisk
    comparison: Comparison


class CourseSummary(BaseModel):
    total_students: int
    active_students_7d: int
    avg_progress: float
    completion_rate: float
    avg_course_rating: float


class FunnelStep(BaseModel):
    lesson_uuid: UUID
    title: PlainText
    lesson_title: PlainText
    reached: int
    completed: int
    completion_rate: float
    drop_off: float


class QuestionStatistics(BaseModel):
    quiz: UUID
    quiz_title: PlainText | None
    question: UUID
    title: PlainText | None
    kind: Identifier | None
    answers: int
    difficulty: float
    discrimination: float | None
    time_median_s: float | None


class MediaStatistics(BaseModel):
    """`replays` are how often each twentieth of the video was watched."""

    lesson_uuid: UUID
    title: PlainText
    watched_median: float
    replays: list[int]


class Learner(BaseModel):
    uuid: UUID


class CourseLearnerAtRisk(BaseModel):
    student: Learner
    reasons: list[Identifier]
    last_active: datetime.date | None
    progress: float
    score: float | None


class Cohort(BaseModel):
    """Learners by week of enrolment (its Monday); `retained` are percent of them who learned in each week
    since."""

    week: datetime.date
    enrolled: int
    retained: list[float]


class CourseStudent(BaseModel):
    student: Learner
    status: Identifier
    progress: float
    score: float | None
    minutes: float
    last_active: datetime.date | None
    enrolled_at: Moment


class CourseStudents(BaseModel):
    count: int
    next: Uri | None
    previous: Uri | None
    results: list[CourseStudent]


class CourseDashboard(Dashboard):
    course_uuid: UUID
    course_title: PlainText
    summary: CourseSummary
    comparison: dict[str, Compared] | None
    studentActivity: StudentActivity
    funnel: list[FunnelStep]
    questions: list[QuestionStatistics]
    media: list[MediaStatistics]
    at_risk: list[CourseLearnerAtRisk]
    at_risk_rule: PlainText
    cohorts: list[Cohort]
    students: CourseStudents


class PlatformStats(BaseModel):
    total_users: int
    active_users_7d: int
    total_courses: int
    published_courses: int
    total_enrollments: int
    completions: int
    certificates: int
    discussions: int
    active_tickets: int


class PlatformActivity(BaseModel):
    new_users_7d: int
    enrollments_7d: int
    completions_7d: int
    activities: list[ActivityRead]


class GrowthDay(BaseModel):
    date: datetime.date
    new_users: int
    enrollments: int
    completions: int
    active_users: int


class CategoryInsight(BaseModel):
    category: Identifier
    courses: int
    enrollments: int
    avg_progress: float
    completion_rate: float


class Health(BaseModel):
    dead_letters: int
    parked_keys: int
    events_applied: int | None


class Engagement(BaseModel):
    """`active_users` and `study_minutes` are of the period."""

    active_users: int
    study_minutes: float
    active_share_7d: float
    completion_rate: float


class TicketLoad(BaseModel):
    priority: Identifier
    open: int
    tickets: int


class SupportLoad(BaseModel):
    """`first_response_minutes` and `rating` are means of the tickets opened in the period."""

    open: int
    opened: int
    resolved: int
    opened_7d: int
    resolved_7d: int
    first_response_minutes: float
    rating: float
    by_priority: list[TicketLoad]


class PlatformDashboard(Dashboard):
    platform_stats: PlatformStats
    comparison: dict[str, Compared] | None
    recent_activity: PlatformActivity
    growth_metrics: list[GrowthDay]
    category_insights: list[CategoryInsight]
    health: Health
    engagement: Engagement
    support_load: SupportLoad


class SummaryDashboard(PlatformDashboard):
    """For moderators `health` is null, and `recent_activity.activities` is empty."""

    health: Health | None  # type: ignore[assignment]
