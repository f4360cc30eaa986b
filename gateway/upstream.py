"""A connection to a service, used by one request at a time; answers are parsed as they come."""

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway import headers
from gateway.headers import PASS, RESPONSE_KINDS
from gateway.interfaces import AnswerReceiver
from gateway.output import Output

WRITE_BUFFER = 256 * 1024
HELD = 64 * 1024


class UpstreamConnection(asyncio.Protocol):
    """Parses a service's answers and hands them to whoever owns the connection just then."""

    transport: asyncio.Transport

    def __init__(
        self,
        give_back: Callable[["UpstreamConnection"], None],
        forget: Callable[["UpstreamConnection"], None],
    ) -> None:
        """Calls `give_back` when it is free for the next request, `forget` when it leaves its pool."""
        self._give_back = give_back
        self._forget = forget
        self._parser = HttpResponseParser(self)
        self.exchange: AnswerReceiver | None = None
        self.used = False
        """Whether an earlier request was answered here: then the service may have closed it meanwhile."""
        self.answered = False
        """Whether any byte of an answer to the present request came."""
        self.sent = self.sent_before = 0
        """Bytes written in all, and before the present request."""
        self.idle_since = 0.0
        self.closed = False
        self._early = b""
        """What came before it was decided that there may be an answer."""
        self._lost: tuple[Exception | None] | None = None
        """That the connection has ended since, and why."""
        self._reset()

    def _reset(self) -> None:
        self.headers: list[bytes] = []
        self.length: bytes | None = None
        self.chunked = False
        self.consistency: bytes | None = None
        self.dated = False
        self.cache_control = False
        """Whether the service said who may keep its answer."""
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
        if exchange.unsure:
            self._early += data
            if len(self._early) > HELD:
                self.transport.pause_reading()
            return
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

    def hand_on(self) -> None:
        """Hand on what came before the limits had decided."""
        early, self._early = self._early, b""
        if early:
            if len(early) > HELD:
                self.transport.resume_reading()
            self.data_received(early)
        if self._lost is not None:
            self.connection_lost(self._lost[0])

    def _finish(self, exchange: AnswerReceiver) -> None:
        self.exchange = None
        if exchange.head_only:
            # The parser waits for a body that an answer to HEAD does not have.
            self._parser = HttpResponseParser(self)
        keep = self._keep and exchange.sent_whole
        self._reset()
        if keep:
            self._give_back(self)
        else:
            self.close()
        exchange.done()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._forget(self)
        if self._early:
            self._lost = (error,)
            return
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        if self._in_body and not self.chunked and self.length is None and error is None:
            exchange.answer_ends()
            exchange.flush()
            exchange.done()
        else:
            exchange.upstream_lost(self, error)

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.hold_request(True)

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.hold_request(False)

    # use

    def begin(self, exchange: AnswerReceiver) -> None:
        self.exchange = exchange
        self.answered = False
        self.sent_before = self.sent

    def send(self, output: Output, data: bytes) -> None:
        self.sent += len(data)
        output.write(self.transport, data)

    def close(self) -> None:
        self.closed = True
        self.exchange = None
        self._forget(self)
        self.transport.abort()

    def let_go(self) -> None:
        """Leave the pool: a tunnel has the socket from here on."""
        self.exchange = None
        self._forget(self)

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
        elif kind == headers.CACHE_CONTROL:
            self.cache_control = True
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
