"""Tasks of identity: mailing codes, and the sweeps that forget what is no longer needed."""

from datetime import timedelta
from uuid import UUID

import aiosmtplib
from sqlalchemy import delete, or_, select

from libs.common.db import enqueue
from libs.common.idempotency import forget_old
from libs.common.jobs import TaskRun, Tasks
from libs.common.logs import get_logger
from libs.common.mail import MailUncertain, send_mail
from libs.common.trace import from_headers, tracing
from services.identity.mails import render
from services.identity.models import CodeMail, RefreshToken, Session, User
from services.identity.secrets_at_rest import Vault, new_code
from services.identity.sessions import end_session
from services.identity.settings import Settings

log = get_logger(__name__)

TASKS = Tasks("identity", Settings)
RETRY_AFTER = timedelta(seconds=30)
GIVE_UP_AFTER = timedelta(minutes=10)


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
        code = new_code()
        mail.status = "sending"
        mail.sent_at = now
        if mail.purpose != "known_address":
            mail.code_hmac = Vault(settings.secret).code_hmac(mail.uuid, mail.purpose, user.email, code)
            mail.expires_at = now + timedelta(seconds=settings.code_seconds)
    with tracing(from_headers({"x-request-id": mail.request_id, "traceparent": mail.traceparent})):
        language = user.profile.get("preferred_language", "en")
        minutes = settings.code_seconds // 60
        letter = render(mail.purpose, language, name=user.first_name, code=code, minutes=minutes)
        try:
            await send_mail(
                settings,
                to=user.email,
                name=user.full_name,
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


async def _mark(run: TaskRun, uuid: UUID, status: str) -> None:
    async with run.db.session() as session:
        mail = await session.get_one(CodeMail, uuid, with_for_update=True)
        mail.status = status


@TASKS.task(every=10)
async def sweep_codes(run: TaskRun) -> None:
    """Start what was not started, and again what a killed task left behind; give up after ten minutes."""
    now = run.clock()
    async with run.db.session() as session:
        waiting = await session.scalars(
            select(CodeMail)
            .where(
                CodeMail.status.in_(["pending", "sending"]),
                or_(CodeMail.sent_at.is_(None), CodeMail.sent_at < now - RETRY_AFTER),
                CodeMail.created_at < now - timedelta(seconds=10),
            )
            .limit(500)
            .with_for_update(skip_locked=True)
        )
        for mail in waiting:
            if mail.created_at < now - GIVE_UP_AFTER:
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


@TASKS.task(every=3600)
async def sweep_old(run: TaskRun) -> None:
    """End sessions that have outlived themselves; forget old answers, and tokens of ended sessions."""
    now = run.clock()
    async with run.db.session() as session:
        await forget_old(session)
        outlived = await session.scalars(
            select(Session)
            .where(Session.ended_at.is_(None), Session.expires_at < now)
            .limit(5000)
            .with_for_update(skip_locked=True)
        )
        for row in outlived:
            end_session(session, row, "expired", now)
        ended = select(Session.uuid).where(Session.ended_at < now - timedelta(days=7))
        await session.execute(delete(RefreshToken).where(RefreshToken.session_uuid.in_(ended)))
