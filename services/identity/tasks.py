"""Tasks of identity: mails, files to delete, and the sweeps that forget what is no longer needed."""

from datetime import timedelta
from uuid import UUID

import aiosmtplib
from sqlalchemy import delete, or_, select, update

from libs.common.data.db import enqueue
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.files.storage import Storage
from libs.common.runtime.logs import get_logger
from libs.common.runtime.mail import MailUncertain, send_mail
from libs.common.runtime.trace import from_headers, tracing
from services.identity.avatars.service import path_of, unworn
from services.identity.codes import CODED, TRY_WINDOW
from services.identity.crypto import Crypto, new_code
from services.identity.keys import rotate_when_due
from services.identity.mails import render
from services.identity.models import (
    AvatarFile,
    CodeMail,
    CodeTry,
    RefreshToken,
    Registration,
    Session,
    Throttle,
    User,
)
from services.identity.privacy.tasks import TASKS as PRIVACY_TASKS
from services.identity.rules import name_of_address
from services.identity.sessions import end_session
from services.identity.settings import Settings

log = get_logger(__name__)

TASKS = Tasks("identity", Settings)
TASKS.by_name |= PRIVACY_TASKS.by_name
RETRY_AFTER = timedelta(seconds=30)
START_AFTER = timedelta(seconds=5)
GIVE_UP_AFTER = {"verify": timedelta(minutes=10), "reset": timedelta(minutes=10)}
GIVE_UP_NOTICE_AFTER = timedelta(days=1)
FORGET_FAILURES = timedelta(days=1)
FORGET_REGISTRATIONS = timedelta(days=30)


@TASKS.task()
async def send_code(run: TaskRun, uuid: str) -> None:
    """Make the code of one mail, keep its HMAC, send it. Two runs at once: the second finds nothing to do."""
    settings: Settings = run.settings
    now = run.clock()
    async with run.db.session() as session:
        mail = await session.get(CodeMail, UUID(uuid), with_for_update={"skip_locked": True})
        if mail is None or mail.status != "pending":
            return
        user = await session.get_one(User, mail.user_uuid)
        said = await session.get(Registration, mail.registration) if mail.registration else None
        if mail.purpose == "verify" and said is None:
            mail.status = "failed"
            return
        code = new_code()
        mail.status = "sending"
        mail.sent_at = now
        if mail.purpose in CODED:
            mail.code_hmac = Crypto(settings.secret).code_hmac(mail.uuid, mail.purpose, user.email, code)
            mail.expires_at = now + timedelta(seconds=settings.code_seconds)
    with tracing(from_headers({"x-request-id": mail.request_id, "traceparent": mail.traceparent})):
        language = user.profile.get("preferred_language", "en")
        minutes = settings.code_seconds // 60
        name, full_name = _addressee(user, said)
        letter = render(mail.purpose, language, name=name, code=code, minutes=minutes)
        try:
            await send_mail(
                settings,
                to=user.email,
                name=full_name,
                subject=letter.subject,
                text=letter.text,
                html=letter.html,
                message_id=f"code-{mail.uuid}",
            )
        except (aiosmtplib.SMTPException, MailUncertain, OSError) as error:
            log.warning("code_mail_failed", mail=uuid, error=type(error).__name__)
            await _mark(run, mail.uuid, "pending")
            return
        await _mark(run, mail.uuid, "sent")
        log.info("code_mail_sent", mail=uuid, purpose=mail.purpose)


def _addressee(user: User, said: Registration | None) -> tuple[str, str]:
    """How a mail calls its reader, and who stands on it.

    A code names in full whose registration it confirms; the name of an unverified account is nobody's.
    """
    if said is not None:
        full_name = f"{said.first_name} {said.last_name}"
        return full_name, full_name
    if user.is_verified:
        return user.first_name, user.full_name
    return name_of_address(user.email), ""


async def _mark(run: TaskRun, uuid: UUID, status: str) -> None:
    """How the sending went; a mail whose code was ended meanwhile stays ended."""
    async with run.db.session() as session:
        mail = await session.get(CodeMail, uuid, with_for_update=True)
        if mail is not None and mail.status == "sending":
            mail.status = status


