"""Calls of one Lua script on Valkey without waiting: answers come to callbacks, in order.

Only what limits need: one connection, RESP2 by hiredis, no task per call. While Valkey is away nobody waits
for it: `up` is false, and a new connection is tried in the background.
"""

import asyncio
import hashlib
import random
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

import hiredis

from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

Callback = Callable[[list[int] | None], None]
"""Gets what the script returned, or None when there is no answer."""

CONNECT_TIMEOUT = 1.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
STEADY = 10.0
"""Seconds that a connection must have lived for the next pause to be the shortest again."""


class ValkeyError(Exception):
    """Valkey refused a command."""


_INCOMPLETE = object()


def command(*parts: bytes) -> bytes:
    """A command as RESP."""
    packed: bytes = hiredis.pack_command(cast(Any, parts))  # its stub takes tuples of one part only
    return packed


class _Connection(asyncio.Protocol):
    """One connection: parses answers (an error as a ValkeyError, not raised)."""

    transport: asyncio.Transport

    def __init__(self, on_answer: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._reader = hiredis.Reader(
            replyError=ValkeyError, protocolError=ValueError, notEnoughData=_INCOMPLETE
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _INCOMPLETE:
                self._on_answer(answer)
        except ValueError:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._on_lost()


class _Call:
    __slots__ = ("callback", "sent", "tail")

    def __init__(self, sent: float, tail: tuple[bytes, ...], callback: Callback) -> None:
        self.sent = sent
        self.tail = tail
        self.callback = callback


class Script:
    """Calls one script, which returns lists of integers.

    A call that is not answered within `timeout` counts as unanswered, with all behind it; the connection is
    given up then.
    """

    def __init__(
        self,
        url: str,
        source: str,
        timeout: float,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._url = urlsplit(url)
        self._tls = tls() if self._url.scheme == "rediss" else None
        self._source = source.encode()
        self._sha = hashlib.sha1(self._source, usedforsecurity=False).hexdigest().encode()
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._connection: _Connection | None = None
        self._calls: deque[_Call] = deque()
        self._greeting: asyncio.Future[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._late: _Call | None = None
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.up = False

    async def start(self) -> None:
        """Connect; returns when that has worked or failed for the first time."""
        self._task = asyncio.create_task(self._stay_connected(), name="valkey")
        await self._tried.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._give_up()

    def call(self, keys: Sequence[bytes], arguments: Sequence[bytes], callback: Callback) -> None:
        """Call the script, while `up`. The callback is always called, also if Valkey goes away meanwhile."""
        assert self._connection is not None
        tail = (b"%d" % len(keys), *keys, *arguments)
        self._calls.append(_Call(self._loop.time(), tail, callback))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._check_late)
        self._connection.transport.write(command(b"EVALSHA", self._sha, *tail))

    def _answered(self, answer: Any) -> None:
        if self._greeting is not None:
            if not self._greeting.done():
                self._greeting.set_result(answer)
            return
        if not self._calls:
            raise ValueError("an answer to nothing")
        call = self._calls.popleft()
        if isinstance(answer, list):
            call.callback(answer)
        elif "NOSCRIPT" in str(answer) and self._connection is not None:  # emptied, or another server by now
            self._calls.append(_Call(self._loop.time(), call.tail, call.callback))
            self._connection.transport.write(command(b"EVAL", self._source, *call.tail))
        else:
            log.warning("valkey_refused", error=str(answer)[:200])
            call.callback(None)
            self._lost.set()

    def _check_late(self) -> None:
        """The clock of all calls. Only the second check believes that an answer is late: after a stall of
        this process the answer may lie unread."""
        self._timer = None
        if not self._calls:
            return
        oldest = self._calls[0]
        pause = oldest.sent + self._timeout - self._loop.time()
        if pause <= 0:
            if self._late is oldest:
                log.warning("valkey_late", calls=len(self._calls))
                self._give_up()
                return
            self._late = oldest
            pause = self._timeout / 4
        self._timer = self._loop.call_later(pause, self._check_late)

    def _give_up(self) -> None:
        was_up, self.up = self.up, False
        if was_up:
            log.warning("valkey_lost")
        if self._connection is not None:
            self._connection.transport.abort()
            self._connection = None
        calls, self._calls = self._calls, deque()
        for call in calls:
            call.callback(None)
        self._lost.set()

    async def _stay_connected(self) -> None:
        pause = SHORTEST_PAUSE
        while True:
            began = self._loop.time()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await self._connect()
                self.up = True
                self._tried.set()
                log.info("valkey_connected")
                await self._lost.wait()
            except ValkeyError as error:  # a wrong password, or too few rights: somebody has to mend that
                log.warning("valkey_refused", error=str(error)[:200])
            except (OSError, TimeoutError) as error:
                log.debug("valkey_unreachable", error=repr(error))
            finally:
                self._tried.set()
                self._greeting = None
                self._give_up()
            if self._loop.time() - began > STEADY:
                pause = SHORTEST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _connect(self) -> None:
        url, self._lost = self._url, asyncio.Event()
        connection = _Connection(self._answered, self._lost.set)
        if url.scheme == "unix":
            await self._loop.create_unix_connection(lambda: connection, url.path)
        else:
            await self._loop.create_connection(
                lambda: connection, url.hostname or "127.0.0.1", url.port or 6379, ssl=self._tls
            )
        self._connection = connection
        for greeting in _greetings(url, self._source):
            self._greeting = self._loop.create_future()
            connection.transport.write(greeting)
            lost = asyncio.ensure_future(self._lost.wait())
            try:
                await asyncio.wait({self._greeting, lost}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                lost.cancel()
            if not self._greeting.done():
                raise ConnectionResetError("closed while greeting")
            if isinstance(answer := self._greeting.result(), ValkeyError):
                raise answer
        self._greeting = None


def _greetings(url: SplitResult, source: bytes) -> list[bytes]:
    """The commands that a new connection sends first."""
    said = []
    if url.password:
        user = [unquote(url.username).encode()] if url.username else []
        said.append(command(b"AUTH", *user, unquote(url.password).encode()))
    database = url.path.strip("/") if url.scheme != "unix" else ""
    if database and database != "0":
        said.append(command(b"SELECT", database.encode()))
    return [*said, command(b"SCRIPT", b"LOAD", source)]
