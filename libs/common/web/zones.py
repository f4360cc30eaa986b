"""Time zones of the IANA database, and nothing else that a machine's own folder of zones may hold."""

from datetime import UTC, date, datetime
from importlib.resources import files
from zoneinfo import ZoneInfo

# A machine's folder has more: `localtime`, which is another zone on every machine, and `posixrules`.
NAMES = frozenset(files("tzdata").joinpath("zones").read_text().split()) - {"Factory"}


def zone(name: str | None) -> ZoneInfo | None:
    """The zone of that name, None when there is none."""
    return ZoneInfo(name) if name and name in NAMES else None


def local_date(now: datetime, name: str | None) -> date:
    """The day in the zone of that name; UTC where there is none."""
    return now.astimezone(zone(name) or UTC).date()
