"""A real WebSocket server in place of a service, and clients of it through the gateway."""

from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from gateway.tests.harness import COURSE, Suite, Upstream
from gateway.tests.processes import Running


async def room(socket: Any) -> None:
    async for message in socket:
        if message == "bye":
            await socket.close(4403, "not allowed")
        elif message == "big":
            await socket.send("y" * (3 << 20))
        elif message == "die":
            socket.transport.abort()
        else:
            await socket.send(message)


class Room(Upstream):
    """A WebSocket server in place of the HTTP one."""

    async def start(self, port: int = 0) -> None:
        self._rooms = await serve(room, "127.0.0.1", port, max_size=None)
        self.port = self._rooms.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._rooms.close()
        await self._rooms.wait_closed()


def join(suite: Suite | Running, **options: Any) -> Any:
    url = f"ws://127.0.0.1:{suite.port}/ws/chat/{COURSE}/?ticket=t"
    return connect(url, max_size=None, proxy=None, ping_interval=None, **options)
