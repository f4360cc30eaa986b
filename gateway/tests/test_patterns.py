"""Header lines that come again are recognised; it makes no difference to anybody."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.request import Pattern, Request
from gateway.server import Downstream
from gateway.tests.harness import bearer

BLOCK = b"\r\nHost: x\r\nAccept: */*\r\nX-One: 1\r\n\r\n"


def recognised(suite) -> bool:
    [client] = suite.gateway.clients
    assert isinstance(client, Downstream)
    return client._pattern is not None


async def test_repeated_lines_mean_the_same_on_every_path(suite, client, catalog, learning):
    header = f"{bearer()}Accept: text/html\r\nX-One: 1\r\nOrigin: https://a.example\r\n"
    for number in range(3):
        answer = await client.get(f"/api/courses/?page={number}", header)
        assert (answer.status, answer.get("access-control-allow-origin")) == (200, "https://a.example")
        assert catalog.seen[-1].line == f"GET /api/courses/?page={number} HTTP/1.1"
        assert (await client.get("/api/enrollments/", header)).status == 200
        assert (await client.get("/livez", header)).status == 200
    assert recognised(suite)
    first, *others = [
        [pair for pair in seen.headers if pair[0] not in ("x-request-id", "traceparent")]
        for seen in catalog.seen
    ]
    assert others == [first, first]
    assert len({seen.get("x-request-id") for seen in (*catalog.seen, *learning.seen)}) == 6


async def test_a_route_that_drops_the_token_takes_it_from_no_later_request(start):
    suite = await start(("identity", "learning"))
    client, header = await suite.client(), bearer()
    assert (await client.get("/.well-known/jwks.json", header)).status == 200
    assert suite.upstreams["identity"].seen[0].get("authorization") is None
    for _ in range(2):
        assert (await client.get("/api/enrollments/", header)).status == 200
        assert (await client.get("/.well-known/jwks.json", header)).status == 200
    assert (await client.get("/api/enrollments/")).status == 401  # other lines, other meaning
    assert (await client.get("/api/enrollments/", header)).status == 200


async def test_a_trace_that_was_left_out_once_is_not_left_out_of_others(client, catalog):
    for trace, state in (("00-bad", None), (f"00-{'1' * 32}-{'2' * 16}-01", "a=b"), ("00-bad", None)):
        await client.get("/api/courses/", f"tracestate: a=b\r\ntraceparent: {trace}\r\n")
        assert catalog.seen[-1].get("tracestate") == state


async def test_limits_and_refusals_hold_for_recognised_requests(start):
    suite = await start(url_limit=100)
    client = await suite.client()
    assert (await client.get("/api/courses/")).status == 200
    assert (await client.get("/api/courses/?q=" + "x" * 50)).status == 200
    assert (await client.get("/api/../x")).status == 400
    answer = await client.get("/api/courses/?q=" + "x" * 100)
    assert (answer.status, json.loads(answer.body)["code"]) == (414, "url_too_long")


async def test_recognised_parsed_and_pipelined_requests_take_turns(client, catalog):
    get = "GET /api/courses/?n={} HTTP/1.1\r\nHost: x\r\n\r\n"
    for start in range(0, 9, 3):
        client.send(get.format(start))
        assert f"n={start} ".encode() in (await client.answer()).body
        client.send(get.format(start + 1) + get.format(start + 2))
        for number in (start + 1, start + 2):
            assert f"n={number} ".encode() in (await client.answer()).body
        client.send(get.format("half")[:20])
        await client.writer.drain()
        client.send(get.format("half")[20:])
        assert b"n=half " in (await client.answer()).body
        answer = await client.get("/api/courses/", method="HEAD")
        assert answer.status == 200


def a_pattern() -> Pattern:
    request = Request()
    request.method, request.host, request.complete = b"GET", b"x", True
    pattern = Pattern.of(b"GET /first" + BLOCK, request)
    assert pattern is not None
    return pattern


@pytest.mark.parametrize(
    "data",
    [
        b"POST /x HTTP/1.1" + BLOCK, b"GET /x HTTP/1.0" + BLOCK, b"GET  /x HTTP/1.1" + BLOCK,
        b"GET /x y HTTP/1.1" + BLOCK, b"GET http://e/ HTTP/1.1" + BLOCK, b"GET * HTTP/1.1" + BLOCK,
        b"get /x HTTP/1.1" + BLOCK, b"GET /x HTTP/1.1" + BLOCK + b"G", b"GET /x HTTP/1.1\r\nX-Two: 2" + BLOCK,
        b"GET /x\x00 HTTP/1.1" + BLOCK, b"GET /x\n HTTP/1.1" + BLOCK, b'GET /"x" HTTP/1.1' + BLOCK,
        b"GET /x#y HTTP/1.1" + BLOCK, b"\r\nGET /x HTTP/1.1" + BLOCK, BLOCK, b"",
        b"GET /\xff HTTP/1.1" + BLOCK, b"GET /" + b"x" * 2001 + b" HTTP/1.1" + BLOCK,
        (b"GET /x HTTP/1.1" + BLOCK) * 2,
    ],
)  # fmt: skip
def test_anything_unusual_is_left_to_the_parser(data):
    assert a_pattern().again(data) is None


@pytest.mark.parametrize(
    "changed",
    [{"method": b"HEAD"}, {"complete": False}, {"length": 0}, {"chunked": True}, {"upgrade": b"h2c"},
     {"expect": b"100-continue"}, {"connection": b"keep-alive"}, {"http10": True}, {"keep_alive": False},
     {"request_id": b"a"}, {"traceparent": b"a"}, {"preflight": True}],
)  # fmt: skip
def test_only_ordinary_requests_are_remembered(changed):
    request = Request()
    request.method, request.host, request.complete = b"GET", b"x", True
    for name, value in changed.items():
        setattr(request, name, value)
    assert Pattern.of(b"GET /first" + BLOCK, request) is None


@given(st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=255), max_size=40))
def test_what_is_recognised_is_one_path_and_nothing_else(text):
    target = b"/" + text.encode("latin-1")
    found = a_pattern().again(b"GET " + target + b" HTTP/1.1" + BLOCK)
    if found is not None:
        assert found.target == target
        assert not set(target) & set(b' \t\r\n\x00"#<>\\^`{|}\x7f')
        assert target.isascii()
