"""Tells whether a service can have read a request if it closed the connection without answering.

A service that closes an idle connection says so with a FIN, which may be on its way when the next request
is written. The kernel of the service acknowledges what it takes in, at the latest with its FIN, and answers
bytes for a connection that is closed with a reset. So what was not acknowledged when the FIN came, and was
reset then, was read by nobody. All else is in doubt: a service may have read the request and died, and a
reset without a FIN says nothing at all. Linux tells; where the system does not, everything is in doubt.
"""

import asyncio
import os
import socket
import struct

PATIENCE = 0.25
PAUSE = 0.005
_INFO = getattr(socket, "TCP_INFO", None)
_CLOSED = 7
_BYTES = 208
# struct tcp_info of linux/tcp.h
_ACKED, _NOT_SENT, _SENT = 120, 144, 200
_SYN = 1
"""The connection's opening counts among what was acknowledged."""


class DeliveryCheck:
    """The socket of a connection that is over, kept until it is known."""

    def __init__(self, descriptor: int, before: int) -> None:
        """`before`: bytes that were written for earlier requests, which were answered."""
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._before = before

    async def surely_unread(self) -> bool:
        """Waits for the reset, for as long as a packet and its answer may take."""
        with self._socket:
            for _ in range(int(PATIENCE / PAUSE)):
                known = self._look()
                if known is not None:
                    return known
                await asyncio.sleep(PAUSE)
        return False

    def _look(self) -> bool | None:
        assert _INFO is not None
        info = self._socket.getsockopt(socket.IPPROTO_TCP, _INFO, _BYTES)
        if len(info) < _BYTES:  # an old kernel
            return False
        [acked], [sent] = struct.unpack_from("=Q", info, _ACKED), struct.unpack_from("=Q", info, _SENT)
        [not_sent] = struct.unpack_from("=I", info, _NOT_SENT)
        if acked - _SYN > self._before:
            return False
        if info[0] == _CLOSED or (sent <= self._before and not not_sent):
            return True
        return None


def delivery_check(
    transport: asyncio.BaseTransport, before: int, error: Exception | None
) -> DeliveryCheck | None:
    """The check to make after `connection_lost(error)`; None if it cannot be known."""
    # A reset after a FIN breaks the pipe; any other error is a reset alone.
    if _INFO is None or not (error is None or isinstance(error, BrokenPipeError)):
        return None
    descriptor: int = transport.get_extra_info("socket").fileno()
    return DeliveryCheck(descriptor, before) if descriptor >= 0 else None
