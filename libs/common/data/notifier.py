"""Waking others after a commit by PostgreSQL NOTIFY, outside every transaction.

NOTIFY inside a business transaction serialises commits, so it goes over an autocommit connection of its own:
the first at once, later ones at most one per 5 ms. A lost wake-up costs a poll interval, never an event.

Whoever may connect to the database may NOTIFY, analysts too: what goes to sockets carries a code made of the
suite's secret, and what has none is not listened to.
"""

import asyncio
import hashlib
import hmac
from collections import OrderedDict

import psycopg
from pydantic import SecretStr

from libs.common.runtime.logs import get_logger

log = get_logger(__name__)
PAUSE = 0.005
MOST_WAITING = 10_000


def relay_channel(service: str) -> str:
    return f"outbox_{service}"


def live_channel(service: str) -> str:
    return f"live_{service}"


def live_key(secret: SecretStr) -> bytes:
    """What notices to sockets are sealed with, made of `LECTERN_SECRET`."""
    return hmac.digest(secret.get_secret_value().encode(), b"live", hashlib.sha256)


def sealed(key: bytes, notice: str) -> str:
    """A JSON object with its code as the last member, which a release that knows none reads past."""
    return f'{notice[:-1]},"code":"{_code(key, notice)}"}}'


def is_ours(key: bytes, notice: str) -> bool:
    """Whether a notice was sealed with the key."""
    said, _, code = notice.rpartition(',"code":"')
    return hmac.compare_digest(f'{_code(key, said + "}")}"}}'.encode(), code.encode())


def _code(key: bytes, notice: str) -> str:
    return hmac.digest(key, notice.encode(), hashlib.sha256).hex()[:32]


class Notifier:
    """Sends coalesced notifications; one connection, opened on first use and again after a loss."""

    def __init__(self, conninfo: str, service: str, key: bytes = b"") -> None:
        self._key = key
        self._conninfo = conninfo
        self._service = service
        self._pending: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake_relay(self) -> None:
        self._push(relay_channel(self._service), "")

    def publish(self, payload: str) -> None:
        """Tell every replica of this service a JSON object (under 7,900 bytes); equal ones are merged."""
        self._push(live_channel(self._service), sealed(self._key, payload))

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
