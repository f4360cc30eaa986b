"""WebSockets of the suite (api.md §9): ticket, `ready`, numbered frames, resume, heartbeat, close codes.

The truth is rows with a sequence number per room. A socket sends what comes after its position; a wake-up
(PostgreSQL NOTIFY after the commit, or a poll each two seconds) only says that there may be more. So nothing
is lost or sent twice, whichever replica holds the socket and whatever becomes of a wake-up.
"""

import asyncio
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import psycopg
from fastapi import FastAPI, WebSocket
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.websockets import WebSocketDisconnect, WebSocketState

from libs.common.db import Database, conninfo, publish_live
from libs.common.errors import LecternError, ServiceUnavailable
from libs.common.logs import get_logger
from libs.common.notifier import live_channel
from libs.common.settings import SuiteSettings
from libs.common.tokens import Principal

log = get_logger(__name__)

MOST_BYTES = 65_536
TICKET_SECONDS = 30
AUTH_SECONDS = 5.0
SEND_SECONDS = 10.0
POLL_SECONDS = 2.0
RECHECK_SECONDS = 3.0
REPLAY = 200

NOT_JSON, NO_TICKET, NOT_ALLOWED, UNKNOWN, SILENCE, TOO_SLOW = 4400, 4401, 4403, 4404, 4408, 1013


class SocketClosed(Exception):
    """Ends a socket with a close code of api.md §9."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class Tickets:
    """Single-use tickets in Valkey: minted over HTTP with a token, redeemed once by a socket within 30 s."""

    def __init__(self, settings: SuiteSettings) -> None:
        self._redis = Redis.from_url(settings.valkey_url, socket_timeout=2, socket_connect_timeout=2)

    @staticmethod
    def _name(ticket: str) -> str:
        return f"lectern:ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"

    async def mint(self, principal: Principal) -> str:
        """A new ticket. Raises ServiceUnavailable while Valkey is away."""
        ticket = secrets.token_urlsafe(32)
        value = orjson.dumps(
            [
                str(principal.user),
                str(principal.session),
                principal.role,
                principal.version,
                principal.expires_at,
            ]
        )
        try:
            await self._redis.set(self._name(ticket), value, ex=TICKET_SECONDS)
        except (RedisError, OSError) as error:
            raise ServiceUnavailable("Tickets cannot be made at the moment.") from error
        return ticket

    async def redeem(self, ticket: str) -> Principal | None:
        """Whose ticket it was; None for one that is unknown, used or expired."""
        try:
            value = await self._redis.getdel(self._name(ticket))
        except (RedisError, OSError) as error:
            log.warning("ticket_not_checked", error=repr(error))
            return None
        if value is None:
            return None
        user, session, role, version, expires = orjson.loads(value)
        return Principal(UUID(user), UUID(session), role, version, expires)

    async def close(self) -> None:
        await self._redis.aclose()


Frames = Sequence[tuple[int, bytes]]


@dataclass(frozen=True)
class Stream:
    """What a service tells about one socket's room, once the caller is known and may enter.

    `after(K, n)` gives up to n frames with a sequence number above K, in order; `newest()` the newest number.
    `receive` gets each frame of the client. `hello` gives frames for this socket right after `ready`.
    `allowed` is asked again every few seconds. `joined` and `left` follow the number of a user's sockets.
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

    def end(self, code: int, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(SocketClosed(code, reason))


class Hub:
    """The sockets of this process by room, woken by whatever any replica commits."""

    def __init__(self, db: Database, tickets: Tickets) -> None:
        self.db = db
        self.tickets = tickets
        self.rooms: dict[str, set[Socket]] = defaultdict(set)

    def members(self, room: str) -> list[Socket]:
        return list(self.rooms.get(room, ()))

    def end_revoked(self, is_revoked: Callable[[Principal], bool]) -> None:
        """Close the sockets of sessions that have ended."""
        for sockets in self.rooms.values():
            for socket in sockets:
                if is_revoked(socket.principal):
                    socket.end(NO_TICKET, "the session has ended")

    async def run(self) -> None:
        """Listen for wake-ups of all replicas until cancelled."""
        channel = live_channel(self.db.settings.service)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    conninfo(self.db.settings), autocommit=True, connect_timeout=5
                ) as connection:
                    await connection.execute(f"LISTEN {channel}")
                    self._wake_all()
                    while True:
                        async for notice in connection.notifies(timeout=POLL_SECONDS):
                            await self._deliver(notice.payload)
                        self._wake_all()
            except (psycopg.Error, OSError) as error:
                log.warning("live_listener_interrupted", error=repr(error))
                await asyncio.sleep(0.5)

    def _wake_all(self) -> None:
        for sockets in self.rooms.values():
            for socket in sockets:
                socket.more.set()

    async def _deliver(self, payload: str) -> None:
        notice = orjson.loads(payload)
        for socket in self.members(notice["room"]):
            if "frame" in notice:
                await socket.send(notice["frame"])
            else:
                socket.more.set()


def wake_room(session: AsyncSession, room: str) -> None:
    """After this commit, sockets in `room` look for new numbered frames."""
    publish_live(session, orjson.dumps({"room": room}).decode())


def broadcast(hub: Hub, room: str, frame: dict[str, Any]) -> None:
    """Send an unnumbered frame (typing, presence) to the room on every replica, at most once."""
    hub.db.notifier.publish(orjson.dumps({"room": room, "frame": frame}).decode())


