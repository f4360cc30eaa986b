"""A learner's streak and sums."""

from datetime import date
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select, text

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser
from libs.common.web.clock import Now
from libs.common.web.schemas import Answer
from libs.common.web.zones import local_date
from services.learning.models import StudyDay, User
from services.learning.study.rules import streak

router = APIRouter(prefix="/api/learning", tags=["learning"])

SUMMARY = text(
    "SELECT coalesce(sum(study_seconds), 0) AS study_seconds, coalesce(sum(points), 0) AS points,"
    " (SELECT count(*) FROM enrollments WHERE student = :student AND status = 'completed')"
    " AS courses_completed FROM lesson_progress WHERE student = :student"
)


class LearningStreak(Answer):
    current_streak: int
    longest_streak: int
    local_date: date
    active_today: bool
    freezes: int


class LearningSummary(Answer):
    study_seconds: int
    points: int
    courses_completed: int


@router.get("/streak/", response_model=LearningStreak)
async def get_streak(who: CurrentUser, session: SessionDep, now: Now) -> Any:
    """Days in a row, by the learner's own day."""
    today = local_date(now, await session.scalar(select(User.time_zone).where(User.uuid == who.user)))
    days = await session.scalars(select(StudyDay.local_date).where(StudyDay.student == who.user))
    found = streak(days, today)
    return {
        "current_streak": found.current,
        "longest_streak": found.longest,
        "local_date": today,
        "active_today": found.active_today,
        "freezes": found.freezes,
    }


@router.get("/summary/", response_model=LearningSummary)
async def get_learning_summary(who: CurrentUser, session: SessionDep) -> Any:
    """Study time, points of completed lessons, completed courses."""
    return (await session.execute(SUMMARY, {"student": who.user})).mappings().one()
