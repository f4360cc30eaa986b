"""WebSockets: after the service's 101 the gateway passes bytes both ways, and only counts frames.

Counting costs a few bytes of header per frame and buys three things: a client's message above the cap is
refused here (1009); when the gateway stops, or the service dies without a word, the client gets a close
frame (1012, "reconnect") at a frame boundary instead of a torn connection. Frames of a server are not
masked, so the gateway can write that one itself. Heartbeat and messages belong to the service.
"""

import asyncio

from gateway.interfaces import Client, Context, ServiceConnection
from libs.common.security.tokens import Principal

CLOSE = 0x8
GOODBYE = 2.0
"""Seconds that a client has to answer a close frame."""


def close_frame(code: int, reason: str) -> bytes:
    payload = code.to_bytes(2, "big") + reason.encode()
    return bytes((0x80 | CLOSE, len(payload))) + payload


class FrameCounter:
    """Follows one direction of a WebSocket without keeping its payload."""

    __slots__ = ("_header", "_limit", "_message", "_payload", "closed", "oversize")

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._header = bytearray()
        self._payload = 0
        self._message = 0
        self.closed = False
        """Whether a close frame went by."""
        self.oversize = False

    @property
    def at_boundary(self) -> bool:
        return self._payload == 0 and not self._header

    def count(self, data: bytes, stop: bool = False) -> int:
        """Take in `data`; returns how much was taken: all, or with `stop` up to the first frame boundary."""
        position, end = 0, len(data)
        header = self._header
        while position < end:
            if self._payload:
                step = min(self._payload, end - position)
                self._payload -= step
                position += step
            else:
                header.append(data[position])
                position += 1
                if not self._header_whole():
                    continue
            if stop and self.at_boundary:
                break
        return position

    def _header_whole(self) -> bool:
        header = self._header
        if len(header) < 2:
            return False
        short = header[1] & 0x7F
        extended = {126: 2, 127: 8}.get(short, 0)
        if len(header) < 2 + extended + (4 if header[1] & 0x80 else 0):
            return False
        length = int.from_bytes(header[2 : 2 + extended], "big") if extended else short
        opcode = header[0] & 0x0F
        if opcode == CLOSE:
            self.closed = True
        elif opcode < CLOSE:  # control frames come between the parts of a message and do not count
            self._message = length if opcode else self._message + length
            if self._limit and self._message > self._limit:
                self.oversize = True
        self._payload = length
        header.clear()
        return True


class _End(asyncio.Protocol):
    """One side of a tunnel."""

    def __init__(self, tunnel: "Tunnel", client: bool) -> None:
        self._tunnel = tunnel
        self._client = client

    def data_received(self, data: bytes) -> None:
        if self._client:
            self._tunnel.from_client(data)
        else:
            self._tunnel.from_service(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._tunnel.lost(self._client)

    def pause_writing(self) -> None:
        self._tunnel.hold(self._client, True)

    def resume_writing(self) -> None:
        self._tunnel.hold(self._client, False)


class Tunnel:
    """A client's connection and a service's, joined."""

    def __init__(
        self,
        context: Context,
        client: Client,
        upstream: ServiceConnection,
        principal: Principal | None,
    ) -> None:
        self._context = context
        self._downstream = client
        self._client = client.transport
        self._upstream = upstream
        self._service = upstream.transport
        self.principal = principal
        """Set when the handshake carried a token; tickets are the service's to watch."""
        self._sent = FrameCounter()
        self._asked = FrameCounter(context.settings.socket_message_limit)
        self._goodbye: bytes | None = None
        self._said_goodbye = False
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def open(self, rest: bytes) -> None:
        """Begin; `rest` is what the service sent right after its 101."""
        self._context.output.flush()
        self._upstream.let_go()
        self._context.tunnels.add(self)
        self._context.metrics.sockets += 1
        held = self._downstream.take_over()
        self._client.set_protocol(_End(self, client=True))
        self._service.set_protocol(_End(self, client=False))
        if self._context.draining:
            self.close(1012, "restart")
        if rest:
            self.from_service(rest)
        if held:
            self.from_client(held)

    def from_client(self, data: bytes) -> None:
        self._asked.count(data)
        if self._asked.oversize:
            if self._goodbye is None:
                self.close(1009, "message too large")
        elif not self._service.is_closing():
            self._service.write(data)

    def from_service(self, data: bytes) -> None:
        if self._said_goodbye or self._client.is_closing():
            return
        if self._goodbye is None:
            self._sent.count(data)
            self._client.write(data)
        else:
            self._client.write(data[: self._sent.count(data, stop=True)])
            self._say_goodbye()

    def close(self, code: int, reason: str) -> None:
        """Send the client a close frame as soon as the service's present frame is whole."""
        if self._goodbye is None:
            self._goodbye = close_frame(code, reason)
            self._timer = asyncio.get_running_loop().call_later(GOODBYE, self._end)
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        if self._goodbye is not None and not self._said_goodbye and self._sent.at_boundary:
            self._said_goodbye = True
            if not self._sent.closed and not self._client.is_closing():
                self._client.write(self._goodbye)

    def lost(self, client: bool) -> None:
        if client:
            self._end()
        elif not self._over:
            # A service that ends the connection without a close frame has died: the client may come again.
            if self._sent.closed or self._said_goodbye:
                self._end()
            elif self._sent.at_boundary:
                self.close(1012, "restart")
                self._client.close()
            else:
                self._end()

    def hold(self, client: bool, hold: bool) -> None:
        """Stop reading from the other side while this one does not keep up."""
        other = self._service if client else self._client
        if not other.is_closing():
            if hold:
                other.pause_reading()
            else:
                other.resume_reading()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._context.tunnels.discard(self)
        self._context.metrics.sockets -= 1
        self._downstream.leave()
        self._client.close()
        self._service.close()
