"""HTTP of support (api.md §7)."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser, is_staff
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_uuid, paginate
from services.support import service
from services.support.access import access_ticket
from services.support.errors import (
    NobodyToAssign,
    NotRateable,
    NotReopenable,
    NotStaff,
    ReopenTooLate,
    TicketClosed,
)
from services.support.models import Ticket
from services.support.queries import find_tickets, ticket_answer, ticket_cards, ticket_tag
from services.support.rules import PRIORITIES, STATUSES, Calendar
from services.support.schemas import (
    AssignRequest,
    MessageCreate,
    PriorityUpdate,
    RatingCreate,
    StatusUpdate,
    TicketCreate,
    TicketRead,
    TicketSummary,
)

router = APIRouter(prefix="/api/core/support-tickets", tags=["support"])

ORDERINGS = {"created_at": Ticket.created_at, "updated_at": Ticket.updated_at, "priority": Ticket.priority}


async def calendar_of(request: Request) -> Calendar:
    settings = request.app.state.settings
    return Calendar(settings.calendar_zone, settings.calendar_opens, settings.calendar_closes)


CalendarDep = Annotated[Calendar, Depends(calendar_of)]


async def _answer(
    session: SessionDep, ticket: Ticket, who: Principal, calendar: Calendar, response: Response, now: Now
) -> dict[str, Any]:
    response.headers["ETag"] = ticket_tag(ticket, who)
    await session.flush()
    return await ticket_answer(session, ticket, who, calendar, now)


@router.get("/", response_model=Page[TicketSummary])
async def list_tickets(
    session: SessionDep,
    who: CurrentUser,
    page: PagingDep,
    calendar: CalendarDep,
    now: Now,
    search: str | None = None,
    status: str | None = None,
    priority: str | None = None,
    category: str | None = None,
    course: str | None = None,
    requester: str | None = None,
    assigned_to: str | None = None,
    ordering: str | None = None,
) -> Any:
    """Own tickets; staff see everybody's. `assigned_to` takes a UUID, `me` or `none`."""
    order = choose("ordering", ordering, [*ORDERINGS, *(f"-{n}" for n in ORDERINGS)]) or "-created_at"
    column = ORDERINGS[order.removeprefix("-")]
    if column is Ticket.updated_at and not is_staff(who):
        column = Ticket.shown_at
    unassigned = assigned_to == "none"
    assigned = who.user if assigned_to == "me" else None
    query = find_tickets(
        who,
        search=search,
        equal={
            "status": choose("status", status, STATUSES),
            "priority": choose("priority", priority, PRIORITIES),
            "category": category or None,
            "course": choose_uuid("course", course),
            "requester": choose_uuid("requester", requester),
        },
        assigned=assigned if assigned or unassigned else choose_uuid("assigned_to", assigned_to),
        unassigned=unassigned,
    ).order_by(column.desc() if order.startswith("-") else column.asc(), Ticket.uuid)
    count, rows = await paginate(session, query, page)
    return page.answer(count, await ticket_cards(session, rows, who, calendar, now))


@router.post("/", status_code=201, response_model=TicketRead)
async def open_ticket(
    body: TicketCreate,
    session: SessionDep,
    who: CurrentUser,
    calendar: CalendarDep,
    response: Response,
    now: Now,
) -> Any:
    """Ask for help."""
    ticket = await service.open_ticket(session, who, body, now)
    return await _answer(session, ticket, who, calendar, response, now)


@router.get("/{uuid}/", response_model=TicketRead)
async def get_ticket(
    uuid: UUID,
    session: SessionDep,
    who: CurrentUser,
    calendar: CalendarDep,
    request: Request,
    response: Response,
    now: Now,
) -> Any:
    """A ticket with its messages; requesters see no internal ones."""
    ticket = await access_ticket(session, who, uuid)
    same = etags.answer(request, response, ticket_tag(ticket, who))
    return same or await ticket_answer(session, ticket, who, calendar, now)


@router.post(
    "/{uuid}/messages/",
    status_code=201,
    response_model=TicketRead,
    responses=raises(TicketClosed, ReopenTooLate),
)
async def add_ticket_message(
    uuid: UUID,
    body: MessageCreate,
    session: SessionDep,
    who: CurrentUser,
    calendar: CalendarDep,
    request: Request,
    response: Response,
    now: Now,
) -> Any:
    """Write to the ticket, which opens a resolved one again; `is_internal` is for staff among themselves."""
    days = request.app.state.settings.reopen_days
    ticket = await service.add_message(session, who, uuid, body, now, days)
    return await _answer(session, ticket, who, calendar, response, now)


@router.post(
    "/{uuid}/assign/", response_model=TicketRead, responses=raises(NotStaff, NobodyToAssign, TicketClosed)
)
async def assign_ticket(
    uuid: UUID,
    session: SessionDep,
    who: CurrentUser,
    calendar: CalendarDep,
    response: Response,
    now: Now,
    body: AssignRequest | None = None,
) -> Any:
    """Give the ticket to a member of staff; without `user` to the one with least to do."""
    ticket = await service.assign_ticket(session, who, uuid, body.user if body else None)
    return await _answer(session, ticket, who, calendar, response, now)


@router.post("/{uuid}/status/", response_model=TicketRead)
async def change_ticket_status(
    uuid: UUID,
    body: StatusUpdate,
    session: SessionDep,
    who: CurrentUser,
    calendar: CalendarDep,
    response: Response,
    now: Now,
) -> Any:
    """Set the status; the requester may resolve or close. While `waiting` the SLA is paused."""
    ticket = await service.change_status(session, who, uuid, body.status, now)
    return await _answer(session, ticket, who, calendar, response, now)


@router.post("/{uuid}/priority/", response_model=TicketRead)
async def change_ticket_priority(
    uuid: UUID,
    body: PriorityUpdate,
    session: SessionDep,
    who: CurrentUser,
    calendar: CalendarDep,
    response: Response,
    now: Now,
) -> Any:
    """Set the priority, and with it the times that are due."""
    ticket = await service.change_priority(session, who, uuid, body.priority)
    return await _answer(session, ticket, who, calendar, response, now)


@router.post("/{uuid}/reopen/", response_model=TicketRead, responses=raises(NotReopenable, ReopenTooLate))
async def reopen_ticket(
    uuid: UUID,
    session: SessionDep,
    who: CurrentUser,
    calendar: CalendarDep,
    request: Request,
    response: Response,
    now: Now,
) -> Any:
    """Open a resolved or closed ticket again, within fourteen days."""
    days = request.app.state.settings.reopen_days
    ticket = await service.reopen_ticket(session, who, uuid, now, days)
    return await _answer(session, ticket, who, calendar, response, now)


@router.post("/{uuid}/rate/", response_model=TicketRead, responses=raises(NotRateable))
async def rate_ticket(
    uuid: UUID,
    body: RatingCreate,
    session: SessionDep,
    who: CurrentUser,
    calendar: CalendarDep,
    response: Response,
    now: Now,
) -> Any:
    """Rate the help, 1 to 5, once the ticket is resolved."""
    ticket = await service.rate_ticket(session, who, uuid, body)
    return await _answer(session, ticket, who, calendar, response, now)
