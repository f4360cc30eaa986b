"""Connections to one service: kept alive, used by one request at a time, closed before the service would."""

import asyncio
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway import headers
from gateway.headers import PASS, RESPONSE_KINDS
from gateway.metrics import Metrics
from gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from gateway.proxy import Exchange

WRITE_BUFFER = 256 * 1024


class ServiceAway(Exception):
    """The service cannot be reached; try again after `retry_after` seconds."""

    def __init__(self, retry_after: int, code: str = "service_unavailable") -> None:
        self.retry_after = retry_after
        self.code = code
        super().__init__(code)


class UpstreamConnection(asyncio.Protocol):
    """Parses a service's answers and hands them to the exchange that owns the connection just then."""

    transport: asyncio.Transport

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._parser = HttpResponseParser(self)
        self.exchange: Exchange | None = None
        self.used = False
        """Whether an earlier request was answered here: then the service may have closed it meanwhile."""
        self.answered = False
        """Whether any byte of an answer to the present request came."""
        self.idle_since = 0.0
        self.closed = False
        self._reset()

    def _reset(self) -> None:
        self.headers: list[bytes] = []
        self.length: bytes | None = None
        self.chunked = False
        self.consistency: bytes | None = None
        self.dated = False
        self._keep = True
        self._in_body = False
        self._complete = False
        self._interim = False

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self.transport.set_write_buffer_limits(WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # a service that speaks unasked is not to be trusted with the next request
            self.close()
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            exchange.upgraded(self, data[upgrade.args[0] :])
            return
        except HttpParserError:
            if not self._complete:
                self.close()
                exchange.answer_broken()
                return
            self._keep = False
        exchange.flush()
        if self._complete:
            self._finish(exchange)

    def _finish(self, exchange: "Exchange") -> None:
        self.exchange = None
        if exchange.head_only:
            # The parser waits for a body that an answer to HEAD does not have.
            self._parser = HttpResponseParser(self)
        keep = self._keep and exchange.sent_whole
        self._reset()
        if keep:
            self._pool.give_back(self)
        else:
            self.close()
        exchange.done()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._pool.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        if self._in_body and not self.chunked and self.length is None and error is None:
            exchange.answer_ends()
            exchange.flush()
            exchange.done()
        else:
            exchange.upstream_lost(self)

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.hold_request(True)

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.hold_request(False)

    # use

    def begin(self, exchange: "Exchange") -> None:
        self.exchange = exchange
        self.answered = False

    def close(self) -> None:
        self.closed = True
        self.exchange = None
        self._pool.forget(self)
        self.transport.abort()

    def let_go(self) -> None:
        """Hand the socket to a tunnel: it is no connection of the pool any more."""
        self.exchange = None
        self._pool.forget(self)

    # httptools

    def on_message_begin(self) -> None:
        if self._complete:  # a second answer to one request
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body or self._complete:
            return
        kind = RESPONSE_KINDS[name]
        if kind == PASS:
            self.headers += (name, b": ", value, b"\r\n")
        elif kind == headers.CONTENT_LENGTH:
            self.length = value
        elif kind == headers.TRANSFER_ENCODING:
            self.chunked = True
        elif kind == headers.CONNECTION:
            if b"close" in value.lower():
                self._keep = False
        elif kind == headers.DATE:
            self.dated = True
            self.headers += (name, b": ", value, b"\r\n")
        elif kind == headers.CONSISTENCY:
            self.consistency = value if self.consistency is None else self.consistency + b"," + value

    def on_headers_complete(self) -> None:
        exchange = self.exchange
        if self._complete or exchange is None:
            return
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self._interim = True
            return
        self._in_body = True
        exchange.answer_begins(self, status)
        if exchange.head_only and status != 101:
            self._complete = True
            self._keep = self._keep and self._parser.get_http_version() == "1.1"

    def on_body(self, data: bytes) -> None:
        if not self._complete and self.exchange is not None:
            self.exchange.answer_body(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._reset()
        elif not self._complete and self.exchange is not None:
            self._complete = True
            self._in_body = False
            self._keep = self._keep and self._parser.should_keep_alive()
            self.exchange.answer_ends()


class Pool:
    """The connections to one service, and whether it counts as alive.

    After a few failures in a row the service counts as dead: requests are refused at once, and one a
    second is let through to see whether it is back.
    """

    def __init__(self, service: str, settings: GatewaySettings, metrics: Metrics) -> None:
        self.service = service
        self._host, self._port = settings.service_address(service)
        self._settings = settings
        self._metrics = metrics
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._connecting = 0
        self._failures = 0
        self._closed_until = 0.0

    def admit(self, now: float) -> None:
        """Raises `ServiceAway` while the service counts as dead; lets one through now and then."""
        if self._failures >= self._settings.breaker_failures:
            if now < self._closed_until:
                raise ServiceAway(max(1, round(self._closed_until - now)))
            self._closed_until = now + max(self._settings.breaker_pause, self._settings.connect_timeout)

    def take(self) -> UpstreamConnection | None:
        """An idle connection, the one used last; None when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and not connection.transport.is_closing():
                return connection
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises `ServiceAway`."""
        if len(self._all) + self._connecting >= self._settings.upstream_connections:
            raise ServiceAway(1, "service_busy")
        loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self), self._host, self._port
                )
        except (OSError, TimeoutError):
            self.failed()
            raise ServiceAway(1) from None
        finally:
            self._connecting -= 1
        self._all.add(connection)
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        if connection.transport.is_closing():
            return
        connection.used = True
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def failed(self) -> None:
        self._failures += 1
        self._metrics.failed(self.service)
        if self._failures >= self._settings.breaker_failures:
            self._closed_until = asyncio.get_running_loop().time() + self._settings.breaker_pause

    def worked(self) -> None:
        self._failures = 0

    def prune(self, now: float) -> None:
        """Close what idled for so long that the service may be about to close it."""
        for connection in [
            each for each in self._idle if now - each.idle_since > self._settings.upstream_idle
        ]:
            connection.close()
        self._metrics.upstream[self.service] = (len(self._all) - len(self._idle), len(self._idle))

    def close(self) -> None:
        for connection in list(self._all):
            connection.close()