async def serve_socket(
    websocket: WebSocket, hub: Hub, enter: Callable[[Principal], Awaitable[Stream]]
) -> None:
    """Run one socket to its end. `enter` authorises and raises SocketClosed(4403 or 4404) to refuse."""
    ticket = websocket.query_params.get("ticket")
    principal = await hub.tickets.redeem(ticket) if ticket else None
    if ticket and principal is None:
        await websocket.close(NO_TICKET)  # before accept: the handshake is answered 403
        return
    await websocket.accept()
    socket: Socket | None = None
    try:
        if principal is None:
            principal = await _authenticate(websocket, hub.tickets)
        stream = await enter(principal)
        socket = Socket(websocket, principal, stream)
        await _converse(hub, socket)
    except SocketClosed as closed:
        await _close(websocket, closed)
    except WebSocketDisconnect:
        pass
    finally:
        if socket is not None:
            await _leave(hub, socket)


async def _authenticate(websocket: WebSocket, tickets: Tickets) -> Principal:
    try:
        async with asyncio.timeout(AUTH_SECONDS):
            text = await websocket.receive_text()
    except TimeoutError:
        raise SocketClosed(SILENCE, "no ticket within 5 s") from None
    frame = _parse(text)
    ticket = frame.get("ticket") if frame and frame.get("action") == "auth" else None
    principal = await tickets.redeem(ticket) if isinstance(ticket, str) else None
    if principal is None:
        raise SocketClosed(NO_TICKET, "the first frame must be auth with a fresh ticket")
    return principal


async def _converse(hub: Hub, socket: Socket) -> None:
    stream = socket.stream
    newest = await stream.newest()
    asked = socket.websocket.query_params.get("after", "")
    socket.position = min(int(asked), newest) if asked.isdigit() and len(asked) < 16 else newest
    # In the room before `ready` is sent: whatever is committed from now on sets `more`.
    first = not any(s.principal.user == socket.principal.user for s in hub.members(stream.room))
    hub.rooms[stream.room].add(socket)
    await socket.send({"type": "ready", "user": stream.user, "seq": newest})
    for frame in await stream.hello() if stream.hello else ():
        await socket.send(frame)
    if first and stream.joined:
        await stream.joined()
    socket.more.set()
    tasks = [asyncio.create_task(work) for work in (_send_new(socket), _receive(socket), _recheck(socket))]
    waits: list[asyncio.Future[Any]] = [*tasks, socket.ended]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if socket.ended.done():
            raise socket.ended.result()
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_new(socket: Socket) -> None:
    while True:
        await socket.more.wait()
        socket.more.clear()
        while True:
            before = socket.position
            frames = await socket.stream.after(before, REPLAY)
            for seq, frame in frames:
                if socket.position != before:
                    break  # the client has asked for another position meanwhile
                await socket.send(frame)
                socket.position = before = seq
            if not frames:
                break


async def _receive(socket: Socket) -> None:
    malformed = 0
    while True:
        message = await socket.websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        frame = _parse(message.get("text") or "")
        if frame is None:
            malformed += 1
            if malformed > 1:
                raise SocketClosed(NOT_JSON, "frames are JSON objects")
            await _refuse(socket, "not_json", "Frames are JSON objects.", None)
        elif frame.get("action") == "resume":
            after = frame.get("after")
            if isinstance(after, int) and not isinstance(after, bool) and 0 <= after < 2**53:
                socket.position = min(after, await socket.stream.newest())
                socket.more.set()
            else:
                await _refuse(socket, "invalid_input", "after: must be a sequence number.", frame)
        else:
            try:
                await socket.stream.receive(socket, frame)
            except LecternError as error:
                await _refuse(socket, error.code, error.detail, frame)


async def _refuse(socket: Socket, code: str, detail: str, frame: dict[str, Any] | None) -> None:
    answer: dict[str, Any] = {"type": "error", "code": code, "detail": detail}
    if frame and isinstance(frame.get("client_id"), str):
        answer["client_id"] = frame["client_id"]
    await socket.send(answer)


async def _recheck(socket: Socket) -> None:
    while True:
        await asyncio.sleep(RECHECK_SECONDS)
        if not await socket.stream.allowed():
            raise SocketClosed(NOT_ALLOWED, "no longer allowed")


def _parse(text: str) -> dict[str, Any] | None:
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) else None


async def _close(websocket: WebSocket, closed: SocketClosed) -> None:
    if websocket.client_state is WebSocketState.CONNECTED:
        try:
            await websocket.close(closed.code, closed.reason)
        except RuntimeError:  # the peer was faster
            return


async def _leave(hub: Hub, socket: Socket) -> None:
    room = socket.stream.room
    hub.rooms[room].discard(socket)
    if not hub.rooms[room]:
        del hub.rooms[room]
    if socket.stream.left and not any(s.principal.user == socket.principal.user for s in hub.members(room)):
        await socket.stream.left()


def attach_hub(app: FastAPI) -> Hub:
    """Give the application a hub that closes sockets whose session ends."""
    hub = Hub(app.state.db, Tickets(app.state.settings))
    app.state.hub = hub
    app.state.background.append(hub.run)
    app.state.closers.append(hub.tickets.close)
    app.state.revocations.on_revoked(lambda *_: hub.end_revoked(app.state.revocations.is_revoked))
    return hub
