"""Sockets on real servers: tickets, resume, replicas, close codes."""

import asyncio
import json
import socket as sockets_of_the_system
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, WebSocket
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from deploy.local.project import free_ports
from deploy.local.testing import SuiteServers
from libs.common.data.notifier import live_channel, sealed
from libs.common.events.topics import TOPICS, create_topics
from libs.common.live import hub as hubs
from libs.common.live import sockets
from libs.common.live.hub import Hub, Socket, SocketClosed, Stream, attach_hub, broadcast
from libs.common.live.sockets import serve_socket
from libs.common.runtime.errors import Unprocessable
from libs.common.security.revocation import Revocation
from libs.common.security.tokens import KeySet, Principal
from libs.common.service.app import create_app
from libs.common.service.serve import uvicorn_config
from libs.common.testing.harness import TEST_KEY, CollectedQueue, Harness, eventually
from libs.common.tests import toy

router = APIRouter()


@dataclass
class Door:
    """Who may be in which room: what a service would read from its rows."""

    unknown: set[str] = field(default_factory=set)
    barred: set[UUID] = field(default_factory=set)
    size: int = 0


DOOR = Door()


@router.websocket("/ws/room/{room}/")
async def room_socket(websocket: WebSocket, room: str) -> None:
    hub: Hub = websocket.app.state.hub

    async def enter(who: Principal) -> Stream:
        if room in DOOR.unknown:
            raise SocketClosed(hubs.UNKNOWN, "no such room")
        if who.user in DOOR.barred:
            raise SocketClosed(hubs.NOT_ALLOWED, "not for you")
        return stream(hub, room, who)

    await serve_socket(websocket, hub, enter)


def stream(hub: Hub, room: str, who: Principal) -> Stream:
    async def newest() -> int:
        async with hub.db.sessions() as session:
            query = text("SELECT coalesce(max(seq), 0) FROM room_frames WHERE room = :room")
            return int(await session.scalar(query, {"room": room}) or 0)

    async def after(seq: int, most: int) -> list[tuple[int, bytes]]:
        async with hub.db.sessions() as session:
            query = text(
                "SELECT seq, body FROM room_frames WHERE room = :r AND seq > :s ORDER BY seq LIMIT :n"
            )
            rows = (await session.execute(query, {"r": room, "s": seq, "n": most})).all()
        padding = "x" * DOOR.size
        return [
            (n, json.dumps({"type": "message", "seq": n, "body": body, "padding": padding}).encode())
            for n, body in rows
        ]

    async def receive(socket: Socket, frame: dict[str, Any]) -> None:
        if frame.get("action") == "typing":
            broadcast(hub, room, {"type": "typing", "user": {"uuid": str(who.user)}}, skip=who.user)
        elif frame.get("action") == "message":
            await post(hub, room, str(frame["content"]))
        elif frame.get("action") == "break":
            raise ZeroDivisionError
        else:
            raise Unprocessable.field("action", "is unknown")

    async def hello() -> list[dict[str, Any]]:
        return [{"type": "presence", "count": len(hub.members(room))}]

    async def changed() -> None:
        hubs.refresh_room(hub, room)

    async def allowed() -> bool:
        return who.user not in DOOR.barred

    user = {"uuid": str(who.user), "full_name": "N"}
    return Stream(room, user, newest, after, receive, allowed, hello, changed, changed)


async def post(hub: Hub, room: str, body: str) -> None:
    async with hub.db.session() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:r))"), {"r": room})
        await session.execute(
            text(
                "INSERT INTO room_frames (room, seq, body)"
                " SELECT :r, coalesce(max(seq), 0) + 1, :b FROM room_frames WHERE room = :r"
            ),
            {"r": room, "b": body},
        )
        hubs.wake_room(session, room)


class Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@dataclass
class Running:
    app: FastAPI
    port: int
    room: str = ""

    @property
    def hub(self) -> Hub:
        hub: Hub = self.app.state.hub
        return hub

    async def ticket(self, user: UUID | None = None, session: UUID | None = None) -> str:
        return await self.hub.tickets.mint(Principal(user or uuid4(), session or uuid4(), "student", 1, 0))

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}/ws/room/{self.room}/{query}"

    @asynccontextmanager
    async def open(self, user: UUID | None = None, query: str = "", **options: Any) -> AsyncIterator["Peer"]:
        ticket = await self.ticket(user)
        async with connect(self.url(f"?ticket={ticket}{query}"), max_size=None, **options) as connection:
            yield Peer(connection)


