"""What a hostile or careless client may not do: smuggle, spoof, flood, dawdle."""

import asyncio
import json

import pytest

from gateway.tests.harness import COURSE, bearer, eventually

GET = "GET /api/courses/ HTTP/1.1\r\nHost: x\r\n"
POST = "POST /api/certificates/x/verify/ HTTP/1.1\r\nHost: x\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"


async def test_headers_that_speak_for_the_gateway_are_dropped_or_set_anew(client, catalog):
    await client.get(
        "/api/courses/",
        "X-User-Id: 1\r\nx-user-role: admin\r\nX_User_Id: 1\r\nX_Forwarded_For: 1.1.1.1\r\n"
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil\r\nTE: trailers\r\n"
        "X-Forwarded-User: a\r\nForwarded: for=1.1.1.1\r\nProxy-Authorization: a\r\nKeep-Alive: 5\r\n"
        "X-Real-IP: 1.1.1.1\r\nX-Fine: yes\r\n",
    )
    seen = catalog.seen[0]
    names = [name for name, _ in seen.headers]
    assert [
        name for name in names if "user" in name or "_" in name or name in ("forwarded", "x-real-ip")
    ] == []
    assert seen.get("x-forwarded-for") == "127.0.0.1"
    assert seen.get("x-forwarded-proto") == "http"
    assert seen.get("x-forwarded-host") == "school.example"
    for name in ("proxy-authorization", "te", "keep-alive", "connection"):
        assert seen.get(name) is None
    assert seen.get("x-fine") == "yes"


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


