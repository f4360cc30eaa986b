"""What a process says of itself, every few seconds, in a row of its service's table `processes`.

So operators see every process of a service through any one of them, and a process that has gone as one that
says nothing any more. The rows are forgotten after `FORGOTTEN`.
"""

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.runtime.clock import Clock, system_clock
from libs.common.runtime.logs import RECENT, get_logger
from libs.common.runtime.release import release

log = get_logger(__name__)

EVERY = 5.0
SILENT = timedelta(seconds=30)
"""A process that has said nothing for so long is not well."""
FORGOTTEN = timedelta(minutes=15)

STARTED = system_clock()
INSTANCE = f"{socket.gethostname()}:{os.getpid()}"
SAY = text(
    "INSERT INTO processes (instance, kind, started_at, seen_at, facts) VALUES (:i, :k, :s, :n, :f)"
    " ON CONFLICT (instance, kind) DO UPDATE SET seen_at = excluded.seen_at, facts = excluded.facts"
).bindparams(bindparam("f", type_=JSONB))
FORGET = text("DELETE FROM processes WHERE seen_at < :before")
LEAVE = text("DELETE FROM processes WHERE instance = :i AND kind = :k")


async def say(session: AsyncSession, kind: str, now: datetime, facts: Mapping[str, Any]) -> None:
    """Write this process's row, and forget those that have said nothing for long."""
    values = {"i": INSTANCE, "k": kind, "s": STARTED, "n": now, "f": {**_of_every_process(), **facts}}
    await session.execute(SAY, values)
    await session.execute(FORGET, {"before": now - FORGOTTEN})


def _of_every_process() -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"release": release(), "memory_peak_bytes": peak, "errors": list(RECENT)}


class Heartbeat:
    """Says so until cancelled, and then that the process leaves. `facts` are asked for each time."""

    def __init__(
        self, db: Database, kind: str, facts: Callable[[], Mapping[str, Any]], clock: Clock = system_clock
    ) -> None:
        self._db, self._kind, self._facts, self._clock = db, kind, facts, clock

    async def run(self) -> None:
        try:
            while True:
                await self._try(self.beat())
                await asyncio.sleep(EVERY)
        finally:
            await self._try(self._leave())

    async def beat(self) -> None:
        async with self._db.session() as session:
            await say(session, self._kind, self._clock(), self._facts())

    async def _leave(self) -> None:
        async with self._db.session() as session:
            await session.execute(LEAVE, {"i": INSTANCE, "k": self._kind})

    @staticmethod
    async def _try(work: Any) -> None:
        try:
            async with asyncio.timeout(5):
                await work
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("heartbeat_failed", error=repr(error)[:300])
