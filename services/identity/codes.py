"""Mailed codes: asking for one, and using it up."""

from datetime import timedelta
from hmac import compare_digest
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.db import Database, enqueue
from libs.common.trace import current_trace
from services.identity.errors import InvalidCode
from services.identity.models import CodeMail, CodeTry, User
from services.identity.queries import user_by_email
from services.identity.rules import may_mail_again, may_try_code
from services.identity.sessions import Identity

CODED = ("verify", "reset")
TRY_WINDOW = timedelta(hours=1)


async def mail_code(session: AsyncSession, parts: Identity, user: User, purpose: str) -> None:
    """Have the task make and mail a code, unless one went out within the last minute."""
    await session.execute(select(User.uuid).where(User.uuid == user.uuid).with_for_update())
    last = await session.scalar(
        select(func.max(CodeMail.created_at)).where(
            CodeMail.user_uuid == user.uuid, CodeMail.purpose == purpose
        )
    )
    if may_mail_again(last, parts.clock(), parts.settings.mail_interval):
        mail_notice(session, parts, user, purpose)


def mail_notice(session: AsyncSession, parts: Identity, user: User, purpose: str) -> None:
    """Have the task mail what happened; see `mails.py` for the purposes."""
    trace = current_trace()
    mail = CodeMail(
        uuid=uuid4(),
        user_uuid=user.uuid,
        purpose=purpose,
        created_at=parts.clock(),
        request_id=trace.request_id,
        traceparent=trace.traceparent,
    )
    session.add(mail)
    enqueue(session, "identity.send_code", str(mail.uuid))


async def use_code(
    session: AsyncSession, db: Database, parts: Identity, email: str, purpose: str, code: str
) -> UUID:
    """Use up the newest code; returns whose it was.

    The try is counted in a transaction of its own, before the code is looked at and before `session` takes a
    connection. Raises InvalidCode for a wrong, used, expired or exhausted one, and when too many were wrong
    within the hour.
    """
    async with db.session() as counting:
        found = await _count_try(counting, parts, email, purpose)
    if found is None:
        raise InvalidCode
    mail, attempt = found
    assert mail.code_hmac is not None
    if not compare_digest(mail.code_hmac, parts.vault.code_hmac(mail.uuid, purpose, email, code)):
        raise InvalidCode
    used = await session.scalar(
        update(CodeMail)
        .where(CodeMail.uuid == mail.uuid, CodeMail.used_at.is_(None))
        .values(used_at=parts.clock())
        .returning(CodeMail.uuid)
    )
    if used is None:
        raise InvalidCode
    await session.execute(delete(CodeTry).where(CodeTry.uuid == attempt.uuid))
    return mail.user_uuid


async def _count_try(
    session: AsyncSession, parts: Identity, email: str, purpose: str
) -> tuple[CodeMail, CodeTry] | None:
    """The newest code and the try at it, counted; None when it may not be tried. A user's queue up."""
    user = await user_by_email(session, email, lock=True)
    if user is None:
        return None
    mail = await session.scalar(
        select(CodeMail)
        .where(CodeMail.user_uuid == user.uuid, CodeMail.purpose == purpose, CodeMail.code_hmac.is_not(None))
        .order_by(CodeMail.created_at.desc())
        .limit(1)
    )
    now = parts.clock()
    if mail is None or mail.used_at is not None or mail.expires_at is None or mail.expires_at <= now:
        return None
    wrong = await session.scalar(
        select(func.count()).where(
            CodeTry.user_uuid == user.uuid, CodeTry.purpose == purpose, CodeTry.tried_at > now - TRY_WINDOW
        )
    )
    settings = parts.settings
    if not may_try_code(mail.tries, settings.code_tries, wrong or 0, settings.code_tries_hour):
        return None
    mail.tries += 1
    attempt = CodeTry(uuid=uuid4(), user_uuid=user.uuid, purpose=purpose, tried_at=now)
    session.add(attempt)
    return mail, attempt
