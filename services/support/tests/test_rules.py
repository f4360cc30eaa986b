"""Decisions of support."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.support.rules import (
    DONE,
    STATUSES,
    Calendar,
    due_times,
    is_breached,
    may_reopen,
    may_set_status,
    status_after_answer,
)

OFFICE = Calendar("UTC", 9, 17)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment of March 2026; the 2nd is a Monday."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        (at(2, 10), 4, at(2, 14)),
        (at(2, 16), 4, at(3, 12)),
        (at(2, 7), 1, at(2, 10)),
        (at(2, 20), 1, at(3, 10)),
        (at(6, 16), 2, at(9, 10)),
        (at(7, 12), 8, at(9, 17)),
        (at(2, 9), 16, at(3, 17)),
    ],
)
def test_hours_are_counted_on_the_business_calendar(start: datetime, hours: float, due: datetime):
    assert OFFICE.add(start, hours) == due


def test_waiting_moves_what_is_due():
    first, solution = due_times(OFFICE, at(2, 10), "urgent", timedelta(hours=3))
    assert (first, solution) == (at(2, 14), at(3, 13))


def test_a_clock_that_is_paused_breaches_nothing():
    due = {
        "first_due": at(2, 10),
        "first_response": at(2, 9, 30),
        "resolution_due": at(2, 12),
        "resolved": None,
    }
    assert is_breached(at(2, 13), **due, paused=False)
    assert not is_breached(at(2, 13), **due, paused=True)
    assert is_breached(at(2, 11), **due | {"first_response": at(2, 10, 1)}, paused=True)


def test_answers_move_the_status():
    assert status_after_answer("open", by_staff=True, internal=False) == "in_progress"
    assert status_after_answer("open", by_staff=True, internal=True) == "open"
    assert status_after_answer("waiting", by_staff=False, internal=False) == "in_progress"
    assert status_after_answer("resolved", by_staff=False, internal=False) == "resolved"


def test_a_ticket_may_be_reopened_for_fourteen_days():
    assert may_reopen(at(2, 9), at(16, 9), 14)
    assert not may_reopen(at(2, 9), at(16, 10), 14)


def test_hours_are_counted_in_the_offices_zone_and_told_in_the_askers():
    cairo = Calendar("Africa/Cairo", 9, 17)
    due = cairo.add(at(2, 6), 2)  # 08:00 in Cairo
    assert due == at(2, 9)
    assert due.tzinfo is UTC
    tokyo = ZoneInfo("Asia/Tokyo")
    assert cairo.add(at(2, 6).astimezone(tokyo), 2).tzinfo is tokyo


def test_an_office_opens_at_the_full_hour():
    start = datetime(2026, 3, 2, 7, 30, 15, 250, tzinfo=UTC)
    assert OFFICE.add(start, 1) == at(2, 10)
    assert OFFICE.add(at(2, 17), 0) == at(3, 9)
    assert OFFICE.add(at(2, 17), 1) == at(3, 10)


def test_what_comes_at_the_last_moment_is_in_time():
    due = {"first_due": at(2, 10), "resolution_due": at(2, 12)}
    assert not is_breached(at(2, 13), **due, first_response=at(2, 10), resolved=at(2, 12), paused=False)
    assert is_breached(at(2, 13), **due, first_response=at(2, 10), resolved=at(2, 12, 1), paused=False)
    assert not is_breached(at(2, 10), **due, first_response=None, resolved=None, paused=False)
    assert is_breached(at(2, 10, 1), **due, first_response=None, resolved=None, paused=False)
    assert not is_breached(at(2, 10, 1), **due, first_response=None, resolved=None, paused=True)


def test_staff_set_any_status_and_requesters_only_that_it_is_done():
    assert all(may_set_status(status, staff=True) for status in STATUSES)
    assert tuple(status for status in STATUSES if may_set_status(status, staff=False)) == DONE


def test_an_answer_changes_no_other_status():
    for status in ("in_progress", "waiting", "resolved", "closed"):
        assert status_after_answer(status, by_staff=True, internal=False) == status
    for status in ("open", "in_progress", "resolved", "closed"):
        assert status_after_answer(status, by_staff=False, internal=False) == status
    assert status_after_answer("waiting", by_staff=False, internal=True) == "waiting"
