"""Reads of support, and how tickets look to clients."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.roles import STAFF
from libs.common.security.auth import at_least, is_staff
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.richtext import as_html
from services.support.models import CourseTitle, Message, Person, Seat, Ticket
from services.support.rules import DONE, Calendar, due_times, is_breached


def find_tickets(
    who: Principal,
    *,
    search: str | None,
    equal: dict[str, Any],
    assigned: UUID | None,
    unassigned: bool,
) -> Select[Any]:
    """Own tickets; staff find everybody's. `equal` are columns with the value they must have."""
    query = select(Ticket)
    if not is_staff(who):
        query = query.where(Ticket.requester == who.user)
    for name, value in equal.items():
        if value is not None:
            query = query.where(getattr(Ticket, name) == value)
    if unassigned:
        query = query.where(Ticket.assigned_to.is_(None))
    elif assigned is not None:
        query = query.where(Ticket.assigned_to == assigned)
    if search:
        texts = (Ticket.subject, Ticket.description, Ticket.number)
        query = query.where(or_(*(text.icontains(search, autoescape=True) for text in texts)))
    return query


async def may_see_course(session: AsyncSession, who: Principal, uuid: UUID) -> bool:
    """Whether a course is there for them: it is published, or they teach, learn or manage in it."""
    course = await session.get(CourseTitle, uuid)
    if course is None:
        return False
    if course.status == "published" or at_least(who, "manager"):
        return True
    if at_least(who, "teacher") and who.user in course.instructors:
        return True
    seated = select(Seat.uuid).where(
        Seat.course == uuid,
        Seat.student == who.user,
        Seat.status.in_(("enrolled", "in_progress", "completed")),
    )
    return await session.scalar(seated.limit(1)) is not None


def ticket_tag(ticket: Ticket, who: Principal) -> str:
    """The entity tag: for the requester it moves with what they can see."""
    return etags.etag(ticket.version if is_staff(who) else ticket.shown_version)


async def least_loaded_staff(session: AsyncSession) -> UUID | None:
    """The active member of staff with the fewest open tickets; among equals who was given one longest ago."""
    open_tickets = func.count(Ticket.uuid).filter(Ticket.status.not_in(DONE))
    return await session.scalar(
        select(Person.uuid)
        .join(Ticket, Ticket.assigned_to == Person.uuid, isouter=True)
        .where(Person.role.in_(STAFF), Person.is_active)
        .group_by(Person.uuid, Person.role)
        .order_by(open_tickets, func.max(Ticket.updated_at).nulls_first(), Person.uuid)
        .limit(1)
    )


async def messages_of(session: AsyncSession, ticket: UUID, *, internal: bool) -> Sequence[Message]:
    query = select(Message).where(Message.ticket == ticket).order_by(Message.created_at, Message.uuid)
    if not internal:
        query = query.where(Message.is_internal.is_(False))
    return (await session.scalars(query)).all()


async def people_by_id(session: AsyncSession, ids: set[UUID]) -> dict[UUID, Person]:
    rows = await session.scalars(select(Person).where(Person.uuid.in_(ids)))
    return {person.uuid: person for person in rows}


def person_answer(people: dict[UUID, Person], uuid: UUID | None) -> dict[str, Any] | None:
    """Somebody's card; without a name once they are erased or not known here yet."""
    if uuid is None:
        return None
    known = people.get(uuid)
    if known is None:
        return {"uuid": uuid, "full_name": "", "avatar": None, "role": "student"}
    return {"uuid": uuid, "full_name": known.full_name, "avatar": known.avatar, "role": known.role}


def ticket_card(
    ticket: Ticket,
    who: Principal,
    people: dict[UUID, Person],
    titles: dict[UUID, str],
    calendar: Calendar,
    now: datetime,
) -> dict[str, Any]:
    paused = ticket.paused_since is not None
    waited = ticket.paused_for + (now - ticket.paused_since if ticket.paused_since else now - now)
    first_due, resolution_due = due_times(calendar, ticket.created_at, ticket.priority, waited)
    breached = is_breached(
        now,
        first_due=first_due,
        first_response=ticket.first_response_at,
        resolution_due=resolution_due,
        resolved=ticket.resolved_at,
        paused=paused,
    )
    return {
        "uuid": ticket.uuid,
        "ticket_number": ticket.number,
        "subject": ticket.subject,
        "description": ticket.description,
        "description_html": as_html(ticket.description),
        "status": ticket.status,
        "priority": ticket.priority,
        "category": ticket.category,
        "course": ticket.course,
        "course_title": titles.get(ticket.course) if ticket.course else None,
        "requester": person_answer(people, ticket.requester),
        "assigned_to": person_answer(people, ticket.assigned_to),
        "sla": {
            "first_response_due": first_due,
            "resolution_due": resolution_due,
            "paused": paused,
            "breached": breached,
        },
        "rating": ticket.rating,
        "rating_comment": ticket.rating_comment,
        "first_response_at": ticket.first_response_at,
        "resolved_at": ticket.resolved_at,
        "closed_at": ticket.closed_at,
        "created_at": ticket.created_at,
        "updated_at": ticket.updated_at if is_staff(who) else ticket.shown_at,
    }


async def ticket_cards(
    session: AsyncSession, tickets: Sequence[Ticket], who: Principal, calendar: Calendar, now: datetime
) -> list[dict[str, Any]]:
    people = await people_by_id(session, {i for t in tickets for i in (t.requester, t.assigned_to) if i})
    titles = await titles_of(session, {t.course for t in tickets if t.course})
    return [ticket_card(ticket, who, people, titles, calendar, now) for ticket in tickets]


async def titles_of(session: AsyncSession, ids: set[UUID]) -> dict[UUID, str]:
    rows = await session.execute(select(CourseTitle.uuid, CourseTitle.title).where(CourseTitle.uuid.in_(ids)))
    return {uuid: title for uuid, title in rows}


async def ticket_answer(
    session: AsyncSession, ticket: Ticket, who: Principal, calendar: Calendar, now: datetime
) -> dict[str, Any]:
    """A ticket with its messages; requesters see no internal ones."""
    messages = await messages_of(session, ticket.uuid, internal=is_staff(who))
    card = (await ticket_cards(session, [ticket], who, calendar, now))[0]
    people = await people_by_id(session, {message.author for message in messages})
    card["messages"] = [
        {
            "uuid": message.uuid,
            "author": person_answer(people, message.author),
            "content": message.content,
            "content_html": as_html(message.content),
            "is_internal": message.is_internal,
            "created_at": message.created_at,
        }
        for message in messages
    ]
    return card
