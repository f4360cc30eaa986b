"""The side of the clients: HTTP/1.1 on httptools, one request of a connection answered at a time, in order.

Nothing reaches a service before its header is whole and well-formed. Timeouts are looked at by one sweep
(`check`), because a timer per request costs more than the rest of the bookkeeping.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway import headers, problems
from gateway.headers import DROP, PASS, REQUEST_KINDS, named_in, without
from gateway.problems import Problem
from gateway.proxy import Exchange

if TYPE_CHECKING:
    from gateway.app import Gateway

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
WRITE_BUFFER = 256 * 1024
HELD_BODY = 64 * 1024
MOST_PIPELINED = 64
LINGER = 2.0
_HOST_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]%")


class Refused(Exception):
    """Thrown out of a parser callback; the problem is on the connection."""


class Request:
    """What a client asked, as far as it has arrived."""

    __slots__ = (
        "authorization", "body", "body_bytes", "chunked", "complete", "connection", "consistency", "expect",
        "fault", "headers", "host", "http10", "keep_alive", "length", "method", "origin", "preflight",
        "request_id", "target", "traceparent", "upgrade", "websocket", "wire",
    )  # fmt: skip

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.http10 = False
        self.keep_alive = True
        self.headers: list[bytes] = []
        """Name, colon, value, line end; and so on."""
        self.host: bytes | None = None
        self.authorization: bytes | None = None
        self.origin: bytes | None = None
        self.request_id: bytes | None = None
        self.traceparent: bytes | None = None
        self.consistency: bytes | None = None
        self.connection: bytes | None = None
        self.upgrade: bytes | None = None
        self.expect: bytes | None = None
        self.preflight = False
        self.websocket = False
        self.length: int | None = None
        self.chunked = False
        self.body: list[bytes] = []
        self.body_bytes = 0
        self.wire = 0
        self.complete = False
        self.fault: Problem | None = None


class Downstream(asyncio.Protocol):
    """One client connection."""

    transport: asyncio.Transport

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._settings = gateway.settings
        self._loop = asyncio.get_running_loop()
        self._parser = HttpRequestParser(self)
        self._parsing = Request()
        self._head_bytes = 0
        self._head_raw = 0
        self._in_head = False
        self._queue: deque[Request] = deque()
        self._deaf = False  # nothing more is parsed: what comes is thrown away
        self._held: bytes | None = None
        """What a client sent after asking for a WebSocket, until the service has answered."""
        self._advancing = False
        self._reading = True
        self._closing_since: float | None = None
        self._write_paused_at: float | None = None
        self._head_since: float | None = None
        self._idle_since = self._touched = self._loop.time()
        self._served = False
        self.exchange: Exchange | None = None
        self.forwarded = b""

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self.transport.set_write_buffer_limits(WRITE_BUFFER)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else "unknown"
        self.forwarded = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: " % (
            address.encode(),
            self._gateway.scheme,
        )
        self._gateway.clients.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._gateway.clients.discard(self)
        self._deaf = True
        self._queue.clear()
        if self.exchange is not None:
            self.exchange.client_gone()
            self.exchange = None

    def eof_received(self) -> bool:
        # As nginx does: who closes does not wait for the answer, and the service need not work on it.
        return False

    def pause_writing(self) -> None:
        self._write_paused_at = self._loop.time()
        if self.exchange is not None:
            self.exchange.hold_answer(True)

    def resume_writing(self) -> None:
        self._write_paused_at = None
        if self.exchange is not None:
            self.exchange.hold_answer(False)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._touched = self._loop.time()
        if self._held is not None:
            self._held += data
        else:
            self._feed(data)
        exchange = self.exchange
        if exchange is not None and (exchange.request.body or exchange.request.complete):
            exchange.more_body()
        if self._queue and self.exchange is None:
            self._advance()
        self.gate()

    def _feed(self, data: bytes) -> None:
        parsing, in_head = self._parsing, self._head_since is not None
        if parsing.chunked:
            # Sizes, extensions and trailers of chunks are bytes too, and no limit of the body counts them.
            parsing.wire += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._parsing.websocket:
                self._held = rest
            elif rest and not self._deaf:
                self._feed(rest)
        except HttpParserError:
            self._refuse(self._parsing.fault or problems.MALFORMED)
        else:
            if in_head and self._head_since is not None:
                self._head_raw += len(data)  # a line without end is seen by no callback
                if self._head_raw > self._settings.header_limit + self._settings.url_limit:
                    self._refuse(problems.LONG_HEADER)
            elif parsing.wire > 65_536 + 8 * parsing.body_bytes:
                self._refuse(problems.MALFORMED)

    def _refuse(self, problem: Problem) -> None:
        """The bytes make no sense from here on: answer what came before, then this problem, and close."""
        self._deaf = True
        request = self._parsing
        if self.exchange is not None and self.exchange.request is request and not request.complete:
            self.exchange.fail(problem)
            return
        if request.complete:
            request = Request()
        request.fault = problem
        if request not in self._queue:
            self._queue.append(request)
        self._advance()

    # httptools

    def on_message_begin(self) -> None:
        self._parsing = Request()
        if len(self._queue) >= MOST_PIPELINED:
            raise self._fault(problems.MALFORMED)
        self._head_bytes = self._head_raw = 0
        self._in_head = True
        self._head_since = self._touched

    def on_url(self, url: bytes) -> None:
        request = self._parsing
        request.target = request.target + url if request.target else url
        if len(request.target) > self._settings.url_limit:
            raise self._fault(problems.LONG_URL)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer: nothing here reads one
            return
        size = len(name) + len(value) + 4
        self._head_bytes += size
        if size > self._settings.header_line_limit or self._head_bytes > self._settings.header_limit:
            raise self._fault(problems.LONG_HEADER)
        kind = REQUEST_KINDS[name]
        if kind == PASS:
            self._parsing.headers += (name, b": ", value, b"\r\n")
        elif kind != DROP:
            self._special(kind, value)

    def _special(self, kind: int, value: bytes) -> None:
        request = self._parsing
        if kind == headers.HOST:
            if request.host is not None or not _HOST_CHARACTERS.issuperset(value):
                raise self._fault(problems.BAD_HOST)
            request.host = value
        elif kind == headers.AUTHORIZATION:
            # Two of them are no token at all.
            request.authorization = value if request.authorization is None else b""
        elif kind == headers.CONNECTION:
            request.connection = value if request.connection is None else request.connection + b"," + value
        elif kind == headers.CONTENT_LENGTH:
            if request.length is not None or not value.isdigit() or len(value) > 15:
                raise self._fault(problems.MALFORMED)
            request.length = int(value)
        elif kind == headers.TRANSFER_ENCODING:
            if request.chunked or value.lower() != b"chunked":
                raise self._fault(problems.MALFORMED)
            request.chunked = True
        elif kind == headers.ORIGIN:
            request.origin = value if request.origin is None else request.origin + b"," + value
        elif kind == headers.REQUEST_ID:
            request.request_id = value
        elif kind == headers.TRACEPARENT:
            request.traceparent = value if request.traceparent is None else b""
        elif kind == headers.CONSISTENCY:
            request.consistency = value if request.consistency is None else request.consistency + b"," + value
        elif kind == headers.EXPECT:
            request.expect = value.lower()
        elif kind == headers.UPGRADE:
            request.upgrade = value.lower()
        elif kind == headers.PREFLIGHT:
            request.preflight = True
            request.headers += (b"Access-Control-Request-Method", b": ", value, b"\r\n")

    def on_headers_complete(self) -> None:
        request = self._parsing
        self._in_head = False
        self._head_since = None
        version = self._parser.get_http_version()
        request.method = self._parser.get_method()
        if version == "1.1":
            if request.host is None:
                raise self._fault(problems.BAD_HOST)
        elif version == "1.0":
            request.http10 = True
            request.keep_alive = False
        else:
            raise self._fault(problems.BAD_VERSION)
        if request.method not in METHODS:
            raise self._fault(problems.BAD_METHOD)
        if request.chunked and (request.length is not None or request.http10):
            raise self._fault(problems.MALFORMED)
        if request.connection is not None:
            self._read_connection(request, named_in(request.connection))
        self._queue.append(request)

    def _read_connection(self, request: Request, names: set[bytes]) -> None:
        if b"close" in names:
            request.keep_alive = False
        elif request.http10 and b"keep-alive" in names:
            request.keep_alive = True
        if b"upgrade" in names and request.upgrade is not None:
            if request.length or request.chunked:
                raise self._fault(problems.MALFORMED)  # the parser would not look at the body
            request.websocket = (
                request.upgrade == b"websocket" and request.method == b"GET" and not request.http10
            )
        names -= {b"close", b"keep-alive", b"upgrade"}
        if names:
            request.headers = without(request.headers, names)
            for name in ("authorization", "origin", "traceparent", "consistency"):
                if name.encode() in names or (name == "consistency" and b"consistency-token" in names):
                    setattr(request, name, None)

    def on_body(self, data: bytes) -> None:
        request = self._parsing
        request.body.append(data)
        request.body_bytes += len(data)

    def on_message_complete(self) -> None:
        self._parsing.complete = True

    def _fault(self, problem: Problem) -> Refused:
        self._parsing.fault = problem
        return Refused()

    # order

    def _advance(self) -> None:
        """Begin the next request, and the one after it if that was answered at once."""
        if self._advancing:
            return
        self._advancing = True
        while self._queue and self.exchange is None and self._closing_since is None:
            request = self._queue.popleft()
            self.exchange = Exchange(self._gateway, self, request)
            self.exchange.begin()
        self._advancing = False

    def finished(self, keep_alive: bool) -> None:
        """The answer to the present request is written."""
        assert self.exchange is not None
        request = self.exchange.request
        self.exchange = None
        self._served = True
        if self.transport.is_closing():
            return
        if not keep_alive or (self._deaf and not self._queue):
            self._close_gently(request.complete and request.fault is None)
            return
        self._idle_since = self._touched = self._loop.time()
        if self._head_since is not None:
            self._head_since = self._idle_since
        if self._held is not None:  # the WebSocket was refused: what follows is HTTP again
            held, self._held = self._held, None
            if held:
                self._feed(held)
        self._advance()
        self.gate()

    def _close_gently(self, whole: bool) -> None:
        """Close so that the answer arrives: closing on unread bytes would reset it on its way."""
        self._queue.clear()
        self._deaf = True
        self._gateway.write_out()
        if whole:
            self.transport.close()
            return
        self._closing_since = self._loop.time()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.gate()

    def gate(self) -> None:
        """Read from the client only what can be passed on."""
        exchange = self.exchange
        hold = self._closing_since is None and (
            len(self._queue) > 0
            or (self._held is not None and len(self._held) > HELD_BODY)
            or (exchange is not None and exchange.wants_pause())
        )
        if hold == self._reading and not self.transport.is_closing():
            self._reading = not hold
            if hold:
                self.transport.pause_reading()
            else:
                self._touched = self._loop.time()
                self.transport.resume_reading()

    def take_over(self) -> bytes:
        """For a tunnel: the connection speaks WebSocket from here on; returns what was sent too early."""
        self._gateway.clients.discard(self)
        self.exchange = None
        self._deaf = True
        held, self._held = self._held or b"", None
        if not self._reading:
            self.transport.resume_reading()
        return held

    # time

    def check(self, now: float) -> None:
        """Called by the sweep: end what takes too long."""
        settings, exchange = self._settings, self.exchange
        if self._closing_since is not None:
            if now - self._closing_since > LINGER:
                self.transport.abort()
        elif self._write_paused_at is not None and now - self._write_paused_at > settings.stall_timeout:
            self.transport.abort()
        elif exchange is not None:
            if not exchange.request.complete and self._reading and self._held is None:
                if now - self._touched > settings.body_timeout:
                    self._deaf = True
                    exchange.fail(problems.SLOW_BODY)
            elif now > exchange.deadline:
                exchange.overdue()
        elif self._head_since is not None:
            if now - self._head_since > settings.header_timeout:
                self._refuse(problems.SLOW_HEADER)
        elif now - self._idle_since > (settings.idle_timeout if self._served else settings.header_timeout):
            self.transport.close()

    def drain(self) -> None:
        """Close if nothing is under way."""
        if self.exchange is None and self._head_since is None and not self._queue:
            self._gateway.write_out()
            self.transport.close()
