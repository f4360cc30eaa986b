"""What beat does for reports: due ones start, lost ones start again, old files go."""

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select

from libs.common.data.db import enqueue
from libs.common.data.jobs import TaskRun
from libs.common.files.letters import letter_storage, path_of
from libs.common.files.storage import Storage
from libs.common.runtime.failpoints import failpoint
from services.analytics.models import Report, ReportFile, ReportLetter, ReportRun
from services.analytics.reports import rules
from services.analytics.reports.schedule import next_run
from services.analytics.reports.service import add_run
from services.analytics.tries import silent

MOST = 100


async def start_due(run: TaskRun, now: datetime) -> None:
    """A run of each report that is due.

    However many times it was due while nobody swept, it is one run, for the first of them; the next is the
    first one after now. A report's row is locked, so that two sweeps make one run.
    """
    while True:
        async with run.db.session() as session:
            due = await session.scalars(
                select(Report)
                .where(Report.next_run_at <= now)
                .order_by(Report.next_run_at, Report.uuid)
                .limit(MOST)
                .with_for_update(skip_locked=True)
            )
            reports = due.all()
            for report in reports:
                assert report.cron is not None
                assert report.time_zone is not None
                add_run(session, report, report.next_run_at, now)
                report.next_run_at = next_run(report.cron, ZoneInfo(report.time_zone), now)
            failpoint("report.due")
        failpoint("report.started")
        if len(reports) < MOST:
            return


async def start_lost(run: TaskRun, now: datetime) -> None:
    """What waits, and whose writer has been silent for its lease."""
    async with run.db.session() as session:
        for uuid in await session.scalars(silent(ReportRun, now)):
            enqueue(session, "analytics.write_report", str(uuid))


async def delete_expired(run: TaskRun, now: datetime) -> None:
    own, exchange = Storage(run.settings), letter_storage(run.settings)
    async with run.db.sessions() as session:
        letters = (
            await session.scalars(select(ReportLetter.uuid).where(ReportLetter.expires_at <= now))
        ).all()
        shared = (await session.scalars(select(ReportFile).where(ReportFile.letters_until <= now))).all()
        over = (await session.scalars(select(ReportFile).where(ReportFile.expires_at <= now))).all()
    for letter in letters:
        await exchange.delete(path_of(letter))
    for file in [*shared, *over]:
        await exchange.delete(f"reports/{file.run}/{file.uuid}")
    for file in over:
        await own.delete(file.object)
    async with run.db.session() as session:
        await session.execute(delete(ReportLetter).where(ReportLetter.uuid.in_(letters)))
        for file in shared:
            row = await session.get(ReportFile, file.uuid, with_for_update=True)
            if row is not None:
                row.letters_until = None
        await session.execute(delete(ReportFile).where(ReportFile.uuid.in_([file.uuid for file in over])))
        old = (ReportRun.created_at <= now - rules.HISTORY, ReportRun.ended_at.is_not(None))
        await session.execute(delete(ReportRun).where(*old))
