"""Exports and erasures: one function per intent. Locks are taken in the order user, job."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.db import enqueue
from libs.common.data.outbox import record, record_tombstone
from libs.common.events.identity import (
    ErasureFinished,
    ErasureRequested,
    ExportCancelled,
    ExportFailed,
    ExportFinished,
    ExportRequested,
    UserErased,
    UserState,
)
from libs.common.events.privacy import PartPacked, PrivacyFact
from libs.common.files.storage import Stored
from libs.common.privacy.parts import Erasure, erase_kept_messages, trace_of
from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import SERVICES
from libs.common.runtime.trace import current_trace
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.identity.access import LOCK, access_self, access_user
from services.identity.models import (
    Activity,
    AvatarFile,
    CodeMail,
    CodeTry,
    Enrollment,
    PrivacyJob,
    PrivacyPart,
    RecoveryCode,
    RefreshToken,
    Registration,
    Session,
    TotpSecret,
    User,
)
from services.identity.privacy.access import access_job
from services.identity.privacy.errors import ErasureBegun, OwnAccount
from services.identity.privacy.rules import ARCHIVE_KEPT
from services.identity.rules import check_role_change
from services.identity.service import end_access
from services.identity.sessions import Caller, end_sessions, note

log = get_logger(__name__)

# Raises PreconditionFailed where an `If-Match` names another version; called under the row's lock.


async def request_export(session: AsyncSession, who: Principal, now: datetime, caller: Caller) -> PrivacyJob:
    """Ask every service for its part. While one export runs, asking again gives that one."""
    user = await access_self(session, who, lock=True)
    running = await _open_job(session, user.uuid, "export")
    if running is not None:
        return running
    job = _new_job(session, user, who.user, "export", now)
    job.version = 1
    record(session, ExportRequested(job=job.uuid, user=user.uuid), job.version)
    note(session, user.uuid, "export_requested", caller)
    await session.flush()
    return job


async def request_own_erasure(
    session: AsyncSession, who: Principal, now: datetime, if_match: Precondition
) -> PrivacyJob:
    """Erase the caller, who has proved their password before; `if_match` sees the account's version."""
    user = await access_self(session, who, lock=True)
    if_match.check(user.version)
    return await _begin_erasure(session, user, who.user, now)


async def request_erasure(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime, if_match: Precondition
) -> PrivacyJob:
    """Erase somebody whose role is not above the manager's own. Raises RoleNotAllowed or OwnAccount."""
    user = await access_user(session, uuid, lock=True)
    if uuid == who.user:
        raise OwnAccount
    check_role_change(who.role, user.role, user.role)
    if_match.check(user.version)
    job = await _begin_erasure(session, user, who.user, now)
    await write_entry(session, "erased", uuid, actor=who.user, details={"job": job.uuid})
    return job


async def _begin_erasure(session: AsyncSession, user: User, actor: UUID, now: datetime) -> PrivacyJob:
    """End somebody's access; the rest follows once no token of theirs is alive (`erase_user`).

    The caller holds the user's lock. A second request gives the same job.
    """
    running = await _open_job(session, user.uuid, "erasure")
    if running is not None:
        return running
    job = _new_job(session, user, actor, "erasure", now)
    job.version = 0
    job.farewell = "pending" if user.is_verified else None
    user.is_active = False
    await end_access(session, user, "erased")
    await end_sessions(session, user.uuid, "erased", now)
    await session.flush()
    return job


async def _open_job(session: AsyncSession, user: UUID, kind: str) -> PrivacyJob | None:
    query = select(PrivacyJob).where(
        PrivacyJob.user_uuid == user, PrivacyJob.kind == kind, PrivacyJob.status == "open"
    )
    return (await session.scalars(query)).one_or_none()


def _new_job(session: AsyncSession, user: User, actor: UUID, kind: str, now: datetime) -> PrivacyJob:
    trace = current_trace()
    job = PrivacyJob(
        uuid=uuid4(), user_uuid=user.uuid, actor=actor, kind=kind, status="open", progress=0, attempts=0,
        created_at=now, request_id=trace.request_id, traceparent=trace.traceparent,
    )  # fmt: skip
    session.add(job)
    session.add_all(PrivacyPart(job=job.uuid, service=service) for service in SERVICES)
    return job


