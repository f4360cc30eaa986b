"""How long exports live, how many one may have, and what they say of their progress."""

from datetime import datetime, timedelta

KEPT = timedelta(days=7)
PULSE = 2.0
"""Seconds after which a writer says how far it is, and asks whether it is still wanted."""
MOST_OPEN = 5
SECONDS = 900.0
"""Of the statement of an export."""
BATCH = 5_000
MOST_SHEET_ROWS = 1_048_575
"""Rows below the header that a sheet of XLSX has room for."""
ERRORS = {
    "not_allowed": "You may not see these numbers any more.",
    "too_many_rows": "A sheet of XLSX has room for 1,048,575 rows: choose csv, ndjson or parquet.",
    "query_too_expensive": "The query takes too long even for an export: ask for less.",
    "not_written": "The file could not be written; try again later.",
}
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def percent(done: int, total: int) -> int:
    """Below 100 until the file is stored."""
    return min(99, 100 * done // total) if total else 0


def eta_seconds(started: datetime, now: datetime, share: int) -> int | None:
    """As long as it took so far, for what is left; unknown at the beginning."""
    return round((now - started).total_seconds() * (100 - share) / share) if share else None
