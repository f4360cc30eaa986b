"""Work outside of requests: certificates, attempts left open, old idempotency keys.

Tasks carry ids; the rows are the truth, and each sweep finds what a lost message left behind.
"""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, tuple_

from libs.common.data.db import enqueue
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.files.storage import Storage
from libs.common.runtime.logs import get_logger
from libs.common.runtime.trace import new_trace
from services.learning.assignments.uploads import delete_left_files
from services.learning.certificates.document import render_certificate
from services.learning.certificates.schemas import verification_url
from services.learning.certificates.service import mark_issued, write_name
from services.learning.certificates.templates import find_design
from services.learning.completion.service import check_course, check_enrollment
from services.learning.hot.group_commit import MOST
from services.learning.models import (
    Attempt,
    Certificate,
    CompletionCheck,
    CompletionRules,
    Course,
    User,
)
from services.learning.privacy import PRIVACY
from services.learning.quizzes.attempts import close_attempts
from services.learning.quizzes.visibility import list_otherwise, tell_visibility
from services.learning.settings import Settings
from services.learning.windows import GRACE

log = get_logger(__name__)

TASKS = Tasks("learning", Settings)
PRIVACY.declare(TASKS)


@TASKS.task()
async def make_certificate(run: TaskRun, uuid: str) -> None:
    """Render and store the PDF, then mark it issued. Twice is once: same path, and the row decides.

    The name is the learner's present one, and stays on the certificate whatever they are called later.
    """
    async with run.db.session() as session:
        certificate = await write_name(session, UUID(uuid))
        if certificate is None or certificate.student_name is None:
            return
        design = await find_design(session, certificate.course)
        locale = await session.scalar(select(User.locale).where(User.uuid == certificate.student))
        language = await session.scalar(select(Course.language).where(Course.uuid == certificate.course))
    settings: Settings = run.settings
    pdf = await asyncio.to_thread(
        render_certificate,
        student_name=certificate.student_name,
        course_title=certificate.course_title,
        number=certificate.certificate_number,
        completed_on=certificate.completed_at.date(),
        verification_url=verification_url(settings.public_url, certificate.certificate_number),
        design=design,
        locale=locale or "en",
        language=language or "en",
    )
    path = f"certificates/{certificate.uuid}.pdf"
    await Storage(settings).put_bytes(path, pdf)
    async with run.db.session() as session:
        stays = await mark_issued(session, certificate.uuid, path, run.clock())
    if not stays:  # revoked, or its learner erased, while the PDF was being made
        await Storage(settings).delete(path)


@TASKS.task()
async def drop_certificate_file(run: TaskRun, uuid: str) -> None:
    """Delete the PDF of a certificate that is no longer valid, so that links to it end at once."""
    async with run.db.session() as session:
        certificate = await session.get(Certificate, UUID(uuid), with_for_update=True)
        if certificate is None or certificate.status == "valid" or certificate.pdf_path is None:
            return
        await Storage(run.settings).delete(certificate.pdf_path)
        certificate.pdf_path = None


@TASKS.task(every=15)
async def sweep_certificates(run: TaskRun) -> None:
    """Start again what has waited too long."""
    settings: Settings = run.settings
    patience = timedelta(seconds=settings.certificate_patience)
    async with run.db.session() as session:
        waiting = await session.scalars(
            select(Certificate.uuid)
            .join(User, User.uuid == Certificate.student)
            .where(
                Certificate.issued_at.is_(None),
                Certificate.status == "valid",
                Certificate.requested_at < run.clock() - patience,
            )
            # Not by age: those that fail again and again must not keep the others from their turn.
            .order_by(func.random())
            .limit(settings.sweep_batch)
        )
        for uuid in waiting:
            enqueue(session, "learning.make_certificate", str(uuid), trace=new_trace())
        left = await session.scalars(
            select(Certificate.uuid)
            .where(Certificate.status != "valid", Certificate.pdf_path.is_not(None))
            .limit(settings.sweep_batch)
        )
        for uuid in left:
            enqueue(session, "learning.drop_certificate_file", str(uuid), trace=new_trace())


@TASKS.task(every=10)
async def close_overdue_attempts(run: TaskRun) -> None:
    """Grade all attempts whose deadline passed, from what was saved: many in a transaction.

    Where that fails, each gets one of its own: one that fails is tried again by the next sweep and holds up
    no other.
    """
    settings: Settings = run.settings
    now = run.clock()
    after: tuple[datetime | None, UUID] | None = None
    while True:
        query = select(Attempt.deadline, Attempt.uuid).where(
            Attempt.status == "in_progress", Attempt.deadline < now - GRACE
        )
        if after is not None:
            query = query.where(tuple_(Attempt.deadline, Attempt.uuid) > after)
        async with run.db.session() as session:
            found = (
                await session.execute(
                    query.order_by(Attempt.deadline, Attempt.uuid).limit(settings.sweep_batch)
                )
            ).all()
        overdue = [uuid for _, uuid in found]
        for batch in (overdue[at : at + MOST] for at in range(0, len(overdue), MOST)):
            if not await _closed(run, batch, now):
                for uuid in batch:
                    await _closed(run, [uuid], now)
        if len(found) < settings.sweep_batch:
            return
        after = (found[-1][0], found[-1][1])


async def _closed(run: TaskRun, batch: list[UUID], now: datetime) -> bool:
    """Whether they were graded; a failure is logged."""
    try:
        async with run.db.session() as session:
            await close_attempts(session, {uuid: new_trace() for uuid in batch}, now, owners=None)
    except Exception:
        log.exception("attempts not graded", attempts=[str(uuid) for uuid in batch])
        return False
    return True


@TASKS.task(every=30)
async def sweep_visibility(run: TaskRun) -> None:
    """Publish graded attempts again whose score became visible to learners, or is hidden again."""
    now, after = run.clock(), UUID(int=0)
    while True:
        async with run.db.session() as session:
            found = await list_otherwise(session, now, after, MOST)
            await tell_visibility(session, found, now)
        if len(found) < MOST:
            return
        after = found[-1]


@TASKS.task()
async def check_completion(run: TaskRun, uuid: str) -> None:
    """A grade of this enrolment has changed: complete its course, or say so in its certificate."""
    async with run.db.session() as session:
        await check_enrollment(session, UUID(uuid), run.clock())


@TASKS.task()
async def check_course_completions(run: TaskRun, uuid: str) -> None:
    """Complete the course of active learners who meet its rules."""
    await check_course(run.db, UUID(uuid), run.clock())


@TASKS.task(every=15)
async def sweep_completions(run: TaskRun) -> None:
    """Look where nobody has looked for too long."""
    settings: Settings = run.settings
    since = run.clock() - timedelta(seconds=settings.certificate_patience)
    async with run.db.session() as session:
        for uuid in await session.scalars(
            select(CompletionCheck.enrollment)
            .where(CompletionCheck.wanted_at < since)
            .order_by(CompletionCheck.wanted_at)
            .limit(settings.sweep_batch)
        ):
            enqueue(session, "learning.check_completion", str(uuid), trace=new_trace())
        for uuid in await session.scalars(
            select(CompletionRules.course).where(CompletionRules.check_wanted_at < since)
        ):
            enqueue(session, "learning.check_course_completions", str(uuid), trace=new_trace())


@TASKS.task(every=600)
async def sweep_files(run: TaskRun) -> None:
    """Delete files that came, and were not handed in."""
    await delete_left_files(run.db, Storage(run.settings), run.clock())
