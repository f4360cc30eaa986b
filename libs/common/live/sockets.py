"""WebSockets of the suite (api.md §9): ticket, `ready`, numbered frames, resume, heartbeat, close codes.

A socket sends what comes after its position, so nothing is lost or sent twice, whichever replica holds it and
whatever becomes of a wake-up (`hub.py`). Numbered frames are held back for a moment after `ready`, so that a
client which resumes in its first frame gets each once and in order.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from libs.common.live.hub import (
    BROKEN,
    NO_TICKET,
    NOT_ALLOWED,
    NOT_JSON,
    RESTART,
    SILENCE,
    TOO_MANY,
    Hub,
    Socket,
    SocketClosed,
    Stream,
)
from libs.common.live.tickets import Tickets
from libs.common.runtime import metrics
from libs.common.runtime.errors import LecternError, ServiceUnavailable, Unprocessable, is_transient
from libs.common.runtime.logs import get_logger
from libs.common.security.tokens import Principal
from libs.common.web import strict

log = get_logger(__name__)

MOST_BYTES = 65_536
AUTH_SECONDS = 5.0
RECHECK_SECONDS = 3.0
REPLAY = 200
RESUME_SECONDS = 0.25
CLOSE_SECONDS = 30.0
RETRY_SECONDS = 0.5
FRAMES_A_SECOND, BURST, MOST_REFUSED = 20, 40, 200


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
    try:
        frame = _parse(message.get("text") or "")
    except LecternError:
        frame = None
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
    metrics.SOCKETS.inc()
    hub.end_if_revoked(socket)
    if not socket.ended.done():
        await socket.send({"type": "ready", "user": stream.user, "seq": newest})
        if first and stream.joined:
            await stream.joined()
        socket.greet = True
        socket.more.set()
    timer = asyncio.get_running_loop().call_later(0 if known else RESUME_SECONDS, socket.release)
    work = (_send_new(socket), _receive(hub, socket), _recheck(hub, socket))
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
            await asyncio.sleep(RETRY_SECONDS)
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


class Budget:
    """How many frames a socket may send: a bucket of `BURST` that fills at `FRAMES_A_SECOND`.

    Raises SocketClosed once `MOST_REFUSED` in a row came too fast.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(BURST)
        self._at = clock()
        self.refused = 0

    def take(self) -> bool:
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._at) * FRAMES_A_SECOND)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            self.refused = 0
            return True
        self.refused += 1
        if self.refused > MOST_REFUSED:
            raise SocketClosed(TOO_MANY, "too many frames")
        return False


async def _receive(hub: Hub, socket: Socket) -> None:
    malformed = 0
    budget = Budget()
    while True:
        message = await socket.websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        written = message.get("text") or ""
        try:
            frame = _parse(written)
        except LecternError as error:
            await _refuse(socket, error.code, error.detail, _unchecked(written))
            continue
        if frame is None:
            malformed += 1
            if malformed > 1:
                raise SocketClosed(NOT_JSON, "frames are JSON objects")
            await _refuse(socket, "not_json", "Frames are JSON objects.", None)
            continue
        hub.end_if_revoked(socket)
        if socket.ended.done():
            return
        if not budget.take():
            if budget.refused == 1:  # of many, the first is answered
                await _refuse(socket, "too_many_frames", "Too many frames: slow down.", frame)
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
        socket.release()


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
    """The object of a frame; None for what is none. Raises LecternError for text and numbers of no use."""
    try:
        frame = strict.parse(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return frame if isinstance(frame, dict) else None


def _unchecked(text: str) -> dict[str, Any] | None:
    """What a refused frame calls itself, for the answer to it."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return None
    name = frame.get("client_id") if isinstance(frame, dict) else None
    return {"client_id": name} if isinstance(name, str) and strict.fault_of(name) is None else None


async def _close(websocket: WebSocket, closed: SocketClosed) -> None:
    metrics.SOCKETS_CLOSED.labels(closed.code).inc()
    if websocket.client_state is WebSocketState.CONNECTED:
        try:
            # The close frame stands behind what the peer has not read yet.
            async with asyncio.timeout(CLOSE_SECONDS):
                await websocket.close(closed.code, closed.reason)
        except (RuntimeError, TimeoutError, WebSocketDisconnect):  # the peer was faster, or never reads
            return


async def _leave(hub: Hub, socket: Socket) -> None:
    room = socket.stream.room
    if socket in hub.rooms[room]:
        metrics.SOCKETS.dec()
    hub.rooms[room].discard(socket)
    if not hub.rooms[room]:
        del hub.rooms[room]
    if socket.stream.left and not any(s.principal.user == socket.principal.user for s in hub.members(room)):
        try:
            await socket.stream.left()
        except Exception as error:
            log.warning("leave_failed", room=room, error=repr(error))
