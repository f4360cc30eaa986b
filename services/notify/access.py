"""Loading and authorising in one step."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import NotFound
from libs.common.security.tokens import Principal
from services.notify.models import Notification


async def access_notification(session: AsyncSession, who: Principal, uuid: UUID) -> Notification:
    """One of the caller's own notifications, locked. Raises NotFound."""
    row = await session.get(Notification, uuid, with_for_update=True)
    if row is None or row.user != who.user or row.deleted_at is not None:
        raise NotFound
    return row