@dataclass
class Peer:
    connection: ClientConnection

    async def frame(self, *kinds: str) -> dict[str, Any]:
        """The next frame of these types; others are passed over."""
        async with asyncio.timeout(10):
            while True:
                frame: dict[str, Any] = json.loads(await self.connection.recv())
                if not kinds or frame["type"] in kinds:
                    return frame

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def messages(self, count: int) -> list[int]:
        return [(await self.frame("message"))["seq"] for _ in range(count)]

    async def closed(self) -> int:
        async with asyncio.timeout(15):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006


@asynccontextmanager
async def running(settings: toy.Settings) -> AsyncIterator[Running]:
    app = create_app(settings, [router], keys=KeySet.static([TEST_KEY]), queue=CollectedQueue())
    attach_hub(app)
    port = free_ports(1)[0]
    server = Server(uvicorn_config(app, "127.0.0.1", port))
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    yield Running(app, port)
    server.should_exit = True
    await task


@pytest.fixture(scope="module")
async def _replicas(_toy: Harness, servers: SuiteServers) -> AsyncIterator[tuple[Running, Running]]:
    async with _toy.db.engine.begin() as connection:
        await connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS room_frames"
                " (room text, seq bigint, body text, PRIMARY KEY (room, seq))"
            )
        )
    prefix = f"{uuid4().hex[:8]}."
    identity = [each for each in TOPICS if each.name == "identity.events"]
    await create_topics(servers.kafka, prefix, partitions=1, topics=identity)
    settings = _toy.settings.model_copy(update={"topic_prefix": prefix})
    async with running(settings) as one, running(settings) as two:
        yield one, two


@pytest.fixture
def replicas(_replicas) -> tuple[Running, Running]:
    room = uuid4().hex
    DOOR.unknown.clear()
    DOOR.barred.clear()
    DOOR.size = 0
    for each in _replicas:
        each.room = room
    return _replicas


@pytest.fixture
def server(replicas) -> Running:
    return replicas[0]


async def test_a_ticket_in_the_query_opens_a_socket(server: Running):
    user = uuid4()
    async with server.open(user) as peer:
        ready = {"type": "ready", "user": {"uuid": str(user), "full_name": "N"}, "seq": 0}
        assert await peer.frame() == ready


async def test_a_ticket_in_the_first_frame_opens_a_socket(server: Running):
    async with connect(server.url()) as connection:
        peer = Peer(connection)
        await peer.send(action="auth", ticket=await server.ticket())
        assert (await peer.frame())["type"] == "ready"


@pytest.mark.promise("WebSocket")
async def test_a_used_ticket_opens_nothing(server: Running):
    ticket = await server.ticket()
    async with connect(server.url(f"?ticket={ticket}")) as connection:
        assert (await Peer(connection).frame())["type"] == "ready"
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.url(f"?ticket={ticket}"))
        assert refused.value.response.status_code == 403
        async with connect(server.url()) as again:
            await Peer(again).send(action="auth", ticket=ticket)
            assert await Peer(again).closed() == 4401


@pytest.mark.parametrize(
    "first", ['{"action": "auth"}', '{"action": "typing"}', "no JSON", "[]", b"\x00\x01"]
)
async def test_a_first_frame_without_a_ticket_closes_the_socket(server: Running, first: str | bytes):
    async with connect(server.url()) as connection:
        await connection.send(first)
        assert await Peer(connection).closed() == 4401


@pytest.mark.promise("WebSocket")
async def test_silence_closes_the_socket(server: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sockets, "AUTH_SECONDS", 0.1)
    async with connect(server.url()) as connection:
        assert await Peer(connection).closed() == 4408


async def test_unknown_rooms_are_4404_and_closed_ones_4403(server: Running):
    barred = uuid4()
    DOOR.barred.add(barred)
    async with server.open(barred) as peer:
        assert await peer.closed() == 4403
    DOOR.unknown.add(server.room)
    async with server.open() as peer:
        assert await peer.closed() == 4404


