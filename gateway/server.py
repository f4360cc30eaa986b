"""Client connections: HTTP/1.1 on httptools, one request of a connection at a time, in order.

Nothing reaches a service before its header is whole and well-formed. Timeouts are looked at by one sweep
(`check`), because a timer per request costs more than the rest of the bookkeeping.
"""

import asyncio
from collections import deque
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway import problems
from gateway.addresses import UNKNOWN
from gateway.admission import Admission
from gateway.connections import MOST_LINGERING, Connections
from gateway.interfaces import Context
from gateway.problems import Problem
from gateway.proxy import Exchange
from gateway.request import Pattern, Request

WRITE_BUFFER = 256 * 1024
HELD_BODY = 64 * 1024
MOST_PIPELINED = 64
LINGER = 2.0


class Downstream(asyncio.Protocol):
    """One client connection."""

    transport: asyncio.Transport

    def __init__(
        self,
        context: Context,
        admission: Admission,
        connections: Connections,
        clients: set["Downstream"],
    ) -> None:
        """It is among `clients` while it is open and speaks HTTP."""
        self._context = context
        self._admission = admission
        self._connections = connections
        self._clients = clients
        self._settings = context.settings
        self._loop = asyncio.get_running_loop()
        self._parser = HttpRequestParser(self)
        self._parsing = Request()
        self._between = True
        """Whether the parser has seen the last byte of one message and none of the next."""
        self._pattern: Pattern | None = None
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
        self._body_since = 0.0
        """When the present request's body began; time in which it was not read does not count."""
        self._held_since = 0.0
        self._idle_since = self._touched = self._loop.time()
        self._served = False
        self.exchange: Exchange | None = None
        self.address = UNKNOWN
        self._counted = True
        self.behind_proxy = False
        """Whether the peer is a proxy whose `X-Forwarded-For` counts."""
        self.forwarded = b""
        """What services are told of this client, but for the host."""

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self.transport.set_write_buffer_limits(WRITE_BUFFER)
        peer = transport.get_extra_info("peername")
        addresses = self._context.addresses
        self.address = addresses.of_peer(str(peer[0])) if peer else UNKNOWN
        self.behind_proxy = addresses.trusts(self.address)
        self.forwarded = self._context.forwarding.lines(self.address)
        self._clients.add(self)
        self._enter()

    def _enter(self) -> None:
        connections = self._connections
        problem = connections.enter(self.address, self.behind_proxy)
        self._counted = problem is None
        if problem is None:
            return
        connections.lingering += 1
        if connections.lingering > MOST_LINGERING:
            self.transport.abort()
        else:
            self._refuse(problem)

    def leave(self) -> None:
        """Stop counting the connection; once, when it or the socket that it became is over."""
        connections = self._connections
        if self._counted:
            connections.leave(self.address, self.behind_proxy)
        else:
            connections.lingering -= 1

    def connection_lost(self, error: Exception | None) -> None:
        self._clients.discard(self)
        self.leave()
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
        elif self._queue:
            self._advance()
            self.gate()

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
        between = self._between
        if between and self._pattern is not None:
            request = self._pattern.again(data)
            if request is not None and len(request.target) <= self._settings.url_limit:
                self._queue.append(request)
                return
        self._parse(data)
        if between and self._between and data.startswith(b"GET "):
            self._pattern = Pattern.of(data, self._parsing)

    def _parse(self, data: bytes) -> None:
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
                self._parse(rest)
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
        self._between = False
        if len(self._queue) >= MOST_PIPELINED:
            raise self._parsing.refused(problems.MALFORMED)
        self._head_bytes = self._head_raw = 0
        self._in_head = True
        self._head_since = self._touched

    def on_url(self, url: bytes) -> None:
        request = self._parsing
        request.target = request.target + url if request.target else url
        if len(request.target) > self._settings.url_limit:
            raise request.refused(problems.LONG_URL)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer: nothing here reads one
            return
        request, settings = self._parsing, self._settings
        size = len(name) + len(value) + 4
        self._head_bytes += size
        if size > settings.header_line_limit or self._head_bytes > settings.header_limit:
            raise request.refused(problems.LONG_HEADER)
        request.take(name, value)

    def on_headers_complete(self) -> None:
        request, parser = self._parsing, self._parser
        self._in_head = False
        self._head_since = None
        request.head_is_whole(parser.get_method(), parser.get_http_version())
        self._body_since = self._touched
        self._queue.append(request)

    def on_body(self, data: bytes) -> None:
        request = self._parsing
        if request.body:
            request.body.append(data)
        else:
            request.body = [data]
        request.body_bytes += len(data)

    def on_message_complete(self) -> None:
        self._parsing.complete = True
        self._between = True

    # order

    def _advance(self) -> None:
        """Begin the next request, and the one after it if that was answered at once."""
        if self._advancing:
            return
        self._advancing = True
        while self._queue and self.exchange is None and self._closing_since is None:
            if self._write_paused_at is not None:  # who does not read is not answered on
                break
            request = self._queue.popleft()
            exchange = self.exchange = Exchange(self._context, self, request)
            exchange.begin()
            if request.fault is not None:
                exchange.refuse(request.fault)
            else:
                self._admission.decide(exchange)
        self._advancing = False

    def finished(self, keep_alive: bool) -> None:
        """Go on to the next request: the answer to the present one is written."""
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
        self._context.output.flush()
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
            now = self._loop.time()
            if hold:
                self._held_since = now
                self.transport.pause_reading()
            else:
                self._touched = now
                self._body_since += now - self._held_since
                self.transport.resume_reading()

    def take_over(self) -> bytes:
        """Hand the connection to a tunnel; returns what the client sent too early."""
        self._clients.discard(self)
        self.exchange = None
        self._deaf = True
        held, self._held = self._held or b"", None
        if not self._reading:
            self.transport.resume_reading()
        return held

    # time

    def check(self, now: float) -> None:
        """End what takes too long; called by the sweep."""
        settings, exchange = self._settings, self.exchange
        if self._closing_since is not None:
            if now - self._closing_since > LINGER:
                self.transport.abort()
        elif self._write_paused_at is not None and now - self._write_paused_at > settings.stall_timeout:
            self.transport.abort()
        elif exchange is not None:
            if not exchange.request.complete and self._reading and self._held is None:
                allowed = settings.body_timeout + exchange.request.body_bytes / settings.body_rate
                if now - self._touched > settings.body_timeout or now - self._body_since > allowed:
                    self._deaf = True
                    exchange.fail(problems.SLOW_BODY)
            elif now > exchange.deadline:
                exchange.overdue()
        elif self._head_since is not None:
            if now - self._head_since > settings.header_timeout:
                self._refuse(problems.SLOW_HEADER)
        elif now - self._idle_since > (settings.idle_timeout if self._served else settings.header_timeout):
            self.transport.close()

    def drain(self, idle_since: float) -> None:
        """Close if nothing has been under way since then."""
        idle = self.exchange is None and self._head_since is None and not self._queue
        if idle and self._idle_since <= idle_since:
            self._context.output.flush()
            self.transport.close()
