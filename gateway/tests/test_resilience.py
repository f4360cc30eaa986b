"""A service in trouble: it is given up in time, asked gently, found again, and slows no other."""

import asyncio
import json
import socket
import time

import pytest

from gateway.breaker import WINDOW, Breaker
from gateway.settings import GatewaySettings
from gateway.tests.harness import SCRAPE, Client, Suite, bearer
from libs.common.testing.harness import eventually


def quizzes() -> str:
    """Asks learning; the token is made now, so that it has not run out."""
    return f"GET /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}\r\n"


class BlackHole:
    """A port whose connections the kernel accepts and nobody ever reads, as of a process that is stopped."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def black_hole():
    hole = BlackHole()
    yield hole
    hole.close()


async def quantile(client: Client, count: int, share: float) -> float:
    """Seconds within which this share of so many requests to catalog is answered."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        assert (await client.get("/api/courses/")).status == 200
        times.append(time.perf_counter() - began)
    return sorted(times)[int(count * share)]


async def many(suite: Suite, count: int) -> list[Client]:
    """Clients that each have asked learning."""
    clients = [await suite.client() for _ in range(count)]
    for client in clients:
        client.send(quizzes())
    return clients


async def test_a_service_that_says_nothing_slows_no_other_and_takes_a_bounded_part(start, black_hole):
    suite = await start(("catalog",), learning_url=black_hole.url, service_waiting=30, answer_timeout=1.0)
    quick = await suite.client()
    alone = await quantile(quick, 200, 0.99)
    clients = await many(suite, 100)
    busy = [await client.answer() for client in clients[30:]]  # at once: 30 wait already
    assert {answer.status for answer in busy} == {503}
    assert {json.loads(answer.body)["code"] for answer in busy} == {"service_busy"}
    assert suite.gateway.pools["learning"].waiting == 30
    beside = await quantile(quick, 200, 0.99)
    assert beside < max(10 * alone, 0.1)
    late = [await client.answer() for client in clients[:30]]
    assert {(answer.status, json.loads(answer.body)["code"]) for answer in late} == {(503, "service_timeout")}
    assert all(int(answer.get("retry-after")) >= 1 for answer in late)
    assert suite.gateway.pools["learning"].waiting == 0
    # Known to be away now: nobody waits for it any more.
    began = time.monotonic()
    [probe, *refused] = await many(suite, 20)
    answers = [await client.answer() for client in refused]
    assert {json.loads(answer.body)["code"] for answer in answers} == {"service_unavailable"}
    assert all(int(answer.get("retry-after")) >= 1 for answer in answers)
    assert time.monotonic() - began < 0.5
    assert (await probe.answer()).status == 503
    assert (await quick.get("/api/courses/")).status == 200


async def test_one_request_at_a_time_tries_a_service_that_was_away(start):
    suite = await start(breaker_pause=0.2, answer_timeout=0.5)
    learning, client = suite.upstreams["learning"], await suite.client()
    answers = learning.handler
    release = asyncio.Event()

    async def hang(seen, reader, writer):
        await release.wait()
        await answers(seen, reader, writer)

    learning.handler = hang
    for waiting in await many(suite, 5):
        assert (await waiting.answer()).status == 503
    assert suite.gateway.pools["learning"].breaker.is_open
    text = (await client.get("/metrics", SCRAPE)).body.decode()
    assert 'lectern_gateway_service_away{upstream="learning"} 1.0' in text
    asked = len(learning.seen)

    async def probing() -> bool:
        await many(suite, 5)
        return len(learning.seen) > asked

    await eventually(probing)
    for _ in range(10):
        assert (await client.ask(quizzes())).status == 503
    assert len(learning.seen) == asked + 1
    release.set()
    await eventually(lambda: not suite.gateway.pools["learning"].breaker.is_open)
    for _ in range(5):
        assert (await client.ask(quizzes())).status == 200


async def test_a_probe_whose_client_leaves_makes_room_for_the_next(start):
    suite = await start(breaker_failures=1, breaker_pause=0.05)
    learning, client = suite.upstreams["learning"], await suite.client()
    await learning.stop()
    assert (await client.ask(quizzes())).status == 503
    answers, learning.handler = learning.handler, read_for_ever
    await learning.start(learning.port)
    breaker = suite.gateway.pools["learning"].breaker

    async def probing() -> bool:
        [leaving] = await many(suite, 1)
        if not breaker.probe:
            return False
        leaving.close()
        return True

    await eventually(probing)
    await eventually(lambda: not breaker.probe)
    learning.handler = answers

    async def is_back() -> bool:
        return (await client.ask(quizzes())).status == 200

    await eventually(is_back)


async def read_for_ever(seen, reader, writer):
    await reader.read()


