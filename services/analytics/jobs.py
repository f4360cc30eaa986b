"""Jobs of analytics: exports, and runs of reports."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from libs.common.data.db import SessionDep
from libs.common.security.auth import Teacher
from libs.common.web.clock import Now
from services.analytics.exports.routes import access_export, export_answer
from services.analytics.exports.schemas import ExportRead
from services.analytics.models import ReportRun
from services.analytics.reports.access import access_run
from services.analytics.reports.routes import run_read
from services.analytics.reports.schemas import ReportRunRead

router = APIRouter(prefix="/api/jobs/analytics", tags=["jobs"])


@router.get("/{uuid}/", response_model=ExportRead | ReportRunRead)
async def get_job(uuid: UUID, session: SessionDep, who: Teacher, request: Request, now: Now) -> Any:
    """One's own export, or a run of one's own report."""
    if await session.get(ReportRun, uuid) is not None:
        report, run = await access_run(session, who, uuid)
        return await run_read(session, request, who, report, run, now)
    return export_answer(request, who, await access_export(session, who, uuid), now)


@router.delete("/{uuid}/", response_model=ExportRead | ReportRunRead)
async def cancel_job(uuid: UUID, session: SessionDep, who: Teacher, request: Request, now: Now) -> Any:
    """Cancel it while it is written, or delete an export's file. A report that has gone out stays."""
    if await session.get(ReportRun, uuid) is not None:
        report, run = await access_run(session, who, uuid, lock=True)
        if run.status in ("queued", "running"):
            run.status, run.ended_at = "cancelled", now
            await session.flush()
        return await run_read(session, request, who, report, run, now)
    export = await access_export(session, who, uuid, lock=True)
    if export.status in ("queued", "running"):
        export.status, export.ended_at = "cancelled", now
    export.expires_at = now
    await session.flush()
    return export_answer(request, who, export, now)
