"""What support holds of a person, and what becomes of it.

A ticket is its requester's: when they are erased, every text of it goes, the answers too, which speak of
them; numbers, times and states stay. What a member of staff wrote on the tickets of others stays without a
name, and the open tickets that they had wait for somebody else.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.support import (
    ExportPartFailed,
    ExportPartPacked,
    PersonErased,
    TicketAssigned,
    TicketFact,
    TicketRedacted,
)
from libs.common.privacy.content import PersonalData, rows_of
from libs.common.privacy.parts import GONE, Erasure, Privacy
from services.support.models import CourseTitle, Message, Person, PrivacyPart, Seat, Ticket
from services.support.rules import DONE


async def gather(session: AsyncSession, user: UUID) -> PersonalData:
    """Tickets with their messages (not the internal ones of staff), and what one did as staff."""
    tickets = await rows_of(
        session,
        select(
            Ticket.uuid, Ticket.number, Ticket.subject, Ticket.description, Ticket.category, Ticket.priority,
            Ticket.status, CourseTitle.title.label("course"), Ticket.rating, Ticket.rating_comment,
            Ticket.created_at, Ticket.first_response_at, Ticket.resolved_at, Ticket.closed_at,
        )
        .outerjoin(CourseTitle, CourseTitle.uuid == Ticket.course)
        .where(Ticket.requester == user)
        .order_by(Ticket.created_at),
    )  # fmt: skip
    messages = await rows_of(
        session,
        select(Message.ticket, (Message.author == user).label("is_mine"), Message.content, Message.created_at)
        .join(Ticket, Ticket.uuid == Message.ticket)
        .where(Ticket.requester == user, Message.is_internal.is_(False))
        .order_by(Message.created_at),
    )
    answers = await rows_of(
        session,
        select(Ticket.number.label("ticket"), Message.content, Message.is_internal, Message.created_at)
        .join(Ticket, Ticket.uuid == Message.ticket)
        .where(Ticket.requester != user, Message.author == user)
        .order_by(Message.created_at),
    )
    assigned = await rows_of(
        session,
        select(Ticket.number, Ticket.status).where(Ticket.assigned_to == user).order_by(Ticket.number),
    )
    return PersonalData(
        {
            "tickets": tickets,
            "messages_on_these_tickets": messages,
            "answers_to_tickets_of_others": answers,
            "tickets_assigned_to_me": assigned,
        }
    )


async def erase(erasure: Erasure) -> None:
    session, user = erasure.session, erasure.user
    tickets = await session.scalars(
        select(Ticket)
        .where((Ticket.requester == user) | ((Ticket.assigned_to == user) & Ticket.status.not_in(DONE)))
        .order_by(Ticket.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    for ticket in tickets.all():
        if ticket.requester == user:
            ticket.subject = ticket.description = GONE
            ticket.rating_comment = ""
            _publish(erasure, ticket, TicketRedacted)
        else:
            ticket.assigned_to = None
            _publish(erasure, ticket, TicketAssigned, previous=user)
    await session.flush()
    own = select(Ticket.uuid).where(Ticket.requester == user)
    await erasure.run(update(Message).where(Message.ticket.in_(own)).values(content=GONE))
    await erasure.run(delete(Seat).where(Seat.student == user))
    await erasure.run(delete(Person).where(Person.uuid == user))


def _publish(erasure: Erasure, ticket: Ticket, kind: type[TicketFact], **facts: Any) -> None:
    """The next version of a ticket that nobody but the erasure has changed."""
    erasure.rows += 1
    ticket.version += 1
    ticket.shown_version = ticket.version
    names = ("number", "requester", "assigned_to", "course", "category", "priority", "status")
    state = {name: getattr(ticket, name) for name in names}
    record(
        erasure.session,
        kind(ticket=ticket.uuid, actor=None, **state, **facts),
        ticket.version,
        trace=erasure.trace,
    )


PRIVACY = Privacy("support", PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, erase)