async def test_there_is_one_deadline_whatever_happens_within(start):
    """Reads are asked once more when the connection breaks; the client's patience does not begin anew."""
    suite = await start(answer_timeout=0.8)
    learning = suite.upstreams["learning"]

    async def break_late_then_hang(seen, reader, writer):
        if len(learning.seen) == 1:
            await asyncio.wait([asyncio.create_task(reader.read())], timeout=0.5)
            writer.transport.abort()
        else:
            await reader.read()

    learning.handler = break_late_then_hang
    client = await suite.client()
    began = time.monotonic()
    answer = await client.ask(quizzes())
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "service_timeout")
    assert 0.7 < time.monotonic() - began < 1.3
    assert len(learning.seen) == 2


async def test_a_service_in_trouble_does_not_get_twice_the_load(start):
    suite = await start(breaker_failures=10_000)
    learning, client = suite.upstreams["learning"], await suite.client()

    async def die(seen, reader, writer):
        writer.transport.abort()

    learning.handler = die
    for _ in range(100):
        assert (await client.ask(quizzes())).status == 503
    assert 110 <= len(learning.seen) <= 125


async def test_a_read_that_met_a_dead_replica_is_asked_again(start):
    suite = await start()
    learning, client = suite.upstreams["learning"], await suite.client()
    answers = learning.handler

    async def die_first(seen, reader, writer):
        if len(learning.seen) == 1:
            writer.transport.abort()
        else:
            await answers(seen, reader, writer)

    learning.handler = die_first
    assert (await client.ask(quizzes())).status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_request_that_no_replica_has_taken_waits_for_one(start, method):
    """While a connection is refused nothing has been sent, so a write may wait as well."""
    suite = await start(breaker_failures=10)
    learning, client = suite.upstreams["learning"], await suite.client()
    await learning.stop()
    client.send(f"{method} /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 2\r\n\r\n{{}}")
    await eventually(lambda: suite.gateway.metrics.retries >= 2)
    await learning.start(learning.port)
    assert (await client.answer()).status == 200
    assert [seen.body for seen in learning.seen] == [b"{}"]


async def test_an_anonymous_read_of_the_catalogue_waits_for_a_replica_too(start):
    suite = await start(breaker_failures=10)
    catalog, client = suite.upstreams["catalog"], await suite.client()
    await catalog.stop()
    client.send("GET /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: suite.gateway.metrics.retries >= 2)
    await catalog.start(catalog.port)
    assert (await client.answer()).status == 200


async def test_uploads_under_way_do_not_count_as_waiting(start):
    suite = await start(service_waiting=2)
    catalog, client = suite.upstreams["catalog"], await suite.client()
    uploads = [await suite.client() for _ in range(5)]
    for upload in uploads:
        upload.send(f"POST /api/core/media/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 10\r\n\r\nhello")
    await eventually(lambda: len(catalog.seen) == 5)
    assert suite.gateway.pools["catalog"].waiting == 0
    assert (await client.get("/api/courses/")).status == 200
    for upload in uploads:
        upload.send("world")
        assert (await upload.answer()).status == 200
    assert suite.gateway.pools["catalog"].waiting == 0


def a_breaker() -> Breaker:
    return Breaker("learning", GatewaySettings(environment="test", breaker_failures=5))


def test_a_few_failures_among_many_answers_open_nothing():
    breaker = a_breaker()
    for second in range(60):
        breaker.tick(100.0 + second)
        breaker.worked += 20
        for _ in range(10):
            breaker.failed(100.0 + second, object())
    assert not breaker.is_open


def test_what_worked_long_ago_does_not_count():
    breaker = a_breaker()
    breaker.tick(100.0)
    breaker.worked += 1000
    for second in range(WINDOW):
        breaker.tick(101.0 + second)
    for _ in range(4):
        breaker.failed(120.0, object())
    assert breaker.refuses(120.0) is None
    breaker.failed(120.0, object())
    assert breaker.refuses(120.5) == pytest.approx(0.5)


def test_a_failed_probe_opens_it_again_and_a_good_one_closes_it():
    breaker = a_breaker()
    for _ in range(5):
        breaker.failed(100.0, object())
    assert breaker.refuses(101.1) is None
    breaker.probe = probe = object()
    assert breaker.refuses(101.1)  # one at a time
    breaker.failed(101.2, object())  # an old request that ends now says nothing new
    breaker.failed(101.5, probe)
    assert breaker.refuses(102.0) == pytest.approx(0.5)
    assert breaker.refuses(102.6) is None
    breaker.probe = object()
    breaker.probe_worked()
    assert not breaker.is_open
    for _ in range(4):  # with a clean slate
        breaker.failed(103.0, object())
    assert not breaker.is_open
