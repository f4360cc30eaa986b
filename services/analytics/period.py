"""The days that a dashboard is about: `?from=&to=&compare=previous`, in the caller's time zone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any

from fastapi import Query

from libs.common.runtime.errors import InvalidFilter, InvalidQuery
from services.analytics import rules

MOST_DAYS, DEFAULT_DAYS = 400, 30
FIRST_YEAR = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters as they came; `None` where they were left out."""

    first: date | None
    last: date | None
    compare: bool


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days `first` to `last` in `zone`, both included."""

    first: date
    last: date
    zone: tzinfo
    today: date
    compare: bool = False
    asked: bool = False
    """Whether somebody chose it; else it is the last thirty days."""

    @property
    def start(self) -> datetime:
        return _midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return _midnight(self.last + timedelta(days=1), self.zone)

    @property
    def days(self) -> list[date]:
        return rules.last_days(self.last, (self.last - self.first).days + 1)

    @property
    def is_now(self) -> bool:
        """Whether it ends today, so that what holds now holds at its end."""
        return self.last >= self.today

    @property
    def previous(self) -> "Period":
        """As many days just before it."""
        length = self.last - self.first + timedelta(days=1)
        return Period(self.first - length, self.last - length, self.zone, self.today)

    @property
    def week(self) -> "Period":
        """The last seven days of it."""
        return Period(self.last - timedelta(days=6), self.last, self.zone, self.today)

    def values(self) -> dict[str, Any]:
        """Parameters of a query."""
        return {
            "first": self.first, "last": self.last, "start": self.start, "end": self.end,
            "zone": str(self.zone),
        }  # fmt: skip


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


async def asked_period(
    from_: Annotated[str | None, Query(alias="from", description="first day, in your own time zone")] = None,
    to: Annotated[str | None, Query(description="last day, included; at most 400 days")] = None,
    compare: Annotated[str | None, Query(description="`previous`: against as many days before")] = None,
) -> Asked:
    """Raises BadRequest that names the parameter."""
    errors: list[dict[str, str]] = []
    first, last = _day("from", from_, errors), _day("to", to, errors)
    if errors:
        raise InvalidQuery(errors)
    if compare not in (None, "", "previous"):
        raise InvalidFilter("compare", ["previous"])
    return Asked(first, last, compare == "previous")


def _day(name: str, value: str | None, errors: list[dict[str, str]]) -> date | None:
    if not value:
        return None
    try:
        day = date.fromisoformat(value)
        if len(value) == len("2026-01-31") and FIRST_YEAR <= day.year < 9000:
            return day
    except ValueError:
        pass
    errors.append({"field": name, "message": "must be a date such as 2026-01-31"})
    return None


def settle(asked: Asked, now: datetime, zone: tzinfo) -> Period:
    """The period that was asked for: thirty days until today by default. Raises BadRequest for one that is
    turned round or too long."""
    today = now.astimezone(zone).date()
    last = asked.last or (max(today, asked.first) if asked.first else today)
    first = asked.first or last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        raise InvalidQuery([{"field": "from", "message": "must not be after to"}])
    if (last - first).days >= MOST_DAYS:
        raise InvalidQuery([{"field": "from", "message": f"must be within {MOST_DAYS} days of to"}])
    return Period(first, last, zone, today, asked.compare, bool(asked.first or asked.last))


def compared(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Each number with the one before and the difference; null where nobody knows what it was."""
    return {
        name: {
            "value": value,
            "previous": before.get(name),
            "change": None
            if value is None or before.get(name) is None
            else rules.rounded(value - before[name], 2),
        }
        for name, value in now.items()
    }