SMUGGLED = "GET /api/courses/smuggled/ HTTP/1.1\r\nHost: x\r\n\r\n"
CORPUS = {
    "length and chunked": f"{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": f"{POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "two equal lengths": f"{POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "list of lengths": f"{POST}Content-Length: 5, 5\r\n\r\nhello",
    "signed length": f"{POST}Content-Length: +5\r\n\r\nhello",
    "negative length": f"{POST}Content-Length: -5\r\n\r\nhello",
    "hex length": f"{POST}Content-Length: 0x5\r\n\r\nhello",
    "empty length": f"{POST}Content-Length: \r\n\r\nhello",
    "huge length": f"{POST}Content-Length: 99999999999999999999999\r\n\r\nhello",
    "space in length": f"{POST}Content-Length: 1 0\r\n\r\nhello",
    "obs-fold": f"{GET}X-A: 1\r\n 2\r\n\r\n",
    "tab obs-fold": f"{GET}X-A: 1\r\n\t2\r\n\r\n",
    "folded first line": f"GET /api/courses/ HTTP/1.1\r\n Host: x\r\n\r\n{SMUGGLED}",
    "bare LF": "GET /api/courses/ HTTP/1.1\nHost: x\n\n",
    "bare LF in header": f"{GET}X-A: 1\nX-B: 2\r\n\r\n",
    "bare LF at the end": f"{GET}X-A: 1\r\n\n{SMUGGLED}",
    "bare CR": f"{GET}X-A: 1\rX-B: 2\r\n\r\n",
    "NUL in value": f"{GET}X-A: 1\x002\r\n\r\n",
    "NUL in name": f"{GET}X-\x00A: 1\r\n\r\n",
    "DEL in value": f"{GET}X-A: 1\x7f2\r\n\r\n",
    "control in value": f"{GET}X-A: 1\x012\r\n\r\n",
    "space before colon": f"{POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "space in name": f"{GET}X A: 1\r\n\r\n",
    "empty name": f"{GET}: 1\r\n\r\n",
    "no colon": f"{GET}X-A\r\n\r\n",
    "xchunked": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": f"{POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two lines": f"{POST}{CHUNKED}{CHUNKED}\r\n0\r\n\r\n",
    "chunked, identity": f"{POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": f"{POST}Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    "vertical tab": f"{POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": "POST /api/accounts/x/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "signed chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "0x chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "huge chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk without its end": f"{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
    "LF in chunk": f"{POST}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "no host": "GET /api/courses/ HTTP/1.1\r\n\r\n",
    "two hosts": f"{GET}Host: y\r\n\r\n",
    "bad host": "GET /api/courses/ HTTP/1.1\r\nHost: a/b@c\r\n\r\n",
    "host with a space": "GET /api/courses/ HTTP/1.1\r\nHost: a b\r\n\r\n",
    "garbage": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": "GET /api/courses/\r\n\r\n",
    "version 1.2": "GET /api/courses/ HTTP/1.2\r\nHost: x\r\n\r\n",
    "lower case method": "get /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "space in target": "GET /api/courses/ x HTTP/1.1\r\nHost: x\r\n\r\n",
    "upgrade with a body": f"{POST}Connection: Upgrade\r\nUpgrade: a\r\nContent-Length: 52\r\n\r\n{SMUGGLED}",
}


@pytest.mark.parametrize("name", CORPUS)
async def test_requests_that_can_be_read_in_two_ways_are_refused_and_the_connection_closed(suite, name):
    client = await suite.client()
    client.send(CORPUS[name])
    answer = await client.answer()
    assert answer.status in (400, 501, 505)
    assert json.loads(answer.body)["status"] == answer.status
    assert answer.get("connection") == "close"
    assert b"HTTP/1.1" not in await client.closed()
    assert not any("smuggled" in seen.line for seen in suite.upstreams["catalog"].seen)
    assert await eventually(lambda: suite.gateway.metrics.in_flight == 0)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PROPFIND", "PURGE"])
async def test_other_methods_are_not_served(client, method):
    client.send(f"{method} /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await client.answer()).status in (400, 501)
    await client.closed()


async def test_what_follows_a_malformed_request_is_not_answered_but_what_came_before_is(client):
    client.send(f"{GET}\r\n{GET}X A: 1\r\n\r\n{GET}\r\n")
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 400
    assert await client.closed() == b""


async def test_an_upgrade_that_nobody_offers_is_ignored(client):
    client.send(
        f"{GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n{GET}\r\n"
    )
    for _ in range(2):
        assert (await client.answer()).status == 200


async def test_an_empty_header_value_does_not_swallow_the_next_name(client, catalog):
    await client.get("/api/courses/", "X-Empty:\r\nX-Next: 1\r\n")
    assert (catalog.seen[0].get("x-empty"), catalog.seen[0].get("x-next")) == ("", "1")


async def test_a_header_in_single_bytes_reads_as_one(client, catalog):
    for byte in f"{GET}X-Slow: value\r\n\r\n":
        client.send(byte)
        await client.writer.drain()
        await asyncio.sleep(0)
    assert (await client.answer()).status == 200
    assert catalog.seen[0].get("x-slow") == "value"


async def test_bodies_are_framed_anew(client, learning):
    client.send(
        f"POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}Transfer-Encoding: Chunked\r\n\r\n"
        "5;ext=1\r\nhello\r\n06\r\n world\r\n0\r\nX-User-Id: 1\r\nX-Trailer: 1\r\n\r\n"
    )
    assert (await client.answer()).status == 200
    assert learning.seen[0].body == b"hello world"
    assert learning.seen[0].get("transfer-encoding") == "chunked"
    assert learning.seen[0].get("x-trailer") is None
    assert (await client.get("/api/courses/")).status == 200


async def test_paths_that_can_be_read_in_two_ways_are_a_400(client):
    for path in ("/api/courses/../accounts/", "/media/catalog/..%2f..%2fetc", "/api//courses/"):
        answer = await client.get(path)
        assert (answer.status, json.loads(answer.body)["code"]) == (400, "malformed_path")
    assert (await client.get("/nothing/")).status == 404


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


async def test_a_silent_body_is_a_408(start):
    suite = await start(body_timeout=0.2)
    client = await suite.client()
    catalog = suite.upstreams["catalog"]
    client = await suite.client()
    client.send(f"POST /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 10\r\n\r\nhell")
    assert (await client.answer()).status == 408
    assert await client.closed() == b""
    assert len(catalog.seen) == 1


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
