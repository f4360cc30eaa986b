"""Decisions about exports and erasures, without I/O."""

from datetime import datetime, timedelta

ACCESS_DIES = timedelta(seconds=6)
"""From the end of somebody's access to their erasure: by then (5 s) no token of theirs writes anything."""
FAREWELL_PATIENCE = timedelta(minutes=10)
"""How long an erasure waits for the mail server."""
EXPORT_PATIENCE = timedelta(days=7)
ARCHIVE_KEPT = timedelta(days=7)
PACKED = 90
"""Percent of an export when every part is there; the rest is the archive."""

ERRORS = {
    "not_packed": "The data of {} could not be packed; start another export, or ask support.",
    "not_built": "The archive could not be written at the data of {}; start another export, or ask support.",
    "timed_out": "The data of {} did not arrive within seven days; start another export.",
}
"""What a person reads of a stable code."""


def shown_error(error: str) -> str:
    """A job's `error`: a code, and after a colon the services that it is about; older ones name none."""
    code, _, services = error.partition(":")
    sentence = ERRORS.get(code, ERRORS["not_packed"])
    return sentence.format(services.replace(",", ", ") or "a service")


def shown_status(status: str, version: int, kind: str, acknowledged: int) -> str:
    """queued until the first service has answered, or an erasure has begun; then running."""
    if status != "open":
        return status
    begun = version > 0 if kind == "erasure" else acknowledged > 0
    return "running" if begun else "queued"


def percent(status: str, kind: str, acknowledged: int, services: int, progress: int) -> int:
    """0 to 100; 100 only when it is done."""
    if status == "done":
        return 100
    if kind == "erasure":
        return min(99, 100 * acknowledged // services)
    others = services - 1  # identity adds its own part to the archive
    return min(99, PACKED * acknowledged // others + (100 - PACKED) * progress // 100)


def eta_seconds(created_at: datetime, now: datetime, percent: int) -> int | None:
    """By the pace so far; unknown before anything is done, and after the end."""
    if not 0 < percent < 100:
        return None
    return int((now - created_at).total_seconds() * (100 - percent) / percent)


def archive_name(name: str, taken: set[str]) -> str:
    """A file's name in the archive: one path segment, not used before."""
    clean = "".join(char if char.isalnum() or char in " ._-()" else "_" for char in name)
    clean = clean.strip(". ")[-150:] or "file"
    stem, dot, extension = clean.rpartition(".")
    candidate, number = clean, 1
    while candidate.lower() in taken:
        number += 1
        candidate = f"{stem} ({number}){dot}{extension}" if stem else f"{clean} ({number})"
    taken.add(candidate.lower())
    return candidate
