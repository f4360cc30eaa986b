"""How many reports somebody may have, how long their files live, and what runs say went wrong."""

from datetime import timedelta

MOST_REPORTS = 100
"""Of one owner."""
MOST_RECIPIENTS = 100
MOST_MANUAL = 20
"""Runs that one owner starts by hand within an hour."""
LINK = timedelta(days=7)
"""Life of a link in a mail."""
KEPT = timedelta(days=30)
"""Of files; the lines of the history stay for `HISTORY`."""
HISTORY = timedelta(days=400)
LETTERS = timedelta(days=3)
"""How long a letter lies ready: longer than notify tries to send it."""
ROWS_SHOWN = 100
"""Rows of a table in HTML and PDF."""
POINTS = 40
"""Of a chart that is made of a query."""
ERRORS = {
    "not_allowed": "Its owner may not see these numbers any more.",
    "too_many_rows": "A sheet of XLSX has room for 1,048,575 rows: choose csv.",
    "query_too_expensive": "The query takes too long even for a report: ask for less.",
    "not_written": "The report could not be written, five times.",
}
SKIPPED = {
    "unknown": "There is no such account any more.",
    "inactive": "The account is deactivated.",
    "not_allowed": "This person may not see these numbers.",
}
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
