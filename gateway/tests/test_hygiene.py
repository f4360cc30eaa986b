"""What a hostile or careless client may not do: spoof, flood, dawdle. Smuggling: test_smuggling.py."""

import asyncio

import pytest

from gateway.tests.harness import COURSE, bearer
from libs.common.testing.harness import eventually
from libs.common.web.border import gateway_key

GET = "GET /api/courses/ HTTP/1.1\r\nHost: x\r\n"
POST = "POST /api/certificates/x/verify/ HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.promise("gateway")
async def test_headers_that_speak_for_the_gateway_are_dropped_or_set_anew(suite, client, catalog):
    await client.get(
        "/api/courses/",
        "X-User-Id: 1\r\nx-user-role: admin\r\nX_User_Id: 1\r\nX_Forwarded_For: 1.1.1.1\r\n"
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil\r\nTE: trailers\r\n"
        "X-Forwarded-User: a\r\nForwarded: for=1.1.1.1\r\nProxy-Authorization: a\r\nKeep-Alive: 5\r\n"
        "X-Real-IP: 1.1.1.1\r\nX-Fine: yes\r\nX-Lectern-Gateway: mine\r\nX-Lectern-Else: mine\r\n",
    )
    seen = catalog.seen[0]
    names = [name for name, _ in seen.headers]
    assert [
        name for name in names if "user" in name or "_" in name or name in ("forwarded", "x-real-ip")
    ] == []
    assert seen.get("x-lectern-gateway") == gateway_key(suite.settings.secret).decode()
    assert seen.get("x-lectern-else") is None
    assert seen.get("x-forwarded-for") == "127.0.0.1"
    assert seen.get("x-forwarded-proto") == "http"
    assert seen.get("x-forwarded-host") == "school.example"
    for name in ("proxy-authorization", "te", "keep-alive", "connection"):
        assert seen.get(name) is None
    assert seen.get("x-fine") == "yes"


@pytest.mark.promise("gateway")
async def test_every_header_named_in_connection_is_dropped(client, catalog):
    answer = await client.get(
        "/api/courses/",
        "Connection: X-One, keep-alive\r\nX-One: 1\r\nX-Two: 2\r\nx-two: 3\r\n"
        "Connection: X-TWO\r\nX-Three: 3\r\n"
        "Connection: Authorization, X-Forwarded-For, Host\r\nAuthorization: Bearer nonsense\r\n",
    )
    assert answer.status == 200  # without its token the request is an anonymous one
    seen = catalog.seen[0]
    assert [seen.get(name) for name in ("x-one", "x-two", "authorization")] == [None, None, None]
    assert seen.get("x-three") == "3"
    assert seen.get("x-forwarded-for") == "127.0.0.1"
    assert seen.get("host") == "school.example"


async def test_hop_by_hop_headers_of_the_service_end_at_the_gateway(client, catalog):
    catalog.headers = (
        b"Keep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nAccess-Control-Allow-Origin: *\r\nX-Fine: 1\r\n"
    )
    answer = await client.get("/api/courses/")
    for name in ("keep-alive", "proxy-authenticate", "access-control-allow-origin", "server"):
        assert answer.get(name) is None
    assert answer.get("x-fine") == "1"


@pytest.mark.promise("gateway")
@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (f"{GET}X-Long: {'x' * 16_400}\r\n\r\n", 431),
        (GET + "".join(f"X-{number}: {'x' * 8000}\r\n" for number in range(5)) + "\r\n", 431),
        (f"{GET}X-Endless: {'x' * 300_000}", 431),
        (f"GET /api/courses/?q={'x' * 8200} HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (f"GET /{'x' * 300_000}", 414),
        (f"{POST}Content-Length: 1048577\r\n\r\n", 413),
        (f"{POST}Transfer-Encoding: chunked\r\n\r\n" + f"10000\r\n{'x' * 65536}\r\n" * 17, 413),
    ],
    ids=["line", "header", "endless line", "url", "endless url", "length", "chunks"],
)
async def test_what_is_too_large_is_refused(suite, request_text, status):
    client = await suite.client()
    client.send(request_text)
    answer = await client.answer()
    assert answer.status == status
    assert answer.get("connection") == "close"
    await client.closed()


