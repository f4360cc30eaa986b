"""Epochs: telling what a restore has undone from what has happened.

A database that was restored to an earlier moment meets a log that goes on after it. So a restore begins an
epoch (begin_epoch.py): the relays stamp its number on every event from then on (`ce_epoch`; absent is 0), and
`void_events` has, per key, the last sequence number that counts among the events of epochs before.
"""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import text

from libs.common.bus.received import Record
from libs.common.data.db import Database

Place = tuple[str, str]
"""Topic and key."""


def epoch_of(headers: dict[str, str]) -> int:
    """Raises ValueError."""
    return int(headers.get("ce_epoch", "0"))


class Voids:
    """What restores have undone of the log, as one consumer must know it."""

    def __init__(self, rows: Iterable[tuple[str, str, int, int]]) -> None:
        self._ends: dict[Place, list[tuple[int, int]]] = defaultdict(list)
        for topic, key, epoch, last in rows:
            self._ends[topic, key].append((epoch, last))

    @classmethod
    async def load(cls, db: Database) -> "Voids":
        async with db.sessions() as session:
            rows = await session.execute(text("SELECT topic, key, epoch, last_seq FROM void_events"))
            return cls((topic, key, epoch, last) for topic, key, epoch, last in rows)

    def undid(self, record: Record) -> bool:
        """Whether a restore has undone this event. What cannot be read is left to the inbox."""
        ends = self._ends.get((record.topic, record.key or ""))
        if not ends:
            return False
        try:
            epoch, seq = epoch_of(record.headers), int(record.headers["ce_sequence"])
        except (KeyError, ValueError):
            return False
        return any(epoch < began and seq > last for began, last in ends)
