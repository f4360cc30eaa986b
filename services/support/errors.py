"""What support refuses, by name."""

from libs.common.runtime.errors import Conflict, Unprocessable


class TicketClosed(Conflict):
    code = "ticket_closed"
    detail = "This ticket is closed: reopen it first."


class ReopenTooLate(Conflict):
    code = "reopen_too_late"
    detail = "It is too long since this ticket was resolved: open a new one."


class NotReopenable(Conflict):
    code = "not_reopenable"
    detail = "Only a resolved or closed ticket can be reopened."


class NotRateable(Conflict):
    code = "not_rateable"
    detail = "A ticket is rated once it is resolved or closed."


class NotStaff(Unprocessable):
    code = "not_staff"
    detail = "user: must be an active moderator, manager or admin."


class NobodyToAssign(Conflict):
    code = "nobody_to_assign"
    detail = "There is no active member of staff to assign this ticket to."