async def cancel_job(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime, if_match: Precondition
) -> PrivacyJob:
    """Cancel an export, or delete the archive of one that is done; again → no change. Raises ErasureBegun."""
    job = await access_job(session, who, uuid, lock=True)
    if job.kind == "erasure":
        raise ErasureBegun
    if_match.check(job.version)
    if job.status == "open":
        _cancel(session, job, who.user, now)
    elif job.object is not None:
        _let_expire(session, job, now)
    return job


def _let_expire(session: AsyncSession, job: PrivacyJob, now: datetime) -> None:
    job.expires_at = now
    enqueue(session, "identity.clear_export", str(job.uuid))


def _cancel(session: AsyncSession, job: PrivacyJob, actor: UUID, now: datetime) -> None:
    fact = ExportCancelled(job=job.uuid, user=job.user_uuid, actor=actor)
    _end(session, job, "cancelled", fact, now)
    enqueue(session, "identity.clear_export", str(job.uuid))


def _end(session: AsyncSession, job: PrivacyJob, status: str, fact: PrivacyFact, now: datetime) -> None:
    """The last version of a job. The caller holds its lock."""
    job.status = status
    job.ended_at = now
    job.version += 1
    record(session, fact, job.version, trace=trace_of(job))


async def acknowledge(
    session: AsyncSession, service: str, answer: PrivacyFact, rows: int, now: datetime
) -> PrivacyJob | None:
    """Write down what a service has answered; returns the job, locked, unless it has ended or is unknown."""
    job = await session.get(PrivacyJob, answer.job, with_for_update=True, populate_existing=True)
    if job is None:
        log.warning("answer_to_unknown_job", job=str(answer.job), service=service)
        return None
    values: dict[str, object] = {"acknowledged_at": now, "rows": rows}
    if isinstance(answer, PartPacked):
        values |= {"object": answer.object, "sha256": answer.sha256, "size": answer.bytes}
    await session.execute(
        update(PrivacyPart)
        .where(
            PrivacyPart.job == job.uuid,
            PrivacyPart.service == service,
            PrivacyPart.acknowledged_at.is_(None),
        )
        .values(**values)
    )
    if job.status == "open":
        return job
    enqueue(session, "identity.clear_export", str(job.uuid))  # it came too late to be used
    return None


async def missing_parts(session: AsyncSession, job: UUID) -> set[str]:
    """The services that have not answered yet."""
    query = select(PrivacyPart.service).where(PrivacyPart.job == job, PrivacyPart.acknowledged_at.is_(None))
    return set(await session.scalars(query))


async def take_part(session: AsyncSession, service: str, answer: PartPacked, now: datetime) -> None:
    """A part of an export lies in the exchange area; with the last one the archive is built."""
    job = await acknowledge(session, service, answer, answer.rows, now)
    if job is not None and await missing_parts(session, job.uuid) <= {"identity"}:
        enqueue(session, "identity.build_export", str(job.uuid), trace=trace_of(job))


async def miss_part(
    session: AsyncSession, service: str, answer: PrivacyFact, reason: str, now: datetime
) -> None:
    """A service has given its part up: no archive without it."""
    job = await acknowledge(session, service, answer, 0, now)
    if job is not None:
        fail_export(session, job, reason, [service], now)


def fail_export(
    session: AsyncSession, job: PrivacyJob, reason: str, services: Iterable[str], now: datetime
) -> None:
    """End an export that the caller has locked, saying whose part it was."""
    job.error = f"{reason}:{','.join(sorted(services))}"
    _end(session, job, "failed", ExportFailed(job=job.uuid, user=job.user_uuid, reason=reason), now)
    enqueue(session, "identity.clear_export", str(job.uuid))


async def finish_export(
    session: AsyncSession, job: PrivacyJob, path: str, stored: Stored, rows: int, now: datetime
) -> None:
    """The archive is stored: it can be downloaded for a week. The caller holds the job's lock."""
    job.object, job.size, job.sha256 = path, stored.size, stored.sha256
    job.progress = 100
    job.expires_at = now + ARCHIVE_KEPT
    await _acknowledge_own(session, job, rows, now)
    fact = ExportFinished(job=job.uuid, user=job.user_uuid, sha256=stored.sha256, bytes=stored.size)
    _end(session, job, "done", fact, now)
    enqueue(session, "identity.clear_export", str(job.uuid))


