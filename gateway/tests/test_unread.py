"""A connection that dies under a write: sent again if surely nobody has read it, else never."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext, suppress
from typing import Any
from uuid import uuid4

import pytest
import uvicorn
from fastapi import APIRouter

from deploy.local.project import free_ports
from gateway.tests.harness import Client, Suite, bearer
from libs.common.security.tokens import KeySet
from libs.common.service.app import create_app
from libs.common.service.serve import uvicorn_config
from libs.common.testing.harness import TEST_KEY, CollectedQueue, eventually
from libs.common.tests import toy
from libs.common.web.schemas import Body

WRITERS = 30


def write(
    number: int | str, chunked: bool = False, key: str = "", path: str = "/api/quizzes/", token: bool = True
) -> bytes:
    body = f'{{"value":"{number}"}}'
    framing, sent = f"Content-Length: {len(body)}", body
    if chunked:
        framing, sent = "Transfer-Encoding: chunked", f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    who, once = bearer() if token else "", f"Idempotency-Key: {key}\r\n" if key else ""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{who}{once}{framing}\r\n\r\n{sent}".encode()


class Plain:
    """A service on plain sockets, so that a test decides to the byte what is read and when it closes."""

    def __init__(self, then: Callable[[socket.socket], None] | None = None) -> None:
        self.then = then
        self.read: list[bytes] = []
        self.open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(65_536):
                self.read.append(data)
                while not data.endswith((b"}", b"0\r\n\r\n")):  # header and body may come one by one
                    more = connection.recv(65_536)
                    if not more:
                        return
                    self.read.append(more)
                    data += more
                if b"doomed" in data and self.then is not None:
                    self.then(connection)
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except OSError:
            return

    def close_idle(self) -> None:
        """At once and without a word, as a service whose last request met a defect."""
        for connection in self.open:
            with suppress(OSError):  # the gateway has closed it
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.open.clear()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.open:
            connection.close()


async def clients_of(suite: Suite) -> list[tuple[Client, Any]]:
    """Clients with the gateway's side of their connections, each with a connection to the service."""
    clients = [await suite.client() for _ in range(WRITERS)]
    for number, client in enumerate(clients):
        client.send(write(f"first {number}"))
    for client in clients:
        assert (await client.answer()).status == 200
    ports = {side.transport.get_extra_info("peername")[1]: side for side in suite.gateway.clients}
    return [(client, ports[client.writer.get_extra_info("sockname")[1]]) for client in clients]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_write_into_a_connection_that_was_closed_is_sent_again(start, chunked):
    service = Plain()
    suite = await start((), learning_url=service.url)
    pairs = await clients_of(suite)
    before = len(service.read)

    def race() -> None:
        """Within one turn of the gateway's loop: it cannot have heard of the end when it writes."""
        service.close_idle()
        for number, (_, side) in enumerate(pairs):
            side.data_received(write(f"second {number}", chunked))
        suite.gateway.output.flush()

    await suite.call(race)
    for client, _ in pairs:
        assert (await client.answer()).status == 200
    read = b"".join(service.read[before:])
    assert [read.count(b'"second %d"' % number) for number in range(WRITERS)] == [1] * WRITERS
    assert not suite.gateway.pools["learning"].breaker.is_open
    service.stop()


def end(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("then", [end, reset])
async def test_a_write_that_may_have_been_read_is_never_sent_twice(start, then, used):
    service = Plain(then)
    suite = await start((), learning_url=service.url)
    client = await suite.client()
    if used:
        assert (await client.ask(write("first"))).status == 200
    answer = await client.ask(write("doomed"))
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "service_unavailable")
    assert b"".join(service.read).count(b"doomed") == 1
    service.stop()


class Once:
    """Ends the first connection that it is given, answers on the next."""

    def __init__(self, how: Callable[[socket.socket], None]) -> None:
        self.how = how
        self.calls = 0

    def __call__(self, connection: socket.socket) -> None:
        self.calls += 1
        if self.calls > 1:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        self.how(connection)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("then", [end, reset])
