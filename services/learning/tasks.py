"""Work outside of requests: certificates, attempts left open, old idempotency keys.

Tasks carry ids; the rows are the truth, and each sweep finds what a lost message left behind.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select

from libs.common.db import enqueue
from libs.common.errors import NotFound
from libs.common.idempotency import forget_old
from libs.common.jobs import TaskRun, Tasks
from libs.common.storage import Storage
from libs.common.trace import new_trace, tracing
from services.learning.certificates.document import render_certificate
from services.learning.certificates.schemas import verification_url
from services.learning.certificates.service import mark_issued
from services.learning.models import Attempt, Certificate, User
from services.learning.quizzes.attempts import close_attempt
from services.learning.quizzes.rules import GRACE
from services.learning.settings import Settings

TASKS = Tasks("learning", Settings)


@TASKS.task()
async def make_certificate(run: TaskRun, uuid: str) -> None:
    """Render and store the PDF, then mark it issued. Twice is once: same path, and the row decides."""
    async with run.db.session() as session:
        row = (
            await session.execute(
                select(Certificate, User.full_name)
                .outerjoin(User, User.uuid == Certificate.student)
                .where(Certificate.uuid == UUID(uuid))
            )
        ).one_or_none()
    if row is None or row[0].issued_at is not None or row[1] is None:
        return  # without a name, the sweep tries again once the learner's state has arrived
    certificate, name = row
    settings: Settings = run.settings
    pdf = await asyncio.to_thread(
        render_certificate,
        student_name=name,
        course_title=certificate.course_title,
        number=certificate.certificate_number,
        completed_on=certificate.completed_at.date(),
        verification_url=verification_url(settings.public_url, certificate.certificate_number),
    )
    path = f"certificates/{certificate.uuid}.pdf"
    await Storage(settings).put_bytes(path, pdf)
    async with run.db.session() as session:
        await mark_issued(session, certificate.uuid, path, run.clock())


@TASKS.task(every=15)
async def sweep_certificates(run: TaskRun) -> None:
    """Start again what has waited too long."""
    settings: Settings = run.settings
    patience = timedelta(seconds=settings.certificate_patience)
    async with run.db.session() as session:
        waiting = await session.scalars(
            select(Certificate.uuid)
            .join(User, User.uuid == Certificate.student)
            .where(Certificate.issued_at.is_(None), Certificate.requested_at < run.clock() - patience)
            .order_by(Certificate.requested_at)
            .limit(settings.sweep_batch)
        )
        for uuid in waiting:
            enqueue(session, "learning.make_certificate", str(uuid), trace=new_trace())


@TASKS.task(every=10)
async def close_overdue_attempts(run: TaskRun) -> None:
    """Grade attempts whose deadline passed, from what was saved: each in a transaction of its own."""
    settings: Settings = run.settings
    now = run.clock()
    async with run.db.session() as session:
        overdue = await session.scalars(
            select(Attempt.uuid)
            .where(Attempt.status == "in_progress", Attempt.deadline < now - GRACE)
            .order_by(Attempt.deadline)
            .limit(settings.sweep_batch)
        )
        found = list(overdue)
    for uuid in found:
        with tracing(new_trace()):
            try:
                async with run.db.session() as session:
                    await close_attempt(session, uuid, now)
            except NotFound:  # its course is gone
                continue


@TASKS.task(every=3600)
async def forget_idempotency_keys(run: TaskRun) -> None:
    async with run.db.session() as session:
        await forget_old(session)
