"""WebSockets through the gateway, with a real WebSocket server behind it."""

import asyncio

import pytest
import websockets

from gateway.sockets import FrameCounter, close_frame
from gateway.tests.harness import COURSE, Suite, bearer, token
from gateway.tests.rooms import join
from libs.common.security.revocation import Revocation
from libs.common.security.tokens import TokenVerifier
from libs.common.testing.harness import eventually


@pytest.fixture
async def chat(begin) -> Suite:
    return await begin()


async def closing(socket) -> tuple[int, str]:
    async with asyncio.timeout(6):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason


async def test_messages_pass_both_ways_whatever_their_size(chat):
    async with join(chat) as socket:
        assert socket.response.headers["X-Request-ID"]
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        for message in ("hello", "", "x" * 60_000, b"\x00\xff" * 500):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send("big")
        assert len(await socket.recv()) == 3 << 20
        await (await socket.ping())
        assert chat.gateway.metrics.sockets == 1
    await eventually(lambda: not chat.gateway.tunnels)


async def test_close_codes_pass_both_ways(chat):
    async with join(chat) as socket:
        await socket.send("bye")
        assert await closing(socket) == (4403, "not allowed")
    async with join(chat) as socket:
        await socket.close(3000, "enough")
        assert socket.close_code == 3000


@pytest.mark.promise("WebSocket")
async def test_a_message_above_the_cap_closes_with_1009(chat):
    async with join(chat) as socket:
        await socket.send(["x" * 40_000, "x" * 40_000])  # two fragments of one message
        assert (await closing(socket))[0] == 1009


@pytest.mark.promise("WebSocket")
async def test_origins_are_checked(begin):
    suite = await begin(cors_origins=["https://school.example"])
    async with join(suite, origin="https://school.example") as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
    async with join(suite):  # no browser
        pass
    for origin in ("https://evil.example", "null"):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await join(suite, origin=origin)
        assert refused.value.response.status_code == 403


async def test_a_plain_request_to_a_socket_is_a_426(chat):
    client = await chat.client()
    answer = await client.get(f"/ws/chat/{COURSE}/")
    assert (answer.status, answer.get("upgrade")) == (426, "websocket")


async def test_a_refused_handshake_passes_through_and_the_connection_lives_on(start):
    suite = await start(("forum", "catalog"))

    async def refuse(seen, reader, writer):
        assert seen.get("upgrade") == "websocket"
        assert seen.get("connection") == "Upgrade"
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}")

    suite.upstreams["forum"].handler = refuse
    client = await suite.client()
    upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
    client.send(
        f"GET /ws/chat/{COURSE} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n"
        "GET /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert (await client.answer()).status == 403
    assert (await client.answer()).status == 200
    assert suite.upstreams["forum"].seen[0].line == f"GET /ws/chat/{COURSE}/ HTTP/1.1"


async def test_a_service_cannot_upgrade_what_was_no_upgrade(start):
    suite = await start()

    async def switch(seen, reader, writer):
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw"
        )

    suite.upstreams["catalog"].handler = switch
    client = await suite.client()
    assert (await client.get("/api/courses/")).status == 502


@pytest.mark.promise("WebSocket")
async def test_a_stop_says_1012(begin):
    suite = await begin()
    async with join(suite) as socket:
        await socket.send("hello")
        await socket.recv()
        stopping = asyncio.create_task(suite.run(suite.gateway.stop()))
        assert await closing(socket) == (1012, "restart")
        async with asyncio.timeout(5):
            await stopping


async def test_a_service_that_dies_says_1012_too(chat):
    async with join(chat) as socket:
        await socket.send("die")
        assert (await closing(socket))[0] == 1012


async def test_a_slow_reader_slows_the_service_and_loses_nothing(chat):
    async with join(chat, max_queue=1) as socket:
        sender = asyncio.create_task(send_many(socket, 400))
        await asyncio.wait([sender], timeout=0.2)
        for number in range(400):
            assert await socket.recv() == f"{number:>50000}"
        await sender


async def send_many(socket, count: int) -> None:
    for number in range(count):
        await socket.send(f"{number:>50000}")


async def test_a_socket_opened_with_a_token_ends_with_its_session(chat):
    value = token()
    principal = TokenVerifier("lectern", "lectern-api", chat.gateway.keys).verify(value)
    headers = {"Authorization": bearer(value).split(": ")[1].strip()}
    async with join(chat, additional_headers=headers) as socket:
        await chat.call(
            chat.gateway.revocations.revoke, Revocation(principal.user, session=principal.session)
        )
        assert (await closing(socket))[0] == 4401


async def test_a_dead_service_refuses_the_handshake(start):
    suite = await start()
    with pytest.raises(websockets.InvalidStatus) as refused:
        await join(suite)
    assert refused.value.response.status_code == 503


def frames() -> list[bytes]:
    masked = b"\x81\x85MASKhello"
    long = b"\x01\x7e" + (300).to_bytes(2, "big") + b"x" * 300
    huge = b"\x80\x7f" + (70_000).to_bytes(8, "big") + b"y" * 70_000
    return [b"\x81\x02hi", b"\x89\x00", long, b"\x8a\x01p", huge, masked, close_frame(1000, "")]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 10**6])
def test_frames_are_counted_however_they_are_cut(step):
    counter, data = FrameCounter(), b"".join(frames())
    boundaries, position = set(), 0
    for frame in frames():
        position += len(frame)
        boundaries.add(position)
    for start in range(0, len(data), step):
        counter.count(data[start : start + step])
        assert counter.at_boundary is (min(start + step, len(data)) in boundaries)
    assert counter.closed
    assert not counter.oversize


def test_counting_stops_at_the_first_boundary():
    first, second = frames()[:2]
    counter = FrameCounter()
    counter.count(first[:1])
    assert counter.count(first[1:] + second, stop=True) == len(first) - 1
    assert counter.at_boundary
