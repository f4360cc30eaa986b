"""Loading and authorising tickets in one step."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import Forbidden, NotFound
from libs.common.security.auth import is_staff
from libs.common.security.tokens import Principal
from services.support.models import Ticket


async def access_ticket(session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False) -> Ticket:
    """A ticket for its requester or staff. Raises NotFound for anyone else, as for one that is not there."""
    ticket = await session.get(Ticket, uuid, with_for_update=lock)
    if ticket is None or not (ticket.requester == who.user or is_staff(who)):
        raise NotFound
    return ticket


async def access_ticket_as_staff(session: AsyncSession, who: Principal, uuid: UUID) -> Ticket:
    """A ticket, locked, for staff. Raises Forbidden for its requester, NotFound for anyone else."""
    ticket = await access_ticket(session, who, uuid, lock=True)
    if not is_staff(who):
        raise Forbidden("This is for the staff of support.")
    return ticket
