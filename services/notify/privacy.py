"""What notify holds of a person, and what becomes of it.

Notifications go, and their name goes from those of others. Deliveries stay as the ledger of what was sent: a
recipient's id, no address; one that still waits is ended.
"""

from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.notify import ExportPartFailed, ExportPartPacked, MailFailed, PersonErased
from libs.common.privacy.content import PersonalData, rows_of
from libs.common.privacy.parts import Erasure, Privacy
from services.notify.models import CourseTitle, Delivery, Inbox, Notification, Person, PrivacyPart
from services.notify.service import retell


async def gather(session: AsyncSession, user: UUID) -> PersonalData:
    notifications = await rows_of(
        session,
        select(
            Notification.notification_type.label("type"), Notification.title, Notification.message,
            Notification.action_url, CourseTitle.title.label("course"), Notification.is_read,
            Notification.created_at, Notification.deleted_at,
        )
        .outerjoin(CourseTitle, CourseTitle.uuid == Notification.course)
        .where(Notification.user == user)
        .order_by(Notification.seq),
    )  # fmt: skip
    mails = await rows_of(
        session,
        select(
            Delivery.kind, CourseTitle.title.label("course"), Delivery.status, Delivery.created_at,
            Delivery.sent_at,
        )
        .outerjoin(CourseTitle, CourseTitle.uuid == Delivery.course)
        .where(Delivery.recipient == user)
        .order_by(Delivery.created_at),
    )  # fmt: skip
    return PersonalData({"notifications": notifications, "mails": mails})


async def erase(erasure: Erasure) -> None:
    session, user = erasure.session, erasure.user
    # First: who tells of them meanwhile either has their name no more, or is waited for.
    await erasure.run(delete(Person).where(Person.uuid == user))
    erasure.rows += await retell(session, Notification.actor == user, "who", {})
    await erasure.run(delete(Notification).where(Notification.user == user))
    await erasure.run(delete(Inbox).where(Inbox.user == user))
    waiting = await session.scalars(
        select(Delivery)
        .where(Delivery.recipient == user, Delivery.status == "pending")
        .order_by(Delivery.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    for delivery in waiting.all():
        delivery.status = "failed"
        delivery.version += 1
        erasure.rows += 1
        event = MailFailed(
            delivery=delivery.uuid, recipient=user, kind=delivery.kind, source=delivery.source,
            reason="erased",
        )  # fmt: skip
        record(session, event, delivery.version, trace=erasure.trace)


PRIVACY = Privacy("notify", PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, erase)
