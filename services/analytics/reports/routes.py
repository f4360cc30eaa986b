"""HTTP of reports and their runs (api.md §8a)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from libs.common.data.db import SessionDep
from libs.common.files.storage import Storage
from libs.common.runtime.errors import NotFound
from libs.common.security.auth import Teacher
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, paginate
from services.analytics.exports.rules import eta_seconds
from services.analytics.models import Report, ReportFile, ReportRun
from services.analytics.query.errors import MembersForbidden, MembersNotShared, UnknownMember
from services.analytics.reports import rules, service
from services.analytics.reports.access import access_report, access_run
from services.analytics.reports.schemas import (
    Done,
    ReportCreate,
    ReportRead,
    ReportRunRead,
    ReportUpdate,
)
from services.analytics.reports.service import TooManyReports, TooManyRuns

router = APIRouter(prefix="/api/analytics/reports", tags=["analytics"])


@router.post(
    "/", status_code=201, response_model=ReportRead,
    responses=raises(TooManyReports, UnknownMember, MembersNotShared, MembersForbidden),
)  # fmt: skip
async def create_report(
    body: ReportCreate, session: SessionDep, who: Teacher, response: Response, now: Now
) -> Any:
    """Save a query or a dashboard, to be mailed on a schedule.

    A teacher's report is of own courses, whoever reads it. On the day it goes out each recipient must be
    allowed to see it; the run says who was not.
    """
    report = await service.create_report(session, who, body, now)
    response.headers["ETag"] = etags.etag(report.version)
    return _answer(report)


@router.get("/", response_model=Page[ReportRead])
async def list_reports(session: SessionDep, who: Teacher, page: PagingDep) -> Any:
    """The caller's reports, newest first."""
    query = select(Report).where(Report.owner == who.user).order_by(Report.created_at.desc(), Report.uuid)
    count, found = await paginate(session, query, page)
    return page.answer(count, [_answer(report) for report in found])


@router.get("/{uuid}/", response_model=ReportRead)
async def get_report(
    uuid: UUID, session: SessionDep, who: Teacher, request: Request, response: Response
) -> Any:
    """One's own report."""
    report = await access_report(session, who, uuid)
    return etags.answer(request, response, etags.etag(report.version)) or _answer(report)


@router.patch(
    "/{uuid}/", response_model=ReportRead,
    responses=raises(UnknownMember, MembersNotShared, MembersForbidden),
)  # fmt: skip
async def change_report(
    uuid: UUID, body: ReportUpdate, session: SessionDep, who: Teacher, if_match: IfMatch,
    response: Response, now: Now,
) -> Any:  # fmt: skip
    """Change it. A new schedule counts from now on; `schedule: null` ends it."""
    report = await access_report(session, who, uuid, lock=True)
    if_match.check(report.version)
    await service.change_report(session, who, report, body, now)
    response.headers["ETag"] = etags.etag(report.version)
    return _answer(report)


@router.delete("/{uuid}/", response_model=Done)
async def delete_report(uuid: UUID, session: SessionDep, who: Teacher, if_match: IfMatch, now: Now) -> Any:
    """Delete it with its history and files. What is on its way by mail may still arrive."""
    report = await access_report(session, who, uuid, lock=True)
    if_match.check(report.version)
    await service.delete_report(session, who, report, now)
    return {"detail": "The report is deleted."}


@router.post("/{uuid}/runs/", status_code=202, response_model=ReportRunRead, responses=raises(TooManyRuns))
async def start_run(
    uuid: UUID, session: SessionDep, who: Teacher, request: Request, response: Response, now: Now
) -> Any:
    """Send it now, to all of its recipients."""
    report = await access_report(session, who, uuid)
    run = await service.start_run(session, who, report, now)
    await session.flush()
    response.headers["Location"] = f"/api/analytics/reports/{uuid}/runs/{run.uuid}/"
    return run_answer(request, who, report, run, None, now)


@router.get("/{uuid}/runs/", response_model=Page[ReportRunRead])
async def list_runs(
    uuid: UUID, session: SessionDep, who: Teacher, request: Request, page: PagingDep, now: Now
) -> Any:
    """When it went out and to whom, newest first."""
    report = await access_report(session, who, uuid)
    query = select(ReportRun).where(ReportRun.report == uuid)
    ordered = query.order_by(ReportRun.created_at.desc(), ReportRun.uuid)
    count, runs = await paginate(session, ordered, page)
    files = await _files(session, who, runs)
    return page.answer(
        count, [run_answer(request, who, report, run, files.get(run.uuid), now) for run in runs]
    )


@router.get("/{uuid}/runs/{run}/", response_model=ReportRunRead)
async def get_run(
    uuid: UUID, run: UUID, session: SessionDep, who: Teacher, request: Request, now: Now
) -> Any:
    """One run: how far it is, who got it, who did not and why."""
    report, found = await access_run(session, who, run)
    if report.uuid != uuid:
        raise NotFound
    return await run_read(session, request, who, report, found, now)


async def run_read(
    session: Any, request: Request, who: Principal, report: Report, run: ReportRun, now: datetime
) -> dict[str, Any]:
    files = await _files(session, who, [run])
    return run_answer(request, who, report, run, files.get(run.uuid), now)


async def _files(session: Any, who: Principal, runs: Any) -> dict[UUID, ReportFile]:
    """The file of each run that its owner may see: their own, else the one of everything."""
    found = await session.scalars(
        select(ReportFile)
        .where(
            ReportFile.run.in_([run.uuid for run in runs]),
            (ReportFile.reader == who.user) | ReportFile.reader.is_(None),
        )
        .order_by(ReportFile.reader.nulls_first(), ReportFile.uuid)
    )
    return {file.run: file for file in found}


def run_answer(
    request: Request, who: Principal, report: Report, run: ReportRun, file: ReportFile | None, now: datetime
) -> dict[str, Any]:
    link = None
    if file is not None and run.status == "done" and now < file.expires_at:
        storage: Storage = request.app.state.storage
        name = f"lectern-{run.created_at:%Y-%m-%d}.{report.format}"
        kind = rules.TYPES[file.object.rpartition(".")[2]]
        link = storage.seen_by(who).url(file.object, kind, name, f"report:{file.uuid}")
    running = run.status == "running"
    return {
        "uuid": run.uuid,
        "kind": "analytics_report",
        "report": report.uuid,
        "status": run.status,
        "percent": run.percent,
        "eta_seconds": eta_seconds(run.created_at, now, run.percent) if running else None,
        "result_url": link,
        "expires_at": file.expires_at if link and file else None,
        "error": rules.ERRORS.get(run.error) if run.error else None,
        "due_at": run.due_at,
        "as_of": run.as_of,
        "format": report.format,
        "recipients": [
            {
                "user": each["user"],
                "outcome": each["outcome"],
                "reason": each.get("reason"),
                "detail": rules.SKIPPED.get(each.get("reason") or ""),
            }
            for each in run.recipients
        ],
        "created_at": run.created_at,
        "ended_at": run.ended_at,
    }


def _answer(report: Report) -> dict[str, Any]:
    asked = report.asked
    return {
        "uuid": report.uuid,
        "name": report.name,
        **{name: asked.get(name) for name in ("query", "dashboard", "course", "days", "compare")},
        "format": report.format,
        "schedule": {"cron": report.cron, "time_zone": report.time_zone} if report.cron else None,
        "recipients": report.recipients,
        "next_run_at": report.next_run_at,
        "created_at": report.created_at,
        "updated_at": report.updated_at,
    }
