"""Tasks of exports and erasures: building archives, clearing what was exchanged, saying farewell, erasing."""

from datetime import datetime, timedelta
from uuid import UUID

import aiosmtplib
from sqlalchemy import and_, or_, select

from libs.common.data.db import enqueue
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.files.storage import EXCHANGE, NO_LIMIT, Storage
from libs.common.privacy.parts import LASTING, MOST_TRIES, trace_of, without_message
from libs.common.runtime import mail
from libs.common.runtime.logs import get_logger
from libs.common.runtime.trace import tracing
from services.identity.mails import render
from services.identity.models import PrivacyJob, PrivacyPart, User
from services.identity.privacy import service
from services.identity.privacy.archive import Builder, JobGone
from services.identity.privacy.rules import ACCESS_DIES, EXPORT_PATIENCE, FAREWELL_PATIENCE
from services.identity.settings import Settings

log = get_logger(__name__)

TASKS = Tasks("identity", Settings)
LEASE = timedelta(seconds=60)
"""A build that has not said anything for so long is taken for dead."""
RETRY_AFTER = timedelta(seconds=30)


@TASKS.task()
async def build_export(run: TaskRun, uuid: str) -> None:
    """Put all parts into one archive; the fifth failure ends the export, or the first that would come again.

    Every run writes to a path of its own, and only the first to finish is kept.
    """
    now = run.clock()
    async with run.db.session() as session:
        job = await session.get(PrivacyJob, UUID(uuid), with_for_update={"skip_locked": True})
        if job is None or job.kind != "export" or job.status != "open":
            return
        if job.tried_at is not None and now - job.tried_at < LEASE:
            return
        if await service.missing_parts(session, job.uuid) - {"identity"}:
            return
        if job.attempts >= MOST_TRIES:
            at = (job.error or "").partition(":")[2] or "identity"
            service.fail_export(session, job, "not_built", [at], now)
            return
        job.attempts += 1
        job.tried_at = now
        job.progress = 0
    with tracing(trace_of(job)):
        builder = Builder(run, job)
        try:
            stored = await builder.storage.put(builder.path, builder.archive(), NO_LIMIT)
            async with run.db.session() as session:
                row = await session.get_one(PrivacyJob, job.uuid, with_for_update=True)
                if row.status != "open":
                    raise JobGone
                await service.finish_export(session, row, builder.path, stored, builder.rows, run.clock())
        except Exception as error:
            log.warning("export_not_built", job=uuid, **without_message(error))
            await builder.storage.delete(builder.path)
            async with run.db.session() as session:
                row = await session.get_one(PrivacyJob, job.uuid, with_for_update=True)
                if row.status != "open":
                    return
                if isinstance(error, LASTING):
                    service.fail_export(session, row, "not_built", [builder.at], run.clock())
                else:
                    row.error = f"not_built:{builder.at}"


@TASKS.task()
async def clear_export(run: TaskRun, uuid: str) -> None:
    """Delete what was exchanged for an export that has ended, and archives that are not or no longer kept."""
    now = run.clock()
    async with run.db.sessions() as session:
        job = await session.get(PrivacyJob, UUID(uuid))
    if job is None or job.status == "open":
        return
    exchange, own = Storage(run.settings, EXCHANGE), Storage(run.settings)
    for path in await exchange.list_folder(uuid):
        await exchange.delete(path)
    kept = job.object if job.expires_at is not None and now < job.expires_at else None
    for path in await own.list_folder(f"exports/{uuid}"):
        if path != kept:
            await own.delete(path)
    async with run.db.session() as session:
        row = await session.get_one(PrivacyJob, job.uuid, with_for_update=True)
        row.object = kept
        row.cleared_at = now


