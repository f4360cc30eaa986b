"""Somebody with the page open: a WebSocket through the gateway, which comes back when it is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from websockets.exceptions import ConnectionClosed

from libs.common.testing.harness import eventually
from tests.e2e.test_story import Story
from tests.support import Json, Socket

RESTART, TOKEN_ENDED = 1012, 4401


@dataclass
class Listener:
    """`codes` by which its socket was closed; `caught_up` counts notifications of the time in between."""

    story: Story
    codes: list[int] = field(default_factory=list)
    caught_up: int = 0
    last: int | None = None
    discussion: str = ""

    def said(self) -> str:
        restarts = self.codes.count(RESTART)
        return (
            f"a socket was closed with 1012 {restarts} times, came back, and missed none of {self.caught_up}"
        )

    async def listen(self, over: asyncio.Event) -> None:
        body = {"forum": self.story.forum, "title": "While pods roll", "content": "Is anybody there?",
                "discussion_type": "question"}  # fmt: skip
        self.discussion = (await self.story.ada.post("/api/core/discussions/", body, 201))["uuid"]
        missed = ""
        while not over.is_set():
            try:
                async with self.story.ada.socket("/ws/notifications/", after=self.last) as socket:
                    if self.last is None:
                        self.last = socket.ready["seq"]
                    if missed:
                        await self._catch_up(socket, missed)
                        missed = ""
                    while not over.is_set():
                        await self._read(socket)
            except ConnectionClosed as closed:
                self.codes.append(closed.rcvd.code if closed.rcvd else 1006)
                missed = missed or await self._meanwhile()

    async def _read(self, socket: Socket) -> Json:
        """The next frame, empty after a second of silence; numbers come without gaps."""
        try:
            frame: Json = (
                socket.seen.pop(0)
                if socket.seen
                else orjson.loads(await asyncio.wait_for(socket.connection.recv(), 1))
            )
        except TimeoutError:
            return {}
        if frame["type"] == "notification":
            assert frame["seq"] == (self.last or 0) + 1, f"after {self.last} came {frame['seq']}"
            self.last = frame["seq"]
        return frame

    async def _meanwhile(self) -> str:
        """Somebody answers while nobody listens; the notification has been written when this returns."""
        body = {"discussion": self.discussion, "content": f"I am, for the {len(self.codes)}. time."}
        reply = str((await self.story.teacher.post("/api/core/replies/", body, 201))["uuid"])

        async def written() -> bool:
            found = await self.story.ada.get("/api/core/notifications/")
            return reply in str(found)

        await eventually(written, 60, interval=0.5)
        return reply

    async def _catch_up(self, socket: Socket, missed: str) -> None:
        async with asyncio.timeout(30):
            while missed not in str(await self._read(socket)):
                pass
        self.caught_up += 1


@asynccontextmanager
async def listening(story: Story) -> AsyncIterator[Listener]:
    """A listener as long as the block; at its end it has been closed by restarts alone, and has come back."""
    listener, over = Listener(story), asyncio.Event()
    task = asyncio.create_task(listener.listen(over))
    try:
        yield listener
        if listener.codes and not task.done():
            wanted = len(listener.codes)
            await eventually(lambda: task.done() or listener.caught_up >= wanted, 90)
    finally:
        over.set()
        await task
    assert set(listener.codes) <= {RESTART, TOKEN_ENDED}, listener.codes
    assert RESTART in listener.codes, "no socket was closed by the roll-out"
    assert listener.caught_up == len(listener.codes), listener
