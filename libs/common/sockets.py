"""WebSockets of the suite (api.md §9): ticket, `ready`, numbered frames, resume, heartbeat, close codes.

The truth is rows with a sequence number per room. A socket sends what comes after its position; a wake-up
(PostgreSQL NOTIFY after the commit, or a poll each two seconds) only says that there may be more. So nothing
is lost or sent twice, whichever replica holds the socket and whatever becomes of a wake-up.

Numbered frames are held back for a moment after `ready`, so that a client which resumes in its first frame
gets each once and in order. What is sent unasked goes through one task per socket: a peer that does not read
holds up nobody else.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import psycopg
from fastapi import FastAPI, WebSocket
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.websockets import WebSocketDisconnect, WebSocketState

from libs.common.db import Database, conninfo, publish_live
from libs.common.errors import LecternError, ServiceUnavailable, Unprocessable, is_transient
from libs.common.logs import get_logger
from libs.common.notifier import live_channel
from libs.common.tickets import TICKET_SECONDS as TICKET_SECONDS
from libs.common.tickets import Tickets
from libs.common.tokens import Principal

log = get_logger(__name__)

MOST_BYTES = 65_536
AUTH_SECONDS = 5.0
SEND_SECONDS = 10.0
POLL_SECONDS = 2.0
RECHECK_SECONDS = 3.0
REPLAY = 200
RESUME_SECONDS = 0.25
CLOSE_SECONDS = 30.0
MOST_LOOSE = 200
"""Unnumbered frames that wait for a slow peer; beyond them the oldest are dropped."""

NOT_JSON, NO_TICKET, NOT_ALLOWED, UNKNOWN, SILENCE, TOO_SLOW = 4400, 4401, 4403, 4404, 4408, 1013
BROKEN, RESTART = 1011, 1012


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

    def settle(self) -> None:
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
        if self.is_revoked(socket.principal):
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

    It must fit a NOTIFY (8,000 bytes); what may grow is told by `refresh_room`.
    """
    notice = {"room": room, "frame": frame} | ({"skip": skip} if skip else {})
    hub.db.notifier.publish(orjson.dumps(notice).decode())


def refresh_room(hub: Hub, room: str) -> None:
    """Let every socket of the room, on every replica, send what its stream's `hello` says now."""
    hub.db.notifier.publish(orjson.dumps({"room": room, "greet": True}).decode())


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
    except Exception as error:
        # A new connection may find the database again; a defect of ours must not look like a lost network.
        transient = is_transient(error)
        log.log(logging.WARNING if transient else logging.ERROR, "socket_failed", exc_info=error)
        await _close(websocket, SocketClosed(RESTART if transient else BROKEN, "try again"))
    finally:
        if socket is not None:
            await _leave(hub, socket)


async def _authenticate(websocket: WebSocket, tickets: Tickets) -> Principal:
    try:
        async with asyncio.timeout(AUTH_SECONDS):
            message = await websocket.receive()
    except TimeoutError:
        raise SocketClosed(SILENCE, "no ticket within 5 s") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1005)
    frame = _parse(message.get("text") or "")
    ticket = frame.get("ticket") if frame and frame.get("action") == "auth" else None
    principal = await tickets.redeem(ticket) if isinstance(ticket, str) else None
    if principal is None:
        raise SocketClosed(NO_TICKET, "the first frame must be auth with a fresh ticket")
    return principal


