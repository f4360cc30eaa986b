"""Rooms of sockets: who is in them, what each has been sent, and how all replicas learn that there is more.

The truth is rows with a sequence number per room; a wake-up (PostgreSQL NOTIFY after the commit, or a poll
each two seconds) only says that there may be more. What is sent unasked goes through one task per socket: a
peer that does not read holds up nobody else.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import psycopg
from fastapi import FastAPI, WebSocket
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.websockets import WebSocketDisconnect

from libs.common.data.db import Database, connect_direct, publish_live
from libs.common.data.notifier import is_ours, live_channel, live_key
from libs.common.live.tickets import Tickets
from libs.common.runtime.logs import get_logger
from libs.common.security.tokens import Principal

log = get_logger(__name__)

SEND_SECONDS = 10.0
POLL_SECONDS = 2.0
MOST_LOOSE = 200
"""Unnumbered frames that wait for a slow peer; beyond them the oldest are dropped."""

NOT_JSON, NO_TICKET, NOT_ALLOWED, UNKNOWN, SILENCE, TOO_SLOW = 4400, 4401, 4403, 4404, 4408, 1013
TOO_MANY, BROKEN, RESTART = 1008, 1011, 1012


class SocketClosed(Exception):
    """Ends a socket with a close code of api.md §9."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


Frames = Sequence[tuple[int, bytes]]


@dataclass(frozen=True)
class Stream:
    """What a service tells about one socket's room, once the caller is known and may enter.

    `after(K, n)` gives up to n frames with a sequence number above K, in order; `newest()` the newest number.
    `receive` gets each frame of the client. `hello` gives frames for this socket right after `ready` and
    whenever `refresh_room` asks for them. `allowed` is asked again every few seconds. `joined` and `left`
    follow the number of a user's sockets in this process.
    """

    room: str
    user: dict[str, Any]
    newest: Callable[[], Awaitable[int]]
    after: Callable[[int, int], Awaitable[Frames]]
    receive: Callable[["Socket", dict[str, Any]], Awaitable[None]]
    allowed: Callable[[], Awaitable[bool]]
    hello: Callable[[], Awaitable[list[dict[str, Any]]]] | None = None
    joined: Callable[[], Awaitable[None]] | None = None
    left: Callable[[], Awaitable[None]] | None = None


@dataclass(eq=False)
class Socket:
    """One open connection in a room."""

    websocket: WebSocket
    principal: Principal
    stream: Stream
    position: int = 0
    since: int = 0
    """Everything after this number has been or will be sent on this connection."""
    holding: bool = True
    greet: bool = False
    loose: deque[bytes] = field(default_factory=lambda: deque(maxlen=MOST_LOOSE))
    more: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: asyncio.Future[SocketClosed] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def send(self, frame: dict[str, Any] | bytes) -> None:
        """Send one frame. Ends the socket when the peer does not read."""
        data = frame if isinstance(frame, bytes) else orjson.dumps(frame)
        async with self.lock:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self.websocket.send_text(data.decode())
            except TimeoutError:
                self.end(TOO_SLOW, "too slow to follow")
            except RuntimeError as error:  # the server has given the connection up meanwhile
                raise WebSocketDisconnect(1006) from error

    def push(self, frame: bytes) -> None:
        """Send an unnumbered frame soon, without waiting for the peer."""
        self.loose.append(frame)
        self.more.set()

    def move(self, position: int) -> None:
        """Go on after `position`."""
        self.position = position
        self.since = min(self.since, position)

    def release(self) -> None:
        """The client has spoken, or had its time to: numbered frames may go."""
        self.holding = False
        self.more.set()

    def end(self, code: int, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(SocketClosed(code, reason))


class Hub:
    """The sockets of this process by room, woken by whatever any replica commits."""

    def __init__(self, db: Database, tickets: Tickets) -> None:
        self.db = db
        self.tickets = tickets
        self.rooms: dict[str, set[Socket]] = defaultdict(set)
        self.is_revoked: Callable[[Principal], bool] = lambda _: False

    def members(self, room: str) -> list[Socket]:
        return list(self.rooms.get(room, ()))

    def end_revoked(self) -> None:
        """Close the sockets of sessions that have ended."""
        for sockets in self.rooms.values():
            for socket in sockets:
                self.end_if_revoked(socket)

    def end_if_revoked(self, socket: Socket) -> None:
        """A socket lives no longer than the token that its ticket was got with: for the next ticket the
        session must be alive, and it says what has changed."""
        if self.is_revoked(socket.principal):
            socket.end(NO_TICKET, "the session has ended")
        elif 0 < socket.principal.expires_at <= time.time():
            socket.end(NO_TICKET, "the access token has expired: come back with a new ticket")

    async def run(self) -> None:
        """Listen for wake-ups of all replicas until cancelled."""
        channel = live_channel(self.db.settings.service)
        key = live_key(self.db.settings.secret)
        while True:
            try:
                async with await connect_direct(self.db.settings) as connection:
                    await connection.execute(f"LISTEN {channel}")
                    self._wake_all()
                    while True:
                        async for notice in connection.notifies(timeout=POLL_SECONDS):
                            if is_ours(key, notice.payload):
                                self._deliver(notice.payload)
                        self._wake_all()
            except (psycopg.Error, OSError) as error:
                log.warning("live_listener_interrupted", error=repr(error))
                await asyncio.sleep(0.5)

    def _wake_all(self) -> None:
        for sockets in self.rooms.values():
            for socket in sockets:
                socket.more.set()

    def _deliver(self, payload: str) -> None:
        notice = orjson.loads(payload)
        frame = orjson.dumps(notice["frame"]) if "frame" in notice else None
        for socket in self.members(notice["room"]):
            if frame is None:
                socket.greet = socket.greet or "greet" in notice
                socket.more.set()
            elif str(socket.principal.user) != notice.get("skip"):
                socket.push(frame)


def wake_room(session: AsyncSession, room: str) -> None:
    """After this commit, sockets in `room` look for new numbered frames."""
    publish_live(session, orjson.dumps({"room": room}).decode())


def broadcast(hub: Hub, room: str, frame: dict[str, Any], *, skip: UUID | None = None) -> None:
    """Send a small unnumbered frame (typing) to the room on every replica, at most once, but not to `skip`.

    It must fit a NOTIFY (7,900 bytes); what may grow is told by `refresh_room`.
    """
    notice = {"room": room, "frame": frame} | ({"skip": skip} if skip else {})
    hub.db.notifier.publish(orjson.dumps(notice).decode())


def refresh_room(hub: Hub, room: str) -> None:
    """Let every socket of the room, on every replica, send what its stream's `hello` says now."""
    hub.db.notifier.publish(orjson.dumps({"room": room, "greet": True}).decode())


def attach_hub(app: FastAPI) -> Hub:
    """Give the application a hub that closes sockets whose session ends."""
    hub = Hub(app.state.db, Tickets(app.state.settings))
    app.state.hub = hub
    app.state.background.append(hub.run)
    app.state.closers.append(hub.tickets.close)
    hub.is_revoked = app.state.revocations.is_revoked
    app.state.revocations.on_revoked(lambda _: hub.end_revoked())
    return hub
