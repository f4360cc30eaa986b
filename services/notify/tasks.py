"""Tasks of notify: sending mails, once each."""

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import aiosmtplib
from sqlalchemy import or_, select

from libs.common.data.db import enqueue
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.data.outbox import record
from libs.common.events.notify import MailFailed, MailSent
from libs.common.files.letters import letter_storage, take_letter
from libs.common.runtime import mail
from libs.common.runtime.errors import NotFound
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger
from libs.common.runtime.trace import resume, tracing
from services.notify.kinds import make_letter, make_report
from services.notify.models import CourseTitle, Delivery, Person
from services.notify.privacy import PRIVACY
from services.notify.settings import Settings

log = get_logger(__name__)

TASKS = Tasks("notify", Settings)
PRIVACY.declare(TASKS)
RETRY_AFTER = timedelta(seconds=20)
UNCERTAIN_AFTER = timedelta(minutes=2)


class NotOurs(Exception):
    """Another run of the task has taken this delivery meanwhile."""


def _trace(delivery: Delivery) -> Any:
    return resume(delivery.request_id, delivery.traceparent)


@TASKS.task()
async def send_mail(run: TaskRun, uuid: str) -> None:
    """Send one delivery. It is claimed just before the text goes out: two runs send one mail."""
    settings: Settings = run.settings
    async with run.db.session() as session:
        delivery = await session.get(Delivery, UUID(uuid), with_for_update={"skip_locked": True})
        if delivery is None or delivery.status != "pending":
            return
        delivery.attempts += 1
        delivery.tried_at = run.clock()
        person = await session.get(Person, delivery.recipient)
        course = await session.get(CourseTitle, delivery.course) if delivery.course else None
    if person is None:
        return  # not heard of yet: the sweep comes back
    if not person.is_active:
        await finish(run, delivery.uuid, "failed", "inactive")
        return
    letter = None
    if delivery.kind == "report":
        try:
            letter = await take_letter(letter_storage(settings), delivery.subject_id or delivery.uuid)
        except NotFound:  # the report was deleted, or the mail server was away for days
            await finish(run, delivery.uuid, "failed", "gone")
            return
    name = mail.unlinked(person.first_name)
    text = (
        make_report(letter, name=name)
        if letter
        else make_letter(
            delivery.kind,
            person.locale,
            name=name,
            course=mail.unlinked(course.title) if course else "",
            url=f"{settings.public_url}/{_path(delivery)}",
        )
    )

    async def claim() -> None:
        failpoint("mail.before_claim")
        async with run.db.session() as session:
            row = await session.get_one(Delivery, delivery.uuid, with_for_update=True)
            if row.status != "pending":
                raise NotOurs
            row.status = "sending"
        failpoint("mail.after_claim")

    with tracing(_trace(delivery)):
        try:
            await mail.send_mail(
                settings, to=person.email, name=person.full_name, subject=text.subject, text=text.text,
                html=text.html, message_id=f"delivery-{delivery.uuid}", before_data=claim,
                pictures=letter.pictures if letter else (),
                attachments=[letter.attachment] if letter and letter.attachment else (),
            )  # fmt: skip
        except NotOurs:
            return
        except mail.MailUncertain:
            await finish(run, delivery.uuid, "failed", "uncertain")
            return
        except (aiosmtplib.SMTPException, OSError) as error:
            log.warning("mail_not_sent", delivery=uuid, error=repr(error)[:200])
            await _release(run, delivery.uuid)
            return
        failpoint("mail.after_send")
        await finish(run, delivery.uuid, "sent")
        log.info("mail_sent", delivery=uuid, kind=delivery.kind)


def _path(delivery: Delivery) -> str:
    if delivery.kind == "certificate_ready":
        return f"api/certificates/{delivery.subject_id}/verify/"
    return f"api/courses/{delivery.course}/"


async def _release(run: TaskRun, uuid: UUID) -> None:
    """It certainly did not go out: the sweep may try again."""
    async with run.db.session() as session:
        row = await session.get_one(Delivery, uuid, with_for_update=True)
        if row.status == "sending":
            row.status = "pending"


async def finish(run: TaskRun, uuid: UUID, status: Literal["sent", "failed"], reason: Any = None) -> None:
    """The end of a delivery, and its event. A delivery that has ended stays as it is."""
    async with run.db.session() as session:
        row = await session.get_one(Delivery, uuid, with_for_update=True)
        if row.status in ("sent", "failed"):
            return
        row.status = status
        row.sent_at = run.clock() if status == "sent" else None
        row.version += 1
        facts: dict[str, Any] = {
            "delivery": row.uuid, "recipient": row.recipient, "kind": row.kind, "source": row.source,
        }  # fmt: skip
        event = MailSent(**facts) if status == "sent" else MailFailed(**facts, reason=reason)
        record(session, event, row.version, trace=_trace(row))


@TASKS.task(every=10)
async def sweep_deliveries(run: TaskRun) -> None:
    """Start again what was not sent; end what is too old, or of which nobody can tell whether it went out."""
    settings: Settings = run.settings
    now = run.clock()
    async with run.db.session() as session:
        waiting = (
            await session.scalars(
                select(Delivery)
                .where(
                    Delivery.status.in_(["pending", "sending"]),
                    Delivery.created_at < now - timedelta(seconds=10),
                    or_(Delivery.tried_at.is_(None), Delivery.tried_at < now - RETRY_AFTER),
                )
                .order_by(Delivery.created_at)
                .limit(settings.sweep_batch)
                .with_for_update(skip_locked=True)
            )
        ).all()
        for row in waiting:
            if row.status == "pending" and row.created_at >= now - timedelta(hours=settings.give_up_hours):
                enqueue(session, "notify.send_mail", str(row.uuid), trace=_trace(row))
    for row in waiting:
        if row.status == "pending" and row.created_at < now - timedelta(hours=settings.give_up_hours):
            await finish(run, row.uuid, "failed", "gave_up")
        elif row.status == "sending" and row.tried_at is not None and row.tried_at < now - UNCERTAIN_AFTER:
            await finish(run, row.uuid, "failed", "uncertain")