async def test_a_write_with_a_key_is_sent_once_more(start, then, chunked):
    service = Plain(Once(then))
    suite = await start((), learning_url=service.url)
    client = await suite.client()
    assert (await client.ask(write("doomed", chunked, key="k-1"))).status == 200
    read = b"".join(service.read)
    assert read.count(b"doomed") == 2
    assert read.count(b"k-1") == 2
    service.stop()


async def test_a_write_with_a_key_is_not_sent_for_the_third_time(start):
    service = Plain(end)
    suite = await start((), learning_url=service.url)
    client = await suite.client()
    assert (await client.ask(write("doomed", key="k-1"))).status == 503
    assert b"".join(service.read).count(b"doomed") == 2
    service.stop()


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/api/accounts/register/", False),  # who is not signed in has no keys
        ("/api/accounts/change-password/", True),  # its answers hold tokens, and are not kept
        ("/api/accounts/users/me/mfa/enrol/", True),
    ],
)
async def test_a_key_that_the_service_does_not_look_at_repeats_nothing(start, path, token):
    service = Plain(end)
    suite = await start((), identity_url=service.url)
    client = await suite.client()
    assert (await client.ask(write("doomed", key="k-1", path=path, token=token))).status == 503
    assert b"".join(service.read).count(b"doomed") == 1
    service.stop()


async def test_a_write_with_a_key_whose_body_is_not_kept_is_not_sent_twice(start):
    service = Plain(end)
    suite = await start((), learning_url=service.url)
    client = await suite.client()
    assert (await client.ask(write("doomed" + "x" * 70_000, key="k-1"))).status == 503
    assert b"".join(service.read).count(b"doomed") == 1
    service.stop()


async def test_a_write_that_a_half_closed_service_still_reads_is_not_sent_twice(start):
    service = Plain()
    suite = await start((), learning_url=service.url)
    client = await suite.client()
    assert (await client.ask(write("first"))).status == 200
    side = next(iter(suite.gateway.clients))

    def race() -> None:
        service.open[0].shutdown(socket.SHUT_WR)
        side.data_received(write("second"))
        suite.gateway.output.flush()

    await suite.call(race)
    await client.answer()  # a success, if the gateway heard of the end before it had written
    assert b"".join(service.read).count(b"second") == 1
    service.stop()


router = APIRouter(prefix="/api/quizzes")
kept: list[str] = []


class Value(Body):
    value: str


@router.post("/")
async def keep(body: Value) -> dict[str, str]:
    kept.append(body.value)
    return {"value": body.value}


@router.post("/defect/")
async def meet_defect() -> None:
    raise ZeroDivisionError


class Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@pytest.fixture
async def service_url() -> AsyncIterator[str]:
    """A service as the suite runs it, on a real uvicorn."""
    app = create_app(
        toy.Settings(environment="test"), [router], keys=KeySet.static([TEST_KEY]), queue=CollectedQueue()
    )
    [port] = free_ports(1)
    config = uvicorn_config(app, "127.0.0.1", port)
    config.lifespan = "off"
    server = Server(config)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


@pytest.mark.promise("gateway")
async def test_what_one_person_breaks_costs_no_other_a_write(start, service_url):
    suite = await start((), learning_url=service_url)
    run = uuid4().hex
    breaking = f"POST /api/quizzes/defect/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 0\r\n\r\n"
    half = '{"value":"a\\ud800"}'
    odd = (
        f"POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Type: application/json\r\n"
        f"Content-Length: {len(half)}\r\n\r\n{half}"
    )

    async def writer(number: int) -> list[int]:
        client = await suite.client()
        found = []
        for turn in range(6):
            if (number + turn) % 3 == 0:
                answer = await client.ask(breaking if turn % 2 else odd)
                assert answer.status == (500 if turn % 2 else 422)
                assert answer.get("content-type") == "application/problem+json"
            json_kind = b"Host: x\r\nContent-Type: application/json\r\n"
            request = write(f"{run} {number} {turn}").replace(b"Host: x\r\n", json_kind)
            found.append((await client.ask(request)).status)
        return found

    statuses = await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    assert {status for found in statuses for status in found} == {200}
    assert sorted(value for value in kept if value.startswith(run)) == sorted(
        f"{run} {number} {turn}" for number in range(WRITERS) for turn in range(6)
    )
