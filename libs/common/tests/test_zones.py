"""Days and zones of people."""

from datetime import UTC, date, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from libs.common.web.schemas import TimeZone
from libs.common.web.zones import local_date


@pytest.mark.parametrize("name", ["Europe/London", "UTC", "America/Argentina/Buenos_Aires", "Asia/Kathmandu"])
def test_a_zone_of_the_iana_database_is_taken(name: str):
    assert TypeAdapter(TimeZone).validate_python(name) == name


@pytest.mark.parametrize(
    "name",
    ["localtime", "posixrules", "Factory", "posix/Europe/London", "right/UTC", "Mars/Olympus", "../UTC",
     "Europe/London/", "europe/london ", "", "/etc/localtime", "tzdata.zi"],
)  # fmt: skip
def test_what_only_the_machine_calls_a_zone_is_refused(name: str):
    with pytest.raises(ValidationError):
        TypeAdapter(TimeZone).validate_python(name)


def test_a_learners_day_is_their_own():
    late = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    assert local_date(late, "Asia/Tokyo") == date(2026, 3, 3)
    assert local_date(late, "America/New_York") == date(2026, 3, 2)
    assert local_date(late, None) == local_date(late, "No/Where") == date(2026, 3, 2)


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        ("2026-03-29T21:59:59.999999", "Europe/Berlin", "2026-03-29"),  # 23 hours long
        ("2026-03-29T22:00:00", "Europe/Berlin", "2026-03-30"),
        ("2026-03-28T22:59:59.999999", "Europe/Berlin", "2026-03-28"),
        ("2026-10-25T22:59:59.999999", "Europe/Berlin", "2026-10-25"),  # 25 hours long
        ("2026-10-25T23:00:00", "Europe/Berlin", "2026-10-26"),
        ("2026-11-01T05:59:59", "America/New_York", "2026-11-01"),  # the same hour twice
        ("2026-11-01T06:00:00", "America/New_York", "2026-11-01"),
        ("2026-11-02T04:59:59", "America/New_York", "2026-11-01"),
        ("2026-03-02T18:14:59", "Asia/Kathmandu", "2026-03-02"),
        ("2026-03-02T18:15:00", "Asia/Kathmandu", "2026-03-03"),
        ("2026-03-02T10:00:00", "Pacific/Kiritimati", "2026-03-03"),
        ("2026-03-02T10:00:00", "Pacific/Pago_Pago", "2026-03-01"),
    ],
)
def test_a_day_ends_at_the_learners_midnight(moment, zone, day):
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert local_date(now, zone) == date.fromisoformat(day)
