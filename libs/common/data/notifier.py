"""Waking others after a commit by PostgreSQL NOTIFY, outside every transaction.

NOTIFY inside a business transaction serialises commits, so it goes over an autocommit connection of its own:
the first at once, later ones at most one per 5 ms. A lost wake-up costs a poll interval, never an event.
"""

import asyncio
from collections import OrderedDict

import psycopg

from libs.common.runtime.logs import get_logger

log = get_logger(__name__)
PAUSE = 0.005
MOST_WAITING = 10_000


def relay_channel(service: str) -> str:
    return f"outbox_{service}"


def live_channel(service: str) -> str:
    return f"live_{service}"


class Notifier:
    """Sends coalesced notifications; one connection, opened on first use and again after a loss."""

    def __init__(self, conninfo: str, service: str) -> None:
        self._conninfo = conninfo
        self._service = service
        self._pending: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake_relay(self) -> None:
        self._push(relay_channel(self._service), "")

    def publish(self, payload: str) -> None:
        """Tell every replica of this service `payload` (under 8,000 bytes); equal ones are merged."""
        self._push(live_channel(self._service), payload)

    def _push(self, channel: str, payload: str) -> None:
        if len(self._pending) < MOST_WAITING:
            self._pending[(channel, payload)] = None
        self._wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="notifier")

    async def _run(self) -> None:
        connection: psycopg.AsyncConnection | None = None
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                batch = list(self._pending)
                self._pending.clear()
                try:
                    if connection is None or connection.closed:
                        connection = await psycopg.AsyncConnection.connect(
                            self._conninfo, autocommit=True, connect_timeout=5
                        )
                    await connection.execute(
                        "SELECT pg_notify(c, p) FROM unnest(%s::text[], %s::text[]) AS n(c, p)",
                        ([c for c, _ in batch], [p for _, p in batch]),
                    )
                except (psycopg.Error, OSError) as error:
                    log.warning("notify_failed", error=str(error))
                    if connection is not None:
                        await connection.close()
                    connection = None
                await asyncio.sleep(PAUSE)
        finally:
            if connection is not None:
                await connection.close()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