@TASKS.task(every=10)
async def sweep_codes(run: TaskRun) -> None:
    """Start what was not started, and again what a killed task left behind; a late code is of no use."""
    now = run.clock()
    async with run.db.session() as session:
        waiting = await session.scalars(
            select(CodeMail)
            .where(
                CodeMail.status.in_(["pending", "sending"]),
                or_(CodeMail.sent_at.is_(None), CodeMail.sent_at < now - RETRY_AFTER),
                CodeMail.created_at < now - START_AFTER,
            )
            .limit(500)
            .with_for_update(skip_locked=True)
        )
        for mail in waiting:
            if mail.created_at < now - GIVE_UP_AFTER.get(mail.purpose, GIVE_UP_NOTICE_AFTER):
                mail.status = "failed"
                continue
            # A killed task may have sent its mail already. Its code is known to nobody but the reader, so
            # the new mail brings a new one and the newest counts.
            mail.status = "pending"
            enqueue(
                session,
                "identity.send_code",
                str(mail.uuid),
                trace=from_headers({"x-request-id": mail.request_id, "traceparent": mail.traceparent}),
            )


@TASKS.task()
async def delete_avatar(run: TaskRun, uuid: str) -> None:
    """Delete a picture that nobody wears any more: first the file, then what is written of it."""
    async with run.db.session() as session:
        file = await session.scalar(unworn().where(AvatarFile.uuid == UUID(uuid)))
    if file is None:
        return
    await Storage(run.settings).delete(path_of(file.uuid))
    async with run.db.session() as session:
        await session.execute(delete(AvatarFile).where(AvatarFile.uuid == file.uuid))


@TASKS.task(every=600)
async def sweep_avatars(run: TaskRun) -> None:
    """Find pictures that were replaced, or stored and never worn: an upload takes no hour."""
    async with run.db.session() as session:
        files = await session.scalars(
            unworn().where(AvatarFile.created_at < run.clock() - timedelta(hours=1)).limit(500)
        )
        for file in files:
            enqueue(session, "identity.delete_avatar", str(file.uuid))


@TASKS.task(every=3600)
async def rotate_old_key(run: TaskRun) -> None:
    """Publish another signing key when the newest has signed long enough; withdraw those before it."""
    settings: Settings = run.settings
    every = timedelta(days=settings.key_days)
    async with run.db.session() as session:
        kid = await rotate_when_due(
            session, Crypto(settings.secret), run.clock(), settings.access_seconds, every
        )
    if kid is not None:
        log.info("key_rotated", kid=kid)


@TASKS.task(every=3600)
async def sweep_old(run: TaskRun) -> None:
    """End sessions that have outlived themselves; forget old tries, tokens of ended sessions."""
    now = run.clock()
    ended = select(Session.uuid).where(Session.ended_at < now - timedelta(days=7))
    # Each in a transaction of its own: together, without the users' locks, they would meet what takes those.
    for old in (
        delete(CodeTry).where(CodeTry.tried_at < now - TRY_WINDOW),
        delete(Throttle).where(Throttle.last_at < now - FORGET_FAILURES),
        delete(RefreshToken).where(RefreshToken.session_uuid.in_(ended)),
    ):
        async with run.db.session() as session:
            await session.execute(old)
    async with run.db.session() as session:  # mails before registrations, as when a code is used
        forgotten = select(Registration.uuid).where(Registration.created_at < now - FORGET_REGISTRATIONS)
        await session.execute(
            update(CodeMail).where(CodeMail.registration.in_(forgotten)).values(registration=None)
        )
        await session.execute(delete(Registration).where(Registration.uuid.in_(forgotten)))
    async with run.db.session() as session:
        outlived = await session.scalars(
            select(Session)
            .where(Session.ended_at.is_(None), Session.expires_at < now)
            .limit(5000)
            .with_for_update(skip_locked=True)
        )
        for row in outlived:
            end_session(session, row, "expired", now)
