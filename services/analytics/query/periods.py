"""Ranges of days and the units of time that they are made of."""

import re
from datetime import date, timedelta

UNITS = ("year", "quarter", "month", "day")
"""From coarse to fine, each made of the next: a week is made of days alone."""
EARLIEST, LATEST = date(1900, 1, 1), date(2999, 12, 31)
MOST_BACK = {"day": 4000, "week": 600, "month": 240, "quarter": 80, "year": 50}
_THIS = re.compile(r"(this|last) (week|month|quarter|year)")
_LAST = re.compile(r"last ([1-9][0-9]{0,3}) (day|week|month|quarter|year)s?")
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


class BadRange(ValueError):
    """A range that cannot be read; says why."""


def start_of(unit: str, day: date) -> date:
    """The first day of the unit that the day lies in."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "day":
        return day
    months = _MONTHS[unit]
    return date(day.year, (day.month - 1) // months * months + 1, 1)


def later(unit: str, first: date, count: int) -> date:
    """The first day of the unit `count` units after the one that begins on `first`."""
    if unit in _MONTHS:
        month = first.year * 12 + first.month - 1 + count * _MONTHS[unit]
        return date(month // 12, month % 12 + 1, 1)
    return first + timedelta(days=count * (7 if unit == "week" else 1))


def day_of(text: str) -> date:
    """A calendar day. Raises BadRange."""
    try:
        found = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        found = None
    if found is None:
        raise BadRange("must be a day such as 2026-01-31")
    if not EARLIEST <= found <= LATEST:
        raise BadRange(f"must lie between {EARLIEST} and {LATEST}")
    return found


def days_of(given: list[str], today: date) -> tuple[date, date]:
    """The first and the last day of a range. Raises BadRange."""
    if len(given) == 2:
        first, last = day_of(given[0]), day_of(given[1])
        if last < first:
            raise BadRange("ends before it begins")
        return first, last
    said = given[0].strip().lower()
    if said == "today":
        return today, today
    if said == "yesterday":
        return today - timedelta(days=1), today - timedelta(days=1)
    if match := _THIS.fullmatch(said):
        first = start_of(match[2], today)
        first = later(match[2], first, -1) if match[1] == "last" else first
        return first, later(match[2], first, 1) - timedelta(days=1)
    if match := _LAST.fullmatch(said):
        count, unit = int(match[1]), match[2]
        if count > MOST_BACK[unit]:
            raise BadRange(f"goes back {MOST_BACK[unit]} {unit}s at most")
        end = start_of(unit, today)
        return later(unit, end, -count), end - timedelta(days=1)
    if not said[:1].isdigit():
        raise BadRange(
            "must be [first day, last day], one day, today, yesterday, this week, last month, last 30 days"
        )
    return day_of(said), day_of(said)


def made_of(first: date, last: date, unit: str) -> bool:
    """Whether the range is whole units."""
    return start_of(unit, first) == first and start_of(unit, last + timedelta(days=1)) == last + timedelta(
        days=1
    )
