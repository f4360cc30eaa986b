"""What people do with tickets: one function per intent. The ticket's row is locked, its version bumped."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.base import Event
from libs.common.events.support import (
    TicketAnswered,
    TicketAssigned,
    TicketClosed,
    TicketOpened,
    TicketPriorityChanged,
    TicketRated,
    TicketReopened,
    TicketResolved,
    TicketStatusChanged,
)
from libs.common.runtime.clock import system_clock
from libs.common.runtime.errors import Forbidden, Unprocessable
from libs.common.runtime.roles import STAFF
from libs.common.runtime.trace import Trace
from libs.common.security.auth import is_staff
from libs.common.security.tokens import Principal
from services.support import errors
from services.support.access import access_ticket, access_ticket_as_staff
from services.support.models import TICKET_NUMBERS, Message, Person, Ticket
from services.support.queries import least_loaded_staff, may_see_course
from services.support.rules import DONE, Priority, Status, may_reopen, may_set_status, status_after_answer
from services.support.schemas import MessageCreate, RatingCreate, TicketCreate


def _publish(
    session: AsyncSession,
    ticket: Ticket,
    actor: UUID | None,
    kind: type[Event],
    *,
    trace: Trace | None = None,
    hidden: bool = False,
    **facts: Any,
) -> None:
    """The next version of a ticket. Every fact carries the state after it.

    A change that is `hidden` from the requester leaves no trace in what they are answered.
    """
    ticket.version += 1
    if not hidden:
        ticket.shown_version = ticket.version
        ticket.shown_at = system_clock()
    event = kind(
        ticket=ticket.uuid,
        number=ticket.number,
        requester=ticket.requester,
        assigned_to=ticket.assigned_to,
        course=ticket.course,
        category=ticket.category,
        priority=ticket.priority,
        status=ticket.status,
        actor=actor,
        **facts,
    )
    record(session, event, ticket.version, trace=trace)


async def open_ticket(session: AsyncSession, who: Principal, body: TicketCreate, now: datetime) -> Ticket:
    """Open a ticket for the caller. Raises Unprocessable for a course that they may not know of."""
    if body.course is not None and not await may_see_course(session, who, body.course):
        raise Unprocessable.field("course", "there is no such course")
    number = await session.scalar(TICKET_NUMBERS.next_value())
    ticket = Ticket(
        uuid=uuid4(),
        version=0,
        number=f"T-{now.year}-{number:06d}",
        requester=who.user,
        status="open",
        created_at=now,
        updated_at=now,
        **body.model_dump(),
    )
    session.add(ticket)
    _publish(session, ticket, who.user, TicketOpened)
    await session.flush()
    return ticket


async def add_message(
    session: AsyncSession, who: Principal, uuid: UUID, body: MessageCreate, now: datetime, days: int
) -> Ticket:
    """Add a message. Internal ones are for staff only, and a closed ticket takes none.

    The requester's opens a resolved ticket again, within `days` of its end. Raises TicketClosed or
    ReopenTooLate.
    """
    ticket = await access_ticket(session, who, uuid, lock=True)
    by_staff = is_staff(who) and ticket.requester != who.user
    if body.is_internal and not is_staff(who):
        raise Forbidden("Internal messages are for the staff of support.")
    if ticket.status == "closed":
        raise errors.TicketClosed
    if ticket.status == "resolved" and ticket.requester == who.user and not body.is_internal:
        _reopen(session, ticket, who.user, now, days)
    message = Message(
        uuid=uuid4(), ticket=ticket.uuid, author=who.user, content=body.content,
        is_internal=body.is_internal, created_at=now,
    )  # fmt: skip
    session.add(message)
    first = by_staff and not body.is_internal and ticket.first_response_at is None
    if first:
        ticket.first_response_at = now
    _set_status(ticket, status_after_answer(ticket.status, by_staff=by_staff, internal=body.is_internal), now)
    _publish(
        session, ticket, who.user, TicketAnswered, message=message.uuid, author=who.user,
        is_internal=body.is_internal, by_staff=by_staff, is_first_response=first, hidden=body.is_internal,
    )  # fmt: skip
    await session.flush()
    return ticket


async def assign_ticket(session: AsyncSession, who: Principal, uuid: UUID, user: UUID | None) -> Ticket:
    """Give a ticket to a member of staff; without a name to the one with least to do."""
    ticket = await access_ticket_as_staff(session, who, uuid)
    if user is None:
        user = await least_loaded_staff(session)
        if user is None:
            raise errors.NobodyToAssign
    else:
        person = await session.get(Person, user)
        if person is None or not person.is_active or person.role not in STAFF:
            raise errors.NotStaff
    if ticket.assigned_to != user:
        previous, ticket.assigned_to = ticket.assigned_to, user
        _publish(session, ticket, who.user, TicketAssigned, previous=previous)
    return ticket


async def change_status(
    session: AsyncSession, who: Principal, uuid: UUID, status: Status, now: datetime
) -> Ticket:
    """Set a status; the requester may only say that it is resolved or closed."""
    ticket = await access_ticket(session, who, uuid, lock=True)
    if not may_set_status(status, staff=is_staff(who)):
        raise Forbidden("You may resolve or close your ticket; the rest is for the staff of support.")
    if status == ticket.status:
        return ticket
    if ticket.status in DONE and status not in DONE:
        raise errors.TicketClosed
    previous = ticket.status
    _set_status(ticket, status, now)
    if status == "resolved":
        _publish(session, ticket, who.user, TicketResolved)
    elif status == "closed":
        _publish(session, ticket, who.user, TicketClosed)
    else:
        _publish(session, ticket, who.user, TicketStatusChanged, previous=previous)
    return ticket


def _set_status(ticket: Ticket, status: Status, now: datetime) -> None:
    """Set the status and what hangs on it: the pause of the clock and the times of the end."""
    if ticket.paused_since is not None and status != "waiting":
        ticket.paused_for += now - ticket.paused_since
        ticket.paused_since = None
    if status == "waiting" and ticket.paused_since is None:
        ticket.paused_since = now
    if status in DONE and ticket.resolved_at is None:
        ticket.resolved_at = now
    if status == "closed":
        ticket.closed_at = now
    ticket.status = status


async def reopen_ticket(
    session: AsyncSession, who: Principal, uuid: UUID, now: datetime, days: int
) -> Ticket:
    """Open a resolved or closed ticket again, within `days` of its end."""
    ticket = await access_ticket(session, who, uuid, lock=True)
    if ticket.status not in DONE or ticket.resolved_at is None:
        raise errors.NotReopenable
    _reopen(session, ticket, who.user, now, days)
    return ticket


def _reopen(session: AsyncSession, ticket: Ticket, actor: UUID, now: datetime, days: int) -> None:
    """Raises ReopenTooLate. The caller holds the row lock."""
    if ticket.resolved_at is not None and not may_reopen(ticket.resolved_at, now, days):
        raise errors.ReopenTooLate
    ticket.status = "open"
    ticket.resolved_at = ticket.closed_at = None
    _publish(session, ticket, actor, TicketReopened)


async def give_back(session: AsyncSession, user: UUID, trace: Trace) -> None:
    """Take their open tickets from somebody who is of the staff no longer, or locked out."""
    tickets = await session.scalars(
        select(Ticket)
        .where(Ticket.assigned_to == user, Ticket.status.not_in(DONE))
        .order_by(Ticket.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    for ticket in tickets.all():
        ticket.assigned_to = None
        _publish(session, ticket, None, TicketAssigned, trace=trace, previous=user)
    await session.flush()


async def change_priority(session: AsyncSession, who: Principal, uuid: UUID, priority: Priority) -> Ticket:
    ticket = await access_ticket_as_staff(session, who, uuid)
    if ticket.priority != priority:
        previous, ticket.priority = ticket.priority, priority
        _publish(session, ticket, who.user, TicketPriorityChanged, previous=previous)
    return ticket


async def rate_ticket(session: AsyncSession, who: Principal, uuid: UUID, body: RatingCreate) -> Ticket:
    """The requester rates a resolved ticket; again replaces the rating."""
    ticket = await access_ticket(session, who, uuid, lock=True)
    if ticket.requester != who.user:
        raise Forbidden("Only the requester rates a ticket.")
    if ticket.status not in DONE:
        raise errors.NotRateable
    ticket.rating, ticket.rating_comment = body.rating, body.comment
    _publish(session, ticket, who.user, TicketRated, rating=body.rating)
    return ticket