async def test_just_below_the_limits_passes(client, catalog):
    assert (await client.get("/api/courses/?q=" + "x" * 8000, f"X-Long: {'x' * 16_000}\r\n")).status == 200
    body = "x" * 1_048_576
    client.send(
        f"POST /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: {len(body)}\r\n\r\n{body}"
    )
    assert (await client.answer()).status == 200
    assert len(catalog.seen[-1].body) == 1_048_576


async def test_upload_routes_have_limits_of_their_own(client, catalog):
    for path, size, status in (
        (f"/api/courses/{COURSE}/upload-image/", 2_000_000, 200),
        ("/api/core/media/", 513 * 1024 * 1024, 413),
    ):
        client.send(f"POST {path} HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: {size}\r\n\r\n")
        client.send("x" * min(size, 2_000_000))
        assert (await client.answer()).status == status


async def test_bytes_around_chunks_are_limited_too(client):
    client.send(f"{POST}Transfer-Encoding: chunked\r\n\r\n")
    with pytest.raises((ConnectionError, TimeoutError, AssertionError)):
        async with asyncio.timeout(5):
            for _ in range(2000):
                client.send(f"1;{'x' * 1000}\r\nx\r\n")
                await client.writer.drain()
            raise AssertionError(await client.closed())


@pytest.mark.promise("gateway")
async def test_a_slow_header_is_a_408(start):
    suite = await start(header_timeout=0.2)
    client, silent = await suite.client(), await suite.client()
    client.send("GET /api/courses/ HTTP/1.1\r\nHost: x\r\nX-A")
    assert (await client.answer()).status == 408
    assert await client.closed() == b""
    assert await silent.closed() == b""  # who says nothing hears nothing


async def test_a_drip_of_header_bytes_does_not_prolong(start):
    suite = await start(header_timeout=0.3)
    client = await suite.client()
    client.send(GET)

    async def drip():
        for number in range(1000):
            client.send(f"X-{number}: 1\r\n")
            await client.writer.drain()
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    assert (await client.answer()).status == 408
    dripping.cancel()


@pytest.mark.promise("gateway")
async def test_a_silent_body_is_a_408(start):
    suite = await start(body_timeout=0.2)
    client = await suite.client()
    catalog = suite.upstreams["catalog"]
    client = await suite.client()
    client.send(f"POST /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 10\r\n\r\nhell")
    assert (await client.answer()).status == 408
    assert await client.closed() == b""
    assert len(catalog.seen) == 1


async def test_a_drip_of_body_bytes_does_not_hold_a_service_for_ever(start):
    suite = await start(body_timeout=0.3, body_rate=1000)
    slow, quick = await suite.client(), await suite.client()
    post = f"POST /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 2000\r\n\r\n"
    slow.send(post)
    quick.send(post)

    async def drip(client, size: int) -> None:
        for _ in range(2000 // size):
            client.send("x" * size)
            await client.writer.drain()
            await asyncio.sleep(0.02)

    dripping = [asyncio.create_task(drip(slow, 2)), asyncio.create_task(drip(quick, 100))]
    assert (await quick.answer()).status == 200
    assert (await slow.answer()).status == 408
    for task in dripping:
        task.cancel()


async def test_an_idle_connection_is_closed(start):
    suite = await start(idle_timeout=0.2)
    client = await suite.client()
    assert (await client.get("/api/courses/")).status == 200
    assert await client.closed() == b""


async def test_a_client_that_reads_nothing_is_given_up(start):
    suite = await start(stall_timeout=0.2)
    client = await suite.client()

    async def pour(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(1024):
            writer.write(b"x" * 65_536)
            await writer.drain()

    suite.upstreams["catalog"].handler = pour
    client.writer.transport.pause_reading()
    client.send(f"GET /api/core/media/{COURSE}/download/ HTTP/1.1\r\nHost: x\r\n{bearer()}\r\n")
    await eventually(lambda: suite.gateway.metrics.in_flight == 1)
    await eventually(lambda: suite.gateway.metrics.in_flight == 0)
    assert not suite.gateway.clients