async def take_erasure(
    session: AsyncSession, service: str, answer: PrivacyFact, rows: int, now: datetime
) -> None:
    """A service has erased; with the last one the job is done."""
    job = await acknowledge(session, service, answer, rows, now)
    if job is not None and not await missing_parts(session, job.uuid):
        counts = await session.scalars(select(PrivacyPart.rows).where(PrivacyPart.job == job.uuid))
        fact = ErasureFinished(job=job.uuid, user=job.user_uuid, rows=sum(count or 0 for count in counts))
        _end(session, job, "done", fact, now)


async def _acknowledge_own(session: AsyncSession, job: PrivacyJob, rows: int, now: datetime) -> None:
    await session.execute(
        update(PrivacyPart)
        .where(PrivacyPart.job == job.uuid, PrivacyPart.service == "identity")
        .values(acknowledged_at=now, rows=rows)
    )


async def erase_user(session: AsyncSession, uuid: UUID, now: datetime) -> None:
    """Take everything personal out of identity, put the tombstone on `identity.users`, ask the others.

    All in one transaction; again → no change. The tombstone has the version of `user_erased`, the last one.
    """
    found = await session.get_one(PrivacyJob, uuid)
    user = await session.get_one(User, found.user_uuid, with_for_update=LOCK, populate_existing=True)
    job = await session.get_one(PrivacyJob, uuid, with_for_update=True, populate_existing=True)
    if job.version > 0:
        return
    if user.is_active:  # somebody has enabled the account meanwhile
        await end_access(session, user, "erased")
    erasure = Erasure(session, user.uuid, now, trace_of(job), rows=1)
    await _erase_rows(erasure)
    await _end_exports(session, user.uuid, now)
    user.email = f"erased-{user.uuid}@erased.invalid"
    user.password_hash = user.first_name = user.last_name = user.phone_number = ""
    user.avatar = user.date_of_birth = user.last_login = None
    user.profile = {}
    user.courses_completed = user.study_seconds = user.points = 0
    user.is_active = user.mfa_enabled = False
    user.erased_at = now
    user.version += 1
    record(session, UserErased(user=user.uuid), user.version, trace=erasure.trace)
    record_tombstone(session, UserState, user.uuid, user.version)
    job.version += 1
    asked = ErasureRequested(job=job.uuid, user=user.uuid, user_version=user.version, actor=job.actor)
    record(session, asked, job.version, trace=erasure.trace)
    await _acknowledge_own(session, job, erasure.rows, now)


async def _erase_rows(erasure: Erasure) -> None:
    """Everything beside the row of the user. Sessions stay as rows, for their versions are published."""
    session, user = erasure.session, erasure.user
    await end_sessions(session, user, "erased", erasure.now)
    await session.flush()
    mine = select(Session.uuid).where(Session.user_uuid == user)
    await erasure.run(delete(RefreshToken).where(RefreshToken.session_uuid.in_(mine)))
    await erasure.run(update(Session).where(Session.user_uuid == user).values(device="", ip="", salt=b""))
    await erasure.run(delete(Enrollment).where(Enrollment.student == user))
    for table in (Activity, CodeMail, CodeTry, Registration, TotpSecret, RecoveryCode):
        await erasure.run(delete(table).where(table.user_uuid == user))
    for picture in await session.scalars(select(AvatarFile.uuid).where(AvatarFile.user_uuid == user)):
        enqueue(session, "identity.delete_avatar", str(picture), trace=erasure.trace)
    await erase_kept_messages(erasure)


async def _end_exports(session: AsyncSession, user: UUID, now: datetime) -> None:
    """Nobody is left to fetch an archive: running exports are cancelled, finished ones expire."""
    exports = await session.scalars(
        select(PrivacyJob)
        .where(PrivacyJob.user_uuid == user, PrivacyJob.kind == "export")
        .order_by(PrivacyJob.uuid)
        .with_for_update()
    )
    for job in exports.all():
        if job.status == "open":
            _cancel(session, job, user, now)
        elif job.object is not None:
            _let_expire(session, job, now)
