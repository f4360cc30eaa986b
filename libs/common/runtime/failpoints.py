"""Fault injection: `LECTERN_FAILPOINTS="relay.after_ack=kill@3"` ends the process the third time it is there.

Off unless the setting names a point; production refuses the setting.
"""

import os
import signal
from collections import Counter

_armed: dict[str, tuple[str, int]] = {}
_hits: Counter[str] = Counter()


class InjectedFault(Exception):
    """Raised at a failpoint set to `raise`; deterministic, so a consumer parks the event."""


def arm(text: str) -> None:
    """Set the points of `name=action[@n]`, comma separated. Actions: kill, raise. Without @n: each time."""
    _armed.clear()
    _hits.clear()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, rest = part.partition("=")
        action, _, count = rest.partition("@")
        if action not in ("kill", "raise"):
            raise ValueError(f"failpoint {name}: action {action!r} is not one of kill, raise")
        _armed[name] = (action, int(count or 0))


def failpoint(name: str) -> None:
    """A place at which tests may kill the process or raise."""
    if not _armed or name not in _armed:
        return
    action, count = _armed[name]
    _hits[name] += 1
    if count and _hits[name] != count:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise InjectedFault(f"failpoint {name}")
