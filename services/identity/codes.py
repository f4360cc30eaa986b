"""Mailed codes: asking for one, using it up, and ending those that are on their way.

Locks are taken in the order user, code.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hmac import compare_digest
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database, enqueue
from libs.common.runtime.trace import current_trace
from services.identity.access import LOCK
from services.identity.errors import InvalidCode
from services.identity.models import CodeMail, CodeTry, Registration, User
from services.identity.queries import user_by_email
from services.identity.rules import mail_due, may_try_code, newest_codes
from services.identity.sessions import Identity

CODED = ("verify", "reset")
TRY_WINDOW = timedelta(hours=1)
MOST_WAITING = 2
"""Registrations of one address whose mail waits for its minute."""


async def mail_code(
    session: AsyncSession,
    identity: Identity,
    user: User,
    purpose: str,
    said: Registration | None = None,
    *,
    may_wait: bool = False,
) -> bool:
    """Have the task make and mail a code, of a registration to verify; false within a minute of the last one.

    With `may_wait` it goes out when that minute is over, unless others wait already. A registration is kept
    only with its mail. The caller holds the user's lock.
    """
    last = await session.scalar(
        select(func.max(CodeMail.created_at)).where(
            CodeMail.user_uuid == user.uuid, CodeMail.purpose == purpose
        )
    )
    due = mail_due(last, identity.clock(), identity.settings.mail_interval, MOST_WAITING if may_wait else 0)
    if due is None:
        return False
    if said is not None:
        session.add(said)
        await session.flush()
    mail_notice(session, identity, user, purpose, said, due)
    return True


def mail_notice(
    session: AsyncSession,
    identity: Identity,
    user: User,
    purpose: str,
    said: Registration | None = None,
    due: datetime | None = None,
) -> None:
    """Have the task mail what happened, or the sweep when it is due; see `mails.py` for the purposes."""
    trace = current_trace()
    now = identity.clock()
    mail = CodeMail(
        uuid=uuid4(),
        user_uuid=user.uuid,
        registration=said.uuid if said else None,
        purpose=purpose,
        created_at=due or now,
        request_id=trace.request_id,
        traceparent=trace.traceparent,
    )
    session.add(mail)
    if due is None or due <= now:
        enqueue(session, "identity.send_code", str(mail.uuid))


async def use_code(
    session: AsyncSession, db: Database, identity: Identity, email: str, purpose: str, code: str
) -> tuple[User, CodeMail]:
    """Use up a code; returns whose it was, locked, and its mail.

    The try is counted in a transaction of its own, before the code is looked at and before `session` takes a
    connection. Raises InvalidCode for a wrong, used, dead, expired or exhausted one, and when too many were
    wrong within the hour.
    """
    async with db.session() as counting:
        mails, attempt = await _count_try(counting, identity, email, purpose)
    fitting = [mail for mail in mails if _fits(identity, mail, email, code)]
    if not fitting:
        raise InvalidCode
    mail = fitting[0]
    user = await session.get(User, mail.user_uuid, with_for_update=LOCK)
    used = await session.scalar(
        update(CodeMail)
        .where(CodeMail.uuid == mail.uuid, CodeMail.used_at.is_(None), CodeMail.code_hmac == mail.code_hmac)
        .values(used_at=identity.clock())
        .returning(CodeMail.uuid)
    )
    if user is None or used is None:
        raise InvalidCode
    await session.execute(delete(CodeTry).where(CodeTry.uuid == attempt))
    return user, mail


def _fits(identity: Identity, mail: CodeMail, email: str, code: str) -> bool:
    assert mail.code_hmac is not None
    return compare_digest(mail.code_hmac, identity.crypto.code_hmac(mail.uuid, mail.purpose, email, code))


async def _count_try(
    session: AsyncSession, identity: Identity, email: str, purpose: str
) -> tuple[Sequence[CodeMail], UUID]:
    """The codes that may be tried, the newest first, each with one more try counted. A user's queue up.

    To verify there may be one for each of the last registrations; a wrong try counts at all of them.
    """
    attempt = uuid4()
    user = await user_by_email(session, email, lock=True)
    if user is None:
        return [], attempt
    now = identity.clock()
    live = await session.scalars(
        select(CodeMail)
        .where(CodeMail.user_uuid == user.uuid, CodeMail.purpose == purpose, CodeMail.code_hmac.is_not(None),
               CodeMail.used_at.is_(None), CodeMail.expires_at > now)
        .order_by(CodeMail.created_at.desc())
    )  # fmt: skip
    wrong = await session.scalar(
        select(func.count()).where(
            CodeTry.user_uuid == user.uuid, CodeTry.purpose == purpose, CodeTry.tried_at > now - TRY_WINDOW
        )
    )
    settings = identity.settings
    mails = [
        mail
        for mail in newest_codes(live.all(), lambda mail: mail.registration)
        if may_try_code(mail.tries, settings.code_tries, wrong or 0, settings.code_tries_hour)
    ]
    for mail in mails:
        mail.tries += 1
    if mails:
        session.add(CodeTry(uuid=attempt, user_uuid=user.uuid, purpose=purpose, tried_at=now))
    return mails, attempt


async def end_codes(session: AsyncSession, user: UUID) -> None:
    """Kill every code of somebody, mailed or still to be mailed. The caller holds the user's lock.

    Whatever changes who may log in, and how, ends what was mailed before it.
    """
    live = (CodeMail.user_uuid == user, CodeMail.purpose.in_(CODED), CodeMail.used_at.is_(None))
    waiting = CodeMail.status.in_(["pending", "sending"])
    await session.execute(update(CodeMail).where(*live, waiting).values(code_hmac=None, status="failed"))
    await session.execute(
        update(CodeMail).where(*live, CodeMail.code_hmac.is_not(None)).values(code_hmac=None)
    )