async def test_who_may_no_longer_be_here_is_closed_4403(server: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sockets, "RECHECK_SECONDS", 0.05)
    user = uuid4()
    async with server.open(user) as peer:
        await peer.frame("ready")
        DOOR.barred.add(user)
        assert await peer.closed() == 4403


@pytest.mark.parametrize("frame", ["{", "[1]", "7", b"\xff\xfe"])
async def test_the_second_frame_that_is_not_a_json_object_closes_the_socket(
    server: Running, frame: str | bytes
):
    async with server.open() as peer:
        await peer.connection.send(frame)
        assert (await peer.frame("error"))["code"] == "not_json"
        await peer.send(action="message", content="still open")
        assert (await peer.frame("message"))["body"] == "still open"
        await peer.connection.send(frame)
        assert await peer.closed() == 4400


async def test_a_bad_frame_is_answered_and_the_socket_stays(server: Running):
    async with server.open() as peer:
        await peer.send(action="dance", client_id="c1")
        error = await peer.frame("error")
        assert (error["code"], error["client_id"]) == ("invalid_input", "c1")
        for after in (-1, "3", None, True, 2**60, 1.5):
            await peer.send(action="resume", after=after)
            assert (await peer.frame("error"))["code"] == "invalid_input"
        await peer.send(action="message", content="still open")
        assert (await peer.frame("message"))["seq"] == 1


@pytest.mark.parametrize(
    "value", [r'"\ud800"', r'"\u0000"', "NaN", "-Infinity", "1e400", "9" * 30, "[" * 70 + "]" * 70]
)
async def test_text_and_numbers_of_no_use_are_answered_and_the_socket_stays(server: Running, value: str):
    async with server.open() as peer:
        for _ in range(3):
            await peer.connection.send(f'{{"action": "message", "content": {value}, "client_id": "c1"}}')
            error = await peer.frame("error")
            assert error["code"] == ("malformed_json" if value[0] == "[" else "invalid_input")
            assert error["client_id"] == "c1"
        await peer.connection.send(f'{{"action": "typing", "client_id": {value}}}')
        assert "client_id" not in await peer.frame("error")
        await peer.send(action="message", content="still open")
        assert (await peer.frame("message"))["body"] == "still open"


async def test_a_frame_that_is_too_large_closes_the_socket_with_1009(server: Running):
    async with server.open() as peer:
        await peer.send(action="message", content="x" * 70_000)
        assert await peer.closed() == 1009


async def test_a_defect_closes_the_socket_and_hurts_no_other(server: Running):
    async with server.open() as peer, server.open() as other:
        await other.frame("ready")
        await peer.send(action="break")
        assert await peer.closed() == 1011
        await other.send(action="message", content="still open")
        assert (await other.frame("message"))["seq"] == 1


@pytest.mark.parametrize("by_query", [True, False])
async def test_resume_loses_and_repeats_nothing_while_others_write(
    server: Running, replicas: tuple[Running, Running], by_query: bool
):
    for number in range(5):
        await post(server.hub, server.room, f"before {number}")

    async def write(replica: Running) -> None:
        for number in range(100):
            await post(replica.hub, replica.room, f"{replica.port} {number}")

    writers = [asyncio.create_task(write(replica)) for replica in replicas]
    async with server.open(query="&after=2" if by_query else "") as peer:
        await peer.frame("ready")
        if not by_query:
            await peer.send(action="resume", after=2)
        assert await peer.messages(203) == list(range(3, 206))
    await asyncio.gather(*writers)


@pytest.mark.parametrize("after", ["²", "-1", "x", "", "9" * 30])
async def test_an_after_that_is_no_number_means_from_now_on(server: Running, after: str):
    await post(server.hub, server.room, "old")
    async with server.open(query=f"&after={after}") as peer:
        assert (await peer.frame("ready"))["seq"] == 1
        await post(server.hub, server.room, "new")
        assert await peer.messages(1) == [2]


async def test_a_socket_may_ask_for_the_past_at_any_time(server: Running):
    for number in range(4):
        await post(server.hub, server.room, str(number))
    async with server.open() as peer:
        assert (await peer.frame("ready"))["seq"] == 4
        await post(server.hub, server.room, "live")
        assert await peer.messages(1) == [5]
        await peer.send(action="resume", after=1)
        assert await peer.messages(4) == [2, 3, 4, 5]


