"""HTTP of analytics (api.md §8). Dashboards are read models: nothing here asks another service."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import SessionDep
from libs.common.data.uuids import as_v4
from libs.common.security.auth import CurrentUser, Manager, Moderator, Teacher, at_least
from libs.common.web.clock import Now
from libs.common.web.paging import PagingDep, choose_uuid, decode_cursor, encode_cursor
from services.analytics.access import access_course
from services.analytics.dashboards.course import course_dashboard
from services.analytics.dashboards.platform import for_moderators, platform_dashboard
from services.analytics.dashboards.student import student_dashboard
from services.analytics.dashboards.teacher import teacher_dashboard
from services.analytics.period import Asked, Period, asked_period, settle
from services.analytics.projection import use_live
from services.analytics.queries import ACTIVITIES, one, rows, zone_of
from services.analytics.schemas import (
    ActivityPage,
    CourseDashboard,
    PlatformDashboard,
    StudentDashboard,
    SummaryDashboard,
    TeacherDashboard,
)

COUNTED = "SELECT coalesce(sum(activities), 0) AS n FROM activity_totals WHERE person = :u"
COUNTED_ALL = "SELECT coalesce(sum(activities), 0) AS n FROM activity_kinds"
router = APIRouter(tags=["analytics"])


async def live_session(session: SessionDep) -> AsyncIterator[AsyncSession]:
    """The request's session, pointed at the live projection."""
    await use_live(session)
    yield session


LiveSession = Annotated[AsyncSession, Depends(live_session, scope="function")]


async def chosen_period(
    asked: Annotated[Asked, Depends(asked_period)], session: LiveSession, who: CurrentUser, now: Now
) -> Period:
    """The period that the request is about, in the caller's time zone."""
    return settle(asked, now, await zone_of(session, who.user))


PeriodDep = Annotated[Period, Depends(chosen_period)]


@router.get("/api/core/analytics/student/", response_model=StudentDashboard)
async def get_student_analytics(session: LiveSession, who: CurrentUser, period: PeriodDep, now: Now) -> Any:
    """The caller's own learning."""
    return await student_dashboard(session, who.user, period, now)


@router.get("/api/core/analytics/teacher/", response_model=TeacherDashboard)
async def get_teacher_analytics(session: LiveSession, who: Teacher, period: PeriodDep, now: Now) -> Any:
    """The caller's own courses, drafts too."""
    return await teacher_dashboard(session, who.user, period, now)


@router.get("/api/core/analytics/platform/", response_model=PlatformDashboard)
async def get_platform_analytics(session: LiveSession, who: Manager, period: PeriodDep, now: Now) -> Any:
    """Everything, for managers."""
    return await platform_dashboard(session, period, now)


@router.get("/api/core/dashboard/", response_model=StudentDashboard | TeacherDashboard | PlatformDashboard)
async def get_dashboard(session: LiveSession, who: CurrentUser, period: PeriodDep, now: Now) -> Any:
    """The dashboard of the caller's role."""
    if at_least(who, "manager"):
        return await platform_dashboard(session, period, now)
    if who.role == "teacher":
        return await teacher_dashboard(session, who.user, period, now)
    return await student_dashboard(session, who.user, period, now)


@router.get("/api/core/dashboard/summary/", response_model=SummaryDashboard)
async def get_dashboard_summary(session: LiveSession, who: Moderator, period: PeriodDep, now: Now) -> Any:
    """The platform's numbers; for moderators without the suite's health and what single people do."""
    dashboard = await platform_dashboard(session, period, now)
    return dashboard if at_least(who, "manager") else for_moderators(dashboard)


@router.get("/api/courses/{uuid}/analytics/", response_model=CourseDashboard)
async def get_course_analytics(
    uuid: UUID, session: LiveSession, who: Teacher, period: PeriodDep, page: PagingDep, now: Now
) -> Any:
    """One course, for those who teach it; `page` and `page_size` are of its `students`."""
    return await course_dashboard(session, await access_course(session, who, uuid), period, page, now)


@router.get("/api/core/activities/", response_model=ActivityPage)
async def list_activities(
    session: LiveSession, who: CurrentUser, page: PagingDep, user: str | None = None
) -> Any:
    """Own activities, newest first; managers see everybody's, or those of `user`."""
    chosen = choose_uuid("user", user)
    whose = chosen if at_least(who, "manager") else who.user
    after = decode_cursor(page.cursor, datetime, UUID) if page.cursor else (None, None)
    where = 'a."user" = :u' if whose else "true"
    counted = await one(session, COUNTED if whose else COUNTED_ALL, u=whose)
    found = await rows(
        session,
        f"{ACTIVITIES} WHERE {where}"
        " AND (CAST(:at AS timestamptz) IS NULL OR (a.at, a.event_id) < (:at, CAST(:id AS uuid)))"
        " ORDER BY a.at DESC, a.event_id DESC LIMIT :most OFFSET :skip",
        u=whose,
        at=after[0],
        id=after[1],
        most=page.size + 1,
        skip=0 if page.cursor else page.offset,
    )
    results = [{**row._mapping, "uuid": as_v4(row.uuid)} for row in found[: page.size]]
    more = len(found) > page.size
    follow = encode_cursor(results[-1]["at"], found[page.size - 1].uuid) if more else None
    return {
        "count": counted.n,
        "next": page.link(cursor=follow, page=None) if follow else None,
        "previous": None,
        "results": results,
    }
