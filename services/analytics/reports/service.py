"""Making and changing reports, and starting runs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.db import enqueue
from libs.common.runtime.errors import Conflict, Unprocessable
from libs.common.security.tokens import Principal
from services.analytics.models import Reader, Report, ReportFile, ReportRun
from services.analytics.reports import rules
from services.analytics.reports.access import check_content, day_of
from services.analytics.reports.schedule import next_run
from services.analytics.reports.schemas import Content, ReportCreate, ReportUpdate, Schedule


class TooManyReports(Conflict):
    code = "too_many_reports"
    detail = f"At most {rules.MOST_REPORTS} reports: delete one."


class TooManyRuns(Conflict):
    code = "too_many_runs"
    detail = f"At most {rules.MOST_MANUAL} runs an hour are started by hand."


async def create_report(session: AsyncSession, who: Principal, body: ReportCreate, now: datetime) -> Report:
    """Raises TooManyReports, Unprocessable, Forbidden and what a query raises."""
    recipients = await _known(session, who, body.recipients)
    await check_content(session, body, who, day_of(body, now))
    # Two requests at once must not both find room.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"analytics.reports {who.user}"))))
    mine = await session.scalar(select(func.count()).where(Report.owner == who.user))
    if (mine or 0) >= rules.MOST_REPORTS:
        raise TooManyReports
    report = Report(
        uuid=uuid4(), version=1, owner=who.user, role=who.role, name=body.name, asked=body.asked,
        format=body.format, recipients=recipients, created_at=now, updated_at=now,
    )  # fmt: skip
    _set_schedule(report, body.schedule, now)
    session.add(report)
    await write_entry(session, "report_created", report.uuid, actor=who.user, details=_audited(report))
    await session.flush()
    return report


async def change_report(
    session: AsyncSession, who: Principal, report: Report, body: ReportUpdate, now: datetime
) -> None:
    """The caller holds the row's lock. Raises what `create_report` raises."""
    given = body.model_fields_set
    if body.recipients is not None:
        report.recipients = await _known(session, who, body.recipients)
    if body.asked:
        report.asked = body.asked
    # Whoever changes it must be able to see it: by the content that it has now.
    await check_content(session, Content.model_validate(report.asked), who, day_of(body, now))
    report.name = body.name if body.name is not None else report.name
    report.format = body.format or report.format
    if "schedule" in given:
        _set_schedule(report, body.schedule, now)
    report.role, report.version, report.updated_at = who.role, report.version + 1, now
    await write_entry(session, "report_changed", report.uuid, actor=who.user, details=_audited(report))
    await session.flush()


async def delete_report(session: AsyncSession, who: Principal, report: Report, now: datetime) -> None:
    """With its history; the sweep deletes the files."""
    runs = select(ReportRun.uuid).where(ReportRun.report == report.uuid)
    await session.execute(update(ReportFile).where(ReportFile.run.in_(runs)).values(expires_at=now))
    await write_entry(session, "report_deleted", report.uuid, actor=who.user)
    await session.delete(report)
    await session.flush()


async def start_run(session: AsyncSession, who: Principal, report: Report, now: datetime) -> ReportRun:
    """Raises TooManyRuns."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"analytics.reports {who.user}"))))
    lately = (
        select(func.count())
        .select_from(ReportRun)
        .join(Report)
        .where(
            Report.owner == who.user, ReportRun.due_at.is_(None),
            ReportRun.created_at > now - timedelta(hours=1),
        )
    )  # fmt: skip
    if (await session.scalar(lately) or 0) >= rules.MOST_MANUAL:
        raise TooManyRuns
    return add_run(session, report, None, now)


def add_run(session: AsyncSession, report: Report, due_at: datetime | None, now: datetime) -> ReportRun:
    """A run that waits, and the task that takes it up."""
    run = ReportRun(
        uuid=uuid4(), report=report.uuid, due_at=due_at, status="queued", percent=0, attempts=0,
        recipients=[], created_at=now,
    )  # fmt: skip
    session.add(run)
    enqueue(session, "analytics.write_report", str(run.uuid))
    return run


def _set_schedule(report: Report, schedule: Schedule | None, now: datetime) -> None:
    report.cron = schedule.cron if schedule else None
    report.time_zone = schedule.time_zone if schedule else None
    report.next_run_at = next_run(schedule.cron, ZoneInfo(schedule.time_zone), now) if schedule else None


async def _known(session: AsyncSession, who: Principal, recipients: Sequence[UUID]) -> list[str]:
    """Recipients, each once. Raises Unprocessable that names who is nobody here."""
    found = set(await session.scalars(select(Reader.uuid).where(Reader.uuid.in_(recipients)))) | {who.user}
    for place, user in enumerate(recipients):
        if user not in found:
            raise Unprocessable.field(f"recipients.{place}", "is nobody's id here")
    return [str(user) for user in dict.fromkeys(recipients)]


def _audited(report: Report) -> dict[str, Any]:
    of = report.asked.get("dashboard", "query")
    return {"of": of, "format": report.format, "cron": report.cron, "recipients": len(report.recipients)}
