"""Messages that two servers could read differently: none of them gets past the gateway."""

import asyncio
import json

import pytest

from gateway.tests.harness import bearer
from libs.common.testing.harness import eventually

GET = "GET /api/courses/ HTTP/1.1\r\nHost: x\r\n"
POST = "POST /api/certificates/x/verify/ HTTP/1.1\r\nHost: x\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
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
    "spaces around a chunk size": f"{POST}{CHUNKED}\r\n5 \r\nhello\r\n0\r\n\r\n",
    "tab before a chunk size": f"{POST}{CHUNKED}\r\n\t5\r\nhello\r\n0\r\n\r\n",
    "underscore in a chunk size": f"{POST}{CHUNKED}\r\n0_5\r\nhello\r\n0\r\n\r\n",
    "LF in a chunk extension": f"{POST}{CHUNKED}\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
    "NUL in a chunk extension": f"{POST}{CHUNKED}\r\n5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "LF after a chunk": f"{POST}{CHUNKED}\r\n5\r\nhello\n0\r\n\r\n",
    "LF after the last chunk": f"{POST}{CHUNKED}\r\n5\r\nhello\r\n0\n\n{SMUGGLED}",
    "folded trailer": f"{POST}{CHUNKED}\r\n0\r\nX-A: 1\r\n 2\r\n\r\n",
    "chunked, by a tab": f"{POST}Transfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n",
    "quoted chunked": f'{POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked with a parameter": f"{POST}Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "empty encoding": f"{POST}Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
    "gzip, chunked": f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "length by another name": f"{POST}Content-Length : 5\r\n\r\nhello",
    "length after a NUL": f"{POST}Content-Length: \x005\r\n\r\nhello",
    "length that is not ASCII": f"{POST}Content-Length: \xb2\r\n\r\nhe",
    "CR in the target": "GET /api/courses/\r HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the target": "GET /api/courses/\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "tab in the target": "GET /api/courses/\tx HTTP/1.1\r\nHost: x\r\n\r\n",
    "header before the first line": "Host: x\r\nGET /api/courses/ HTTP/1.1\r\n\r\n",
    "space before the method": " GET /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "authority as target": "GET evil.example:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "length in a trailer": f"{POST}{CHUNKED}\r\n0\r\nContent-Length: 99\r\n\r\n",
    "encoding in a trailer": f"{POST}{CHUNKED}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "space after the version": "GET /api/courses/ HTTP/1.1 \r\nHost: x\r\n\r\n",
    "HTTP/1.10": "GET /api/courses/ HTTP/1.10\r\nHost: x\r\n\r\n",
    "HTTP/0.9": "GET /api/courses/ HTTP/0.9\r\nHost: x\r\n\r\n",
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


@pytest.mark.promise("gateway")
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
    answer = await client.answer()
    assert (answer.status, "GET, HEAD" in (answer.get("allow") or "")) in ((405, True), (400, False))
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


@pytest.mark.promise("gateway")
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


@pytest.mark.promise("gateway")
async def test_chunk_extensions_and_trailers_end_at_the_gateway(client, learning):
    for extension in (";a", ";a=b;c", ';a="b c"', ";a=" + "x" * 1000):
        client.send(
            f"POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}{CHUNKED}\r\n"
            f"5{extension}\r\nhello\r\n0{extension}\r\nX-User-Id: 1\r\nHost: y\r\n\r\n"
        )
        assert (await client.answer()).status == 200
        seen = learning.seen[-1]
        assert seen.body == b"hello"
        assert (seen.get("content-length"), seen.get("transfer-encoding")) == (None, "chunked")
        assert (seen.get("host"), seen.get("x-user-id")) == ("x", None)


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_framing_that_is_named_in_connection_stays_framing(client, learning, framing):
    """Dropped like other headers named there, it would leave the body to be read as a request."""
    body = "hello" if framing.startswith("Content") else "5\r\nhello\r\n0\r\n\r\n"
    client.send(
        f"POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}{framing}\r\n"
        f"Connection: Content-Length, Transfer-Encoding, Host\r\n\r\n{body}"
    )
    assert (await client.answer()).status == 200
    [seen] = learning.seen
    assert (seen.body, seen.get("host")) == (b"hello", "x")
    assert seen.get(framing.split(":")[0]) == framing.split(": ")[1]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://evil.example/api/courses/", 400), ("https://x/", 400), ("*", 400),
        ("//evil.example/api/courses/", 400), ("/api/courses/%2e%2e/accounts/", 400),
        ("/api%2fcourses/", 400), ("/api/courses/%5c..%5c", 400), ("/api/courses/%00", 400),
        ("/api/courses#/../accounts", 400), ("/api/courses/#x", 404), ("/API/courses/", 404),
        ("/api/courses/?next=//evil.example/%2f..%2f", 200),
    ],
)  # fmt: skip
async def test_targets_mean_one_thing_or_nothing(client, catalog, target, status):
    for method in ("GET", "OPTIONS") if target == "*" else ("GET",):
        answer = await client.ask(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.status == status
    assert len(catalog.seen) == (status == 200)
    assert (await client.get("/livez")).status == 200  # well-formed, so the connection lives


NONSENSE = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "folded": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 5\r\n\r\nhello",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "no version": b"200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "NUL": b"HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 5\r\n\r\nhello",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_answers_that_can_be_read_in_two_ways_are_not_passed_on(suite, name):
    catalog, client = suite.upstreams["catalog"], await suite.client()

    async def nonsense(seen, reader, writer):
        writer.write(NONSENSE[name])

    catalog.handler = nonsense
    client.send(f"{GET}\r\n")
    try:
        answer = await client.answer()
    except (asyncio.IncompleteReadError, ConnectionError):
        return  # cut off, where it showed too late
    assert answer.status == 502
    catalog.handler = catalog.say_ok
    assert (await (await suite.client()).get("/api/courses/")).status == 200


@pytest.mark.promise("gateway")
async def test_paths_that_can_be_read_in_two_ways_are_a_400(client):
    for path in ("/api/courses/../accounts/", "/media/catalog/..%2f..%2fetc", "/api//courses/"):
        answer = await client.get(path)
        assert (answer.status, json.loads(answer.body)["code"]) == (400, "malformed_path")
    assert (await client.get("/nothing/")).status == 404