@TASKS.task(every=30)
async def sweep_exports(run: TaskRun) -> None:
    """Start again what was lost; give up after a week; delete what is no longer kept."""
    now = run.clock()
    others = select(PrivacyPart.job).where(
        PrivacyPart.job == PrivacyJob.uuid,
        PrivacyPart.service != "identity",
        PrivacyPart.acknowledged_at.is_(None),
    )
    late = select(PrivacyPart.job).where(
        PrivacyPart.job == PrivacyJob.uuid, PrivacyPart.acknowledged_at > PrivacyJob.cleared_at
    )
    exports = select(PrivacyJob).where(PrivacyJob.kind == "export")
    async with run.db.session() as session:
        for job in await session.scalars(
            exports.where(
                PrivacyJob.status == "open", PrivacyJob.created_at < now - EXPORT_PATIENCE
            ).with_for_update(skip_locked=True)
        ):
            late_ones = await service.missing_parts(session, job.uuid) - {"identity"}
            service.fail_export(session, job, "timed_out", late_ones, now)
    async with run.db.session() as session:
        for job in await session.scalars(exports.where(PrivacyJob.status == "open", ~others.exists())):
            enqueue(session, "identity.build_export", str(job.uuid), trace=trace_of(job))
        for job in await session.scalars(
            exports.where(
                PrivacyJob.status != "open",
                or_(
                    PrivacyJob.cleared_at.is_(None),
                    and_(PrivacyJob.status != "done", late.exists()),
                    and_(PrivacyJob.object.is_not(None), PrivacyJob.expires_at <= now),
                ),
            )
        ):
            enqueue(session, "identity.clear_export", str(job.uuid), trace=trace_of(job))


@TASKS.task(every=5)
async def sweep_erasures(run: TaskRun) -> None:
    """Start erasures whose user can write nothing any more."""
    now = run.clock()
    async with run.db.session() as session:
        for job in await session.scalars(
            select(PrivacyJob).where(
                PrivacyJob.kind == "erasure",
                PrivacyJob.version == 0,
                PrivacyJob.created_at <= now - ACCESS_DIES,
                or_(PrivacyJob.tried_at.is_(None), PrivacyJob.tried_at <= now - RETRY_AFTER),
            )
        ):
            enqueue(session, "identity.erase_person", str(job.uuid), trace=trace_of(job))


@TASKS.task()
async def erase_person(run: TaskRun, uuid: str) -> None:
    """Say farewell, then erase. The mail goes out at most once, and does not hold the erasure up for ever."""
    now = run.clock()
    async with run.db.session() as session:
        job = await session.get(PrivacyJob, UUID(uuid), with_for_update={"skip_locked": True})
        if job is None or job.kind != "erasure" or job.version > 0 or now < job.created_at + ACCESS_DIES:
            return
        job.tried_at = now
        user = await session.get_one(User, job.user_uuid)
    with tracing(trace_of(job)):
        if job.farewell == "pending" and not await _say_farewell(run, job, user, now):
            return
        async with run.db.session() as session:
            await service.erase_user(session, job.uuid, run.clock())


async def _say_farewell(run: TaskRun, job: PrivacyJob, user: User, now: datetime) -> bool:
    """Whether the erasure may go on: the mail went out, or may have, or was tried for long enough."""

    async def claim() -> None:
        if not await _mark(run, job.uuid, "pending", "sending"):
            raise JobGone

    letter = render("farewell", user.profile.get("preferred_language") or "en", name=user.first_name)
    try:
        await mail.send_mail(
            run.settings, to=user.email, name=user.full_name, subject=letter.subject, text=letter.text,
            html=letter.html, message_id=f"farewell-{job.uuid}", before_data=claim,
        )  # fmt: skip
    except JobGone:
        return False
    except mail.MailUncertain:
        await _mark(run, job.uuid, "sending", "failed")
        return True
    except (aiosmtplib.SMTPException, OSError) as error:
        log.warning("farewell_not_sent", job=str(job.uuid), error=type(error).__name__)
        await _mark(run, job.uuid, "sending", "pending")
        if now < job.created_at + FAREWELL_PATIENCE:
            return False
        await _mark(run, job.uuid, "pending", "failed")
        return True
    await _mark(run, job.uuid, "sending", "sent")
    return True


async def _mark(run: TaskRun, uuid: UUID, before: str, after: str) -> bool:
    async with run.db.session() as session:
        job = await session.get_one(PrivacyJob, uuid, with_for_update=True)
        if job.farewell != before:
            return False
        job.farewell = after
        return True