async def _converse(hub: Hub, socket: Socket) -> None:
    stream = socket.stream
    newest = await stream.newest()
    asked = socket.websocket.query_params.get("after", "")
    known = asked.isascii() and asked.isdigit() and len(asked) < 16
    socket.position = socket.since = min(int(asked), newest) if known else newest
    # In the room before `ready` is sent: whatever is committed or revoked from now on reaches the socket.
    first = not any(s.principal.user == socket.principal.user for s in hub.members(stream.room))
    hub.rooms[stream.room].add(socket)
    hub.end_if_revoked(socket)
    if not socket.ended.done():
        await socket.send({"type": "ready", "user": stream.user, "seq": newest})
        if first and stream.joined:
            await stream.joined()
        socket.greet = True
        socket.more.set()
    timer = asyncio.get_running_loop().call_later(0 if known else RESUME_SECONDS, socket.settle)
    work = (_send_new(socket), _receive(socket), _recheck(hub, socket))
    tasks = [asyncio.create_task(each) for each in work]
    waits: list[asyncio.Future[Any]] = [*tasks, socket.ended]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if socket.ended.done():
            raise socket.ended.result()
        for task in tasks:
            if task.done():
                task.result()
    finally:
        timer.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_new(socket: Socket) -> None:
    while True:
        await socket.more.wait()
        socket.more.clear()
        try:
            await _send_round(socket)
        except Exception as error:
            if not is_transient(error):
                raise
            # The peer keeps its place: what is missing is read when the database is back.
            log.warning("live_read_failed", error=repr(error))
            await asyncio.sleep(POLL_SECONDS / 4)
            socket.more.set()


async def _send_round(socket: Socket) -> None:
    if socket.greet:
        socket.greet = False
        for greeting in await socket.stream.hello() if socket.stream.hello else ():
            await socket.send(greeting)
    while socket.loose:
        await socket.send(socket.loose.popleft())
    while not socket.holding:
        before = socket.position
        frames = await socket.stream.after(before, REPLAY)
        for seq, frame in frames:
            if socket.position != before:
                break  # the client has asked for another position meanwhile
            await socket.send(frame)
            if socket.position == before:
                socket.position = before = seq
        if not frames:
            return


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
            continue
        try:
            await _take(socket, frame)
        except LecternError as error:
            await _refuse(socket, error.code, error.detail, frame)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("live_write_failed", error=repr(error))
            await _refuse(socket, ServiceUnavailable.code, ServiceUnavailable.detail, frame)
        socket.settle()


async def _take(socket: Socket, frame: dict[str, Any]) -> None:
    if frame.get("action") != "resume":
        await socket.stream.receive(socket, frame)
        return
    after = frame.get("after")
    if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < 2**53:
        raise Unprocessable("after: must be a sequence number.")
    socket.move(min(after, await socket.stream.newest()))


async def _refuse(socket: Socket, code: str, detail: str, frame: dict[str, Any] | None) -> None:
    answer: dict[str, Any] = {"type": "error", "code": code, "detail": detail}
    if frame and isinstance(frame.get("client_id"), str):
        answer["client_id"] = frame["client_id"]
    await socket.send(answer)


async def _recheck(hub: Hub, socket: Socket) -> None:
    while True:
        await asyncio.sleep(RECHECK_SECONDS)
        hub.end_if_revoked(socket)
        try:
            allowed = await socket.stream.allowed()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("live_check_failed", error=repr(error))
            continue
        if not allowed:
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
            # The close frame stands behind what the peer has not read yet.
            async with asyncio.timeout(CLOSE_SECONDS):
                await websocket.close(closed.code, closed.reason)
        except (RuntimeError, TimeoutError, WebSocketDisconnect):  # the peer was faster, or never reads
            return


async def _leave(hub: Hub, socket: Socket) -> None:
    room = socket.stream.room
    hub.rooms[room].discard(socket)
    if not hub.rooms[room]:
        del hub.rooms[room]
    if socket.stream.left and not any(s.principal.user == socket.principal.user for s in hub.members(room)):
        try:
            await socket.stream.left()
        except Exception as error:
            log.warning("leave_failed", room=room, error=repr(error))


def attach_hub(app: FastAPI) -> Hub:
    """Give the application a hub that closes sockets whose session ends."""
    hub = Hub(app.state.db, Tickets(app.state.settings))
    app.state.hub = hub
    app.state.background.append(hub.run)
    app.state.closers.append(hub.tickets.close)
    hub.is_revoked = app.state.revocations.is_revoked
    app.state.revocations.on_revoked(lambda _: hub.end_revoked())
    return hub
