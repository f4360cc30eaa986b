"""Decisions of support: who may set which status, and when an answer is due."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Status = Literal["open", "in_progress", "waiting", "resolved", "closed"]
Priority = Literal["low", "medium", "high", "urgent"]
STATUSES: tuple[Status, ...] = ("open", "in_progress", "waiting", "resolved", "closed")
PRIORITIES: tuple[Priority, ...] = ("low", "medium", "high", "urgent")
DONE: tuple[Status, ...] = ("resolved", "closed")

# Business hours until the first answer and until the solution.
TARGETS: dict[Priority, tuple[int, int]] = {
    "low": (16, 80),
    "medium": (8, 40),
    "high": (4, 16),
    "urgent": (1, 8),
}


@dataclass(frozen=True)
class Calendar:
    """Business hours from Monday to Friday in one zone."""

    zone: str
    opens: int
    closes: int

    def add(self, start: datetime, hours: float) -> datetime:
        """`hours` business hours after `start`, counted in local time."""
        zone = ZoneInfo(self.zone)
        moment = start.astimezone(zone)
        left = timedelta(hours=hours)
        while True:
            opens = moment.replace(hour=self.opens, minute=0, second=0, microsecond=0)
            closes = opens + timedelta(hours=self.closes - self.opens)
            if moment.weekday() < 5 and moment < closes:
                moment = max(moment, opens)
                if moment + left <= closes:
                    return (moment + left).astimezone(start.tzinfo)
                left -= closes - moment
            moment = opens + timedelta(days=1)


def due_times(
    calendar: Calendar, opened: datetime, priority: Priority, paused: timedelta
) -> tuple[datetime, datetime]:
    """When the first answer and the solution are due; waiting for the requester moves both."""
    first, solution = TARGETS[priority]
    return calendar.add(opened, first) + paused, calendar.add(opened, solution) + paused


def is_breached(
    now: datetime,
    *,
    first_due: datetime,
    first_response: datetime | None,
    resolution_due: datetime,
    resolved: datetime | None,
    paused: bool,
) -> bool:
    """Whether an answer or the solution came too late, or is late now. A paused clock does not run."""
    late_answer = (first_response or (first_due if paused else now)) > first_due
    late_solution = (resolved or (resolution_due if paused else now)) > resolution_due
    return late_answer or late_solution


def may_set_status(wanted: Status, *, staff: bool) -> bool:
    """Staff set any status; requesters may only say that their ticket is done."""
    return staff or wanted in DONE


def status_after_answer(current: Status, *, by_staff: bool, internal: bool) -> Status:
    """An answer of staff takes up an open ticket; one of the requester ends the waiting."""
    if internal:
        return current
    if by_staff and current == "open":
        return "in_progress"
    if not by_staff and current == "waiting":
        return "in_progress"
    return current


def may_reopen(resolved_at: datetime, now: datetime, days: int) -> bool:
    return now - resolved_at <= timedelta(days=days)
