"""GET from a service for several clients at once, with the whole answer in memory."""

import asyncio

from gateway.breaker import PROBE_PATIENCE
from gateway.interfaces import ServiceConnection
from gateway.pool import Pool, ServiceAway
from gateway.repeats import connect

MOST_BYTES = 1024 * 1024


class TooLarge(Exception):
    """The answer is too long to be cached."""


class Broken(Exception):
    """The service answered something that is not HTTP."""


class _Lost(Exception):
    """The connection ended before the answer did."""


class Reply:
    """Receives a service's answer, as an exchange does for a single client."""

    head_only = False
    sent_whole = True
    unsure = False

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._upstream: ServiceConnection | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.awaited = False
        self.status = 0
        self.headers: list[bytes] = []
        """Name, colon, value, line end; and so on."""
        self.body = b""
        self.consistency = False

    def answer_begins(self, upstream: ServiceConnection, status: int) -> None:
        self._pool.answered(self)
        self._upstream = upstream
        self.status = status
        self.headers = upstream.headers
        self.consistency = upstream.consistency is not None

    def answer_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MOST_BYTES:
            self._end(TooLarge())
            if self._upstream is not None:
                self._upstream.close()
        else:
            self._chunks.append(data)

    def answer_ends(self) -> None:
        self.body = b"".join(self._chunks)

    def flush(self) -> None:
        """Nothing to do: the answer is used whole."""

    def done(self) -> None:
        self._end(None)

    def answer_broken(self) -> None:
        self._end(Broken())

    def upgraded(self, upstream: ServiceConnection, rest: bytes) -> None:
        upstream.close()
        self._end(Broken())

    def upstream_lost(self, upstream: ServiceConnection, error: Exception | None) -> None:
        self._end(_Lost())

    def hold_request(self, hold: bool) -> None:
        """Nothing to do: the request is one small write."""

    def _end(self, error: Exception | None) -> None:
        if self.whole.done():
            return
        if error is None:
            self.whole.set_result(None)
        else:
            self.whole.set_exception(error)


async def fetch(pool: Pool, head: bytes, patience: float) -> Reply:
    """Get the answer within `patience` seconds; retry once if the connection breaks.

    Raises `ServiceAway`, `Broken`, `TooLarge`."""
    try:
        async with asyncio.timeout(patience):
            return await _ask(pool, head, retry=False)
    except TimeoutError:
        raise ServiceAway(2, "service_timeout") from None


async def _ask(pool: Pool, head: bytes, *, retry: bool) -> Reply:
    reply = Reply(pool)
    connection = None
    whole = False
    probing = pool.admit(asyncio.get_running_loop().time(), reply)
    pool.await_answer(reply)
    try:
        async with asyncio.timeout(PROBE_PATIENCE if probing else None):
            connection = None if retry else pool.take()
            if connection is None:
                connection = await connect(pool, reply)
            connection.begin(reply)
            connection.sent += len(head)
            connection.transport.write(head)
            await reply.whole
        whole = True
        return reply
    except (OSError, TimeoutError, _Lost):
        if connection is None:
            raise ServiceAway(1) from None
        if connection.answered or not connection.used:
            pool.failed(reply)
        if reply.status or retry or pool.breaker.is_open or not pool.breaker.may_retry():
            raise ServiceAway(1) from None
    except asyncio.CancelledError:  # the time is over, and the service has kept silent
        pool.failed(reply)
        raise
    finally:
        if connection is not None and not whole:
            connection.close()
        pool.leave(reply)
    return await _ask(pool, head, retry=True)
