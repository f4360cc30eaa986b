"""A new process takes over the port of the old one: its listening socket, so that no connection is lost.

The old process offers it on a Unix socket that only its user may open. The new one fetches it, learns keys
and revocations, begins to accept, and says so; then the old one stops accepting and finishes what it has.
What waits in the kernel's queue meanwhile belongs to the socket and not to a process. A successor that fails
before it is ready has changed nothing.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

BACKLOG = 2048
PATIENCE = 5.0
READY = b"R"


def listen(host: str, port: int) -> socket.socket:
    """A new listening socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


class Handover:
    """Takes the socket over and offers it; does nothing without a path."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._predecessor: socket.socket | None = None
        self._offer: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    async def take(self) -> socket.socket | None:
        """Take the listening socket of the running process; None if there is none."""
        if self._path is None:
            return None
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        try:
            found = await asyncio.to_thread(_fetch, connection, str(self._path))
        except OSError as error:
            connection.close()
            if not isinstance(error, FileNotFoundError | ConnectionRefusedError):
                log.warning("handover_failed", error=repr(error))
            return None
        self._predecessor = connection
        log.info("port_taken_over")
        return found

    def ready(self) -> None:
        """Tell the predecessor, if there is one, that it may go."""
        if self._predecessor is not None:
            with contextlib.suppress(OSError):  # it has gone by itself
                self._predecessor.send(READY)
            self._predecessor.close()
            self._predecessor = None

    def offer(self, listener: socket.socket, on_taken: Callable[[], None]) -> None:
        """Give `listener` to a successor; `on_taken` is called when that one accepts connections."""
        if self._path is None:
            return
        self._path.unlink(missing_ok=True)
        self._offer = socket.socket(socket.AF_UNIX)
        self._offer.bind(str(self._path))
        self._path.chmod(0o600)
        self._offer.listen()
        self._offer.setblocking(False)
        self._task = asyncio.create_task(self._wait(self._offer, listener, on_taken), name="handover")

    async def _wait(
        self, offer: socket.socket, listener: socket.socket, on_taken: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            successor, _ = await loop.sock_accept(offer)
            with successor:
                try:
                    socket.send_fds(successor, [b"L"], [listener.fileno()])
                    taken = await loop.sock_recv(successor, 1) == READY
                except OSError as error:
                    log.warning("handover_failed", error=repr(error))
                    continue
            if taken:
                log.info("port_handed_over")
                self._offer = None  # the path is the successor's by now
                offer.close()
                on_taken()
                return
            log.warning("handover_failed", error="the successor has gone")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._offer is not None:
            self._offer.close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)


def _fetch(connection: socket.socket, path: str) -> socket.socket:
    connection.connect(path)
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    if len(descriptors) != 1:
        raise ConnectionError("no socket was handed over")
    return socket.socket(fileno=descriptors[0])