async def test_a_long_past_comes_whole(server: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sockets, "REPLAY", 7)
    async with server.hub.db.session() as session:
        await session.execute(
            text("INSERT INTO room_frames SELECT :r, n, 'old' FROM generate_series(1, 50) n"),
            {"r": server.room},
        )
    async with server.open(query="&after=0") as peer:
        assert await peer.messages(50) == list(range(1, 51))


async def test_both_replicas_of_a_service_get_everything(replicas: tuple[Running, Running]):
    one, two = replicas
    typist = uuid4()
    async with one.open(typist) as left, two.open() as right:
        await left.frame("ready")
        await right.frame("ready")
        await left.send(action="message", content="from the left")
        await right.send(action="message", content="from the right")
        assert await left.messages(2) == [1, 2]
        assert await right.messages(2) == [1, 2]
        await left.send(action="typing")
        assert (await right.frame("typing"))["user"]["uuid"] == str(typist)


@pytest.mark.promise("credentials")
async def test_what_others_notify_reaches_no_socket(server):
    """Whoever may connect to the database may NOTIFY: analysts, and other services."""
    forged = json.dumps({"room": server.room, "frame": {"type": "typing", "user": "forged"}})
    guessed = sealed(b"", forged)
    async with server.open() as peer:
        await peer.frame("ready")
        async with server.hub.db.engine.begin() as connection:
            for payload in ("no JSON", "{}", '"', forged, guessed, f'{forged[:-1]},"code":""}}'):
                await connection.execute(
                    text("SELECT pg_notify(:channel, :payload)"),
                    {"channel": live_channel("toy"), "payload": payload},
                )
        await post(server.hub, server.room, "real")
        assert (await peer.frame("message", "typing"))["type"] == "message"


async def test_joins_and_leaves_are_told_to_the_room(server: Running):
    async with server.open() as peer:
        assert (await peer.frame("presence"))["count"] == 1
        async with server.open():
            while (await peer.frame("presence"))["count"] != 2:
                pass
        while (await peer.frame("presence"))["count"] != 1:
            pass


@pytest.mark.promise("WebSocket")
async def test_a_revoked_session_closes_its_sockets_with_4401(server: Running):
    session, user = uuid4(), uuid4()
    async with connect(server.url(f"?ticket={await server.ticket(user, session)}")) as connection:
        await Peer(connection).frame("ready")
        late = await server.ticket(user, session)
        server.app.state.revocations.revoke(Revocation(user, session=session))
        assert await Peer(connection).closed() == 4401
    # A ticket that was minted before the session ended opens nothing afterwards.
    async with connect(server.url(f"?ticket={late}")) as connection:
        assert await Peer(connection).closed() == 4401


async def test_a_peer_that_does_not_read_is_closed_and_holds_up_nobody(
    server: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hubs, "SEND_SECONDS", 0.3)
    small = sockets_of_the_system.create_connection(("127.0.0.1", server.port))
    small.setsockopt(sockets_of_the_system.SOL_SOCKET, sockets_of_the_system.SO_RCVBUF, 131_072)
    small.setblocking(False)
    ended: list[Any] = []
    end = Socket.end

    def note(socket: Socket, code: int, reason: str) -> None:
        ended.append(code)
        end(socket, code, reason)

    monkeypatch.setattr(Socket, "end", note)
    async with server.open(sock=small, max_queue=1) as slow, server.open() as quick:
        await slow.frame("ready")
        await quick.frame("ready")
        DOOR.size = 200_000
        for number in range(60):
            await post(server.hub, server.room, str(number))
        assert await quick.messages(60) == list(range(1, 61))
        await eventually(lambda: ended)
        assert ended == [hubs.TOO_SLOW]
        assert await slow.closed() == 1013


async def test_the_room_is_empty_when_all_have_left(server: Running):
    async with server.open() as peer, server.open():
        await peer.frame("ready")
        await eventually(lambda: len(server.hub.members(server.room)) == 2)
    await eventually(lambda: not server.hub.members(server.room))
    await eventually(lambda: server.room not in server.hub.rooms)
