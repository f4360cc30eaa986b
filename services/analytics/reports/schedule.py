"""When a report is due: cron in five fields, in a time zone, once an hour at most.

Clocks that change, as Debian's cron has it: a time that a day does not have is due at the end of the gap, and
a time that it has twice is due at the first. A schedule of every hour (`0 * * * *`) is due each hour that
passes.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MOST_LETTERS = 100
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class BadCron(ValueError):
    """A schedule that cannot be; says why."""


def checked(cron: str) -> str:
    """The expression, if a report may have it. Raises BadCron."""
    fields = cron.split()
    if len(cron) > MOST_LETTERS or len(fields) != 5 or not cron.isascii():
        raise BadCron("must be five fields: minute, hour, day of the month, month, day of the week")
    try:
        found = CronSim(cron, EPOCH)
        next(found)
    except StopIteration:
        raise BadCron("is never due") from None
    except (CronSimError, ValueError, AssertionError) as error:
        reason = str(error)[:1].lower() + str(error)[1:]
        raise BadCron(f"is no cron expression{f': {reason}' if reason else ''}") from None
    if len(found.minutes) != 1:
        raise BadCron("is due more than once an hour: give one minute, such as 0 7 * * 1")
    return cron


def next_run(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """The first moment after `after` at which it is due, in UTC."""
    due = CronSim(cron, after.astimezone(zone))
    while True:
        found = next(due).astimezone(UTC)
        # An hour that comes twice is told apart by UTC alone.
        if found > after:
            return found
