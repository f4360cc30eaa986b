"""When reports are due, also where clocks change; what is no schedule says why."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.reports.schedule import BadCron, checked, next_run

LONDON = ZoneInfo("Europe/London")


def due(cron: str, zone: str, after: str, count: int) -> list[str]:
    moment, found = datetime.fromisoformat(after), []
    for _ in range(count):
        moment = next_run(cron, ZoneInfo(zone), moment)
        found.append(f"{moment:%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 7 * * 1", "Europe/London", "2026-11-25T12:00Z", ["11-30 07:00", "12-07 07:00"]),
        ("0 7 * * MON", "Africa/Cairo", "2026-11-25T12:00Z", ["11-30 05:00", "12-07 05:00"]),
        ("0 9 L * *", "UTC", "2027-01-31T09:00Z", ["02-28 09:00", "03-31 09:00"]),
        # 01:30 does not exist on 28 March: it is due when the gap ends, at 02:00 (01:00 in UTC).
        ("30 1 * * *", "Europe/London", "2027-03-27T12:00Z", ["03-28 01:00", "03-29 00:30"]),
        # 01:30 comes twice on 31 October: it is due at the first.
        ("30 1 * * *", "Europe/London", "2027-10-30T12:00Z", ["10-31 00:30", "11-01 01:30"]),
        ("30 1 * * *", "Europe/London", "2027-10-31T00:45Z", ["11-01 01:30"]),
        ("30 1 * * *", "Europe/London", "2027-10-31T01:10Z", ["11-01 01:30"]),
        # Every hour is every hour that passes.
        ("0 * * * *", "Europe/London", "2027-10-30T23:30Z", ["10-31 00:00", "10-31 01:00", "10-31 02:00"]),
        ("0 * * * *", "Europe/London", "2027-03-27T23:30Z", ["03-28 00:00", "03-28 01:00"]),
        # Both are due at the end of the gap: once.
        ("0 1,2 * * *", "Europe/London", "2027-03-27T12:00Z", ["03-28 01:00", "03-29 00:00"]),
        # A whole day that a zone has skipped: due when the next one begins.
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00Z", ["12-30 10:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00Z", ["02-29 00:00"]),
    ],
)  # fmt: skip
def test_when_it_is_due(cron: str, zone: str, after: str, expected: list[str]):
    assert due(checked(cron), zone, after, len(expected)) == expected


@given(
    minute=st.integers(0, 59),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=4),
    zone=st.sampled_from(["UTC", "Europe/London", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe"]),
    after=st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),
)
def test_it_goes_on_and_never_twice_a_time(minute: int, hours: set[int], zone: str, after: datetime):
    """Each due moment is later, and within a day and an hour of the one before; a day has each hour once."""
    cron = f"{minute} {','.join(map(str, sorted(hours)))} * * *"
    moment: datetime = after
    days: dict[date, int] = {}
    for _ in range(10):
        following = next_run(cron, ZoneInfo(zone), moment)
        assert timedelta() < following - moment <= timedelta(hours=25, minutes=1)
        moment = following
        day = moment.astimezone(ZoneInfo(zone)).date()
        days[day] = days.get(day, 0) + 1
    assert max(days.values()) <= len(hours)


@given(
    st.one_of(
        st.text(max_size=30), st.from_regex(r"[0-9*/,L#\-]{1,6}( [0-9A-Z*/,L#\-]{1,6}){4}", fullmatch=True)
    )
)
def test_whatever_comes_is_a_schedule_or_refused(cron: str):
    try:
        checked(cron)
    except BadCron:
        return
    now = datetime(2026, 12, 1, tzinfo=UTC)
    assert next_run(cron, LONDON, now) > now
