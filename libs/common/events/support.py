"""Events of support: a ticket's life. Subject, messages and comments never leave the service.

Every fact carries the ticket's whole small state after it, so that a reader needs no history.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from libs.common.events.base import Event
from libs.common.events.privacy import Erased, PartFailed, PartPacked

Priority = Literal["low", "medium", "high", "urgent"]
TicketStatus = Literal["open", "in_progress", "waiting", "resolved", "closed"]


class TicketFact(Event):
    """What every fact of a ticket says, as it stands afterwards; `actor` is null when the system acted."""

    topic = "support.events"
    key_field = "ticket"

    ticket: UUID
    number: str
    requester: UUID
    assigned_to: UUID | None
    course: UUID | None
    category: str
    priority: Priority
    status: TicketStatus
    actor: UUID | None


class TicketOpened(TicketFact):
    """Trigger: somebody opens a ticket. Key: ticket. Consumers: analytics."""

    type = "support.ticket_opened.v1"


class TicketAssigned(TicketFact):
    """Trigger: a ticket gets another assignee (`assigned_to`), by hand or by routing. Key: ticket.
    Consumers: analytics, notify."""

    type = "support.ticket_assigned.v1"

    previous: UUID | None


class TicketAnswered(TicketFact):
    """Trigger: a message is written on a ticket; `is_internal` ones are for staff's eyes only. Key: ticket.
    Consumers: analytics, notify."""

    type = "support.ticket_answered.v1"

    message: UUID
    author: UUID
    is_internal: bool
    by_staff: bool
    is_first_response: bool


class TicketStatusChanged(TicketFact):
    """Trigger: a ticket moves to open, in progress or waiting, except by a reopening. Key: ticket.
    Consumers: analytics."""

    type = "support.ticket_status_changed.v1"

    previous: TicketStatus


class TicketPriorityChanged(TicketFact):
    """Trigger: staff change a ticket's priority. Key: ticket. Consumers: analytics."""

    type = "support.ticket_priority_changed.v1"

    previous: Priority


class TicketResolved(TicketFact):
    """Trigger: a ticket is resolved. Key: ticket. Consumers: analytics, notify."""

    type = "support.ticket_resolved.v1"


class TicketReopened(TicketFact):
    """Trigger: a resolved or closed ticket is open again. Key: ticket. Consumers: analytics."""

    type = "support.ticket_reopened.v1"


class TicketClosed(TicketFact):
    """Trigger: a ticket is closed for good. Key: ticket. Consumers: analytics."""

    type = "support.ticket_closed.v1"


class TicketRated(TicketFact):
    """Trigger: the requester rates how the ticket was handled, 1 to 5. Key: ticket.
    Consumers: analytics."""

    type = "support.ticket_rated.v1"

    rating: Annotated[int, Field(ge=1, le=5)]


class TicketRedacted(TicketFact):
    """Trigger: the requester is erased, and with them the texts of the ticket. Key: ticket.
    Consumers: analytics."""

    type = "support.ticket_redacted.v1"


class ExportPartPacked(PartPacked):
    """Trigger: what support holds of a person lies packed for their export. Key: job.
    Consumers: analytics, identity."""

    type = "support.export_part_packed.v1"
    topic = "support.privacy.events"


class ExportPartFailed(PartFailed):
    """Trigger: support could not pack its part of an export. Key: job. Consumers: analytics, identity."""

    type = "support.export_part_failed.v1"
    topic = "support.privacy.events"


class PersonErased(Erased):
    """Trigger: support has erased a person. Key: job. Consumers: analytics, identity."""

    type = "support.person_erased.v1"
    topic = "support.privacy.events"
