"""Writes of one turn of the loop, joined."""

import asyncio


class Output:
    """Writes at the end of a turn of the loop, together with all that the turn produces.

    Under load a peer then wakes up once for many answers, not once for each. Whoever closes or hands on a
    transport must call `flush` first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._writes: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._writes:
            self._call_soon(self.flush)
        self._writes.append((transport, data))

    def flush(self) -> None:
        """Write now."""
        writes, self._writes = self._writes, []
        for transport, data in writes:
            if not transport.is_closing():
                transport.write(data)
