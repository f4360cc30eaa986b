"""Response bodies of analytics. Every dashboard has numbers, `charts` and `as_of`."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from libs.common.web.schemas import Day, Identifier, Moment, PlainText, Uri


class ChartData(BaseModel):
    labels: list[PlainText]
    datasets: list[dict[str, Any]]


class Chart(BaseModel):
    """A Chart.js object."""

    type: Identifier
    title: PlainText
    data: ChartData


class Dashboard(BaseModel):
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
    date: Day
    minutes: float


class StudyTime(BaseModel):
    daily_breakdown: list[DayMinutes]
    weekly_average: float


class QuizPoint(BaseModel):
    date: Day
    title: PlainText | None
    score: float


class SubjectPerformance(BaseModel):
    subject: PlainText
    courses: int
    average_progress: float
    average_score: float


class StudentDashboard(Dashboard):
    summary: StudentSummary
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
    last_active: Day | None
    avg_quiz_score: float | None


class AtRisk(BaseModel):
    rule: PlainText
    learners: list[LearnerAtRisk]


class Period(BaseModel):
    enrollments: int
    completions: int


class Comparison(BaseModel):
    days: Literal[30]
    current: Period
    previous: Period


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
    lesson_title: PlainText
    completed: int
    completion_rate: float
    drop_off: float


class QuestionStatistics(BaseModel):
    quiz: UUID
    quiz_title: PlainText | None
    question: UUID
    kind: Identifier
    answers: int
    difficulty: float
    discrimination: float | None


class CourseDashboard(Dashboard):
    course_uuid: UUID
    course_title: PlainText
    summary: CourseSummary
    studentActivity: StudentActivity
    funnel: list[FunnelStep]
    questions: list[QuestionStatistics]


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
    date: Day
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
    active_share_7d: float
    completion_rate: float


class SupportLoad(BaseModel):
    open: int
    opened_7d: int
    resolved_7d: int
    first_response_minutes: float
    rating: float


class PlatformDashboard(Dashboard):
    platform_stats: PlatformStats
    recent_activity: PlatformActivity
    growth_metrics: list[GrowthDay]
    category_insights: list[CategoryInsight]
    health: Health
    engagement: Engagement
    support_load: SupportLoad


class SummaryDashboard(PlatformDashboard):
    """For moderators `health` is null, and `recent_activity.activities` is empty."""

    health: Health | None  # type: ignore[assignment]
