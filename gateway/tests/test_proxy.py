"""A request's way through: bodies, connections, failures."""

import asyncio
import json
import re
import time

import httpx
import psutil
import pytest

from gateway.tests.harness import COURSE, bearer, token
from libs.common.testing.harness import eventually


async def test_request_and_answer_pass_in_canonical_form(client, catalog):
    answer = await client.get("/api/courses/courses?search=x%20y&page=2", "Accept: application/json\r\n")
    assert (answer.status, answer.body) == (200, b"GET /api/courses/?search=x%20y&page=2 HTTP/1.1")
    seen = catalog.seen[0]
    assert seen.get("accept") == "application/json"
    assert seen.get("host") == "school.example"
    assert answer.get("server") is None


async def test_connections_are_kept_on_both_sides(client, catalog):
    for _ in range(5):
        assert (await client.get("/api/courses/")).status == 200
    assert catalog.connections == 1


async def test_the_token_is_forwarded_unchanged(client, learning):
    value = token()
    assert (await client.get("/api/enrollments/", bearer(value))).status == 200
    assert learning.seen[0].get("authorization") == f"Bearer {value}"


async def test_pipelined_requests_are_answered_in_order(suite, client):
    client.send(
        "".join(f"GET /api/courses/?n={number} HTTP/1.1\r\nHost: x\r\n\r\n" for number in range(20))
        + "POST /api/accounts/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        + "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    for number in range(20):
        assert f"?n={number} ".encode() in (await client.answer()).body
    assert (await client.answer()).status == 503
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_stream_both_ways_before_they_are_whole(suite, client, learning, chunked):
    learning.read_body = False

    async def talk(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            if chunked:
                size = int(await reader.readuntil(b"\r\n"), 16)
                piece = await reader.readexactly(size)
                await reader.readexactly(2)
            else:
                piece = await reader.readexactly(5)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if chunked:
            assert await reader.readexactly(5) == b"0\r\n\r\n"
        writer.write(b"0\r\n\r\n")

    learning.handler = talk
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 15"
    client.send(f"POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}{framing}\r\n\r\n")
    for number, piece in enumerate((b"one..", b"two..", b"three")):
        client.send(b"5\r\n%b\r\n" % piece if chunked else piece)
        if number == 0:
            assert b"200 OK" in await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readexactly(10) == b"5\r\n%b\r\n" % piece  # back before the next is sent
    if chunked:
        client.send("0\r\n\r\n")
    assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("slow_reader", ["service", "client"])
async def test_a_large_body_passes_with_flat_memory(suite, client, catalog, slow_reader):
    size, piece = 48 * 1024 * 1024, b"x" * 65_536
    process = psutil.Process()
    catalog.read_body = False
    go = asyncio.Event()

    async def swallow(seen, reader, writer):
        await go.wait()
        left = size
        while left:
            left -= len(await reader.read(min(left, 65_536)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async def pour(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(piece)):
            writer.write(piece)
            await writer.drain()

    before = process.memory_info().rss
    if slow_reader == "service":
        catalog.handler = swallow
        client.send(f"POST /api/core/media/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: {size}\r\n\r\n")

        async def upload():
            for _ in range(size // len(piece)):
                client.writer.write(piece)
                await client.writer.drain()

        upload_task = asyncio.create_task(upload())
        await eventually(lambda: catalog.seen)
        await asyncio.wait([upload_task], timeout=0.3)
        assert not upload_task.done()  # nobody reads, so nobody may write on
        go.set()
        await upload_task
        assert (await client.answer()).status == 200
    else:
        catalog.handler = pour
        client.send(f"GET /api/core/media/{COURSE}/download/ HTTP/1.1\r\nHost: x\r\n{bearer()}\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        left = size
        while left:
            left -= len(await client.reader.read(min(left, 1 << 20)))
    assert process.memory_info().rss - before < size / 2


async def test_head_has_no_body_and_keeps_the_connection(client, catalog):
    for _ in range(2):
        answer = await client.get("/api/courses/", method="HEAD")
        assert int(answer.get("content-length")) > 0
    assert (await client.get("/api/courses/")).status == 200
    assert catalog.connections == 1


async def test_answers_without_a_body(client, catalog):
    async def not_modified(seen, reader, writer):
        writer.write(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n')

    catalog.handler = not_modified
    for _ in range(2):
        answer = await client.get("/api/courses/", 'If-None-Match: "a"\r\n')
        assert (answer.status, answer.get("etag"), answer.get("transfer-encoding")) == (304, '"a"', None)
    assert catalog.connections == 1


async def test_an_answer_that_ends_with_its_connection_is_framed_anew(client, catalog):
    async def until_close(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
        writer.close()

    catalog.handler = until_close
    for _ in range(2):
        answer = await client.get("/api/courses/")
        assert (answer.body, answer.get("transfer-encoding"), answer.get("connection")) == (
            b"all of it", "chunked", None,
        )  # fmt: skip


async def test_an_answer_cut_short_is_cut_short_for_the_client_too(client, catalog):
    async def cut(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    catalog.handler = cut
    client.send("GET /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not (await client.closed()).endswith(b"0\r\n\r\n")


async def test_interim_answers_are_left_out(client, catalog):
    async def hints(seen, reader, writer):
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await catalog.say_ok(seen, reader, writer)

    catalog.handler = hints
    answer = await client.get("/api/courses/")
    assert (answer.status, answer.get("link")) == (200, None)


async def test_http_1_0_gets_plain_bytes_and_a_close(suite, catalog):
    async def chunks(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    catalog.handler = chunks
    client = await suite.client()
    client.send("GET /api/courses/ HTTP/1.0\r\n\r\n")
    whole = await client.closed()
    assert whole.endswith(b"\r\n\r\nok")
    assert b"Transfer-Encoding" not in whole
    catalog.handler = catalog.say_ok
    client = await suite.client()
    for _ in range(2):
        answer = await client.ask("GET /api/courses/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (answer.status, answer.get("connection")) == (200, "keep-alive")


async def test_expect_100_continue_is_answered_by_the_gateway(client, learning):
    client.send(
        "POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        f"{bearer()}Expect: 100-continue\r\n\r\n"
    )
    assert (await client.answer()).status == 100
    client.send("{}")
    assert (await client.answer()).status == 200
    assert learning.seen[0].get("expect") is None
    assert learning.seen[0].body == b"{}"
    answer = await client.get("/api/courses/", "Expect: wonders\r\n")
    assert answer.status == 417


async def test_a_client_that_expects_hears_of_a_refusal_without_sending(suite, client):
    client.send("POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.get("connection")) == (401, "close")


async def test_a_closed_pooled_connection_is_tried_again_once_for_reads_only(suite, client, learning):
    assert (await client.get("/api/quizzes/", bearer())).status == 200
    drop = learning.handler

    async def die_when_reused(seen, reader, writer):
        if learning.connections == 1:
            writer.transport.abort()
        else:
            await drop(seen, reader, writer)

    learning.handler = die_when_reused
    assert (await client.get("/api/quizzes/", bearer())).status == 200
    assert len(learning.seen) == 3
    assert suite.gateway.metrics.retries == 1

    async def die(seen, reader, writer):
        writer.transport.abort()

    learning.handler = die
    answer = await client.ask(
        f"POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 2\r\n\r\n{{}}"
    )
    assert answer.status == 503
    assert len(learning.seen) == 4  # sent once: it may have been carried out
    answer = await client.get("/api/quizzes/", bearer())
    assert answer.status == 503
    assert len(learning.seen) == 6  # a read once more, and no third time


async def test_a_connection_closed_while_idle_is_not_used(suite, client, catalog):
    assert (await client.get("/api/courses/")).status == 200
    catalog.drop_idle()
    await eventually(lambda: not suite.gateway.pools["catalog"]._idle)
    answer = await client.ask(
        f"POST /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 2\r\n\r\n{{}}"
    )
    assert answer.status == 200
    assert catalog.connections == 2


async def test_idle_upstream_connections_are_closed_before_the_service_would(start):
    suite = await start(upstream_idle=0.1)
    client = await suite.client()
    await client.get("/api/courses/")
    await eventually(lambda: not suite.gateway.pools["catalog"]._all)


async def test_a_dead_service_is_a_503_of_its_own(suite, client, learning):
    learning_is_down = await client.get("/api/core/dashboard/", bearer())
    assert learning_is_down.status == 503
    assert int(learning_is_down.get("retry-after")) >= 1
    body = json.loads(learning_is_down.body)
    assert learning_is_down.get("content-type") == "application/problem+json"
    assert (body["code"], body["status"], body["title"]) == (
        "service_unavailable",
        503,
        "Service Unavailable",
    )
    assert "analytics" in body["detail"]
    assert body["request_id"] == learning_is_down.get("x-request-id")
    assert body["type"]
    assert (await client.get("/api/courses/")).status == 200


async def test_a_dead_service_is_asked_once_a_second_and_then_found_again(start):
    suite = await start(breaker_failures=2, breaker_pause=0.2, connect_timeout=0.2)
    client, learning = await suite.client(), suite.upstreams["learning"]
    await learning.stop()
    for _ in range(2):
        assert (await client.get("/api/quizzes/", bearer())).status == 503
    began = time.monotonic()
    for _ in range(20):
        assert (await client.get("/api/quizzes/", bearer())).status == 503
    assert suite.gateway.metrics.failures["learning"] <= 2 + (time.monotonic() - began) / 0.2
    await learning.start(learning.port)

    async def is_back():
        return (await client.get("/api/quizzes/", bearer())).status == 200

    await eventually(is_back)


async def test_a_service_that_never_answers_is_given_up_and_slows_no_other(start):
    suite = await start(answer_timeout=0.3)
    release = asyncio.Event()

    async def hang(seen, reader, writer):
        await release.wait()

    suite.upstreams["learning"].handler = hang
    slow, quick = await suite.client(), await suite.client()
    slow.send(f"GET /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}\r\n")
    for _ in range(20):
        assert (await quick.get("/api/courses/")).status == 200
    answer = await slow.answer()
    assert answer.status == 503
    assert json.loads(answer.body)["code"] == "service_timeout"
    assert answer.get("retry-after")
    release.set()


async def test_nonsense_from_a_service_is_a_502(client, catalog):
    async def nonsense(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello")

    catalog.handler = nonsense
    assert (await client.get("/api/courses/")).status == 502


async def test_a_client_that_leaves_ends_the_request_upstream(suite, client, catalog):
    gone = asyncio.Event()

    async def wait_for_end(seen, reader, writer):
        try:
            await reader.read()
        finally:
            gone.set()

    catalog.handler = wait_for_end
    client.send("GET /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: catalog.seen)
    client.close()
    async with asyncio.timeout(5):
        await gone.wait()
    await eventually(lambda: suite.gateway.metrics.in_flight == 0)


async def test_ids_are_taken_over_or_made(suite, client, catalog):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await client.get("/api/courses/", f"X-Request-ID: my-id.1\r\ntraceparent: {trace}\r\n")
    seen = catalog.seen[-1]
    assert answer.get("x-request-id") == seen.get("x-request-id") == "my-id.1"
    assert seen.get("traceparent")[:36] == trace[:36]
    assert seen.get("traceparent") != trace
    for bad in ("X-Request-ID: " + "x" * 129, "X-Request-ID: a b", "X-Request-ID: <script>"):
        answer = await client.get(
            "/api/courses/", f"{bad}\r\ntraceparent: {trace[:-2]}zz\r\ntracestate: a=b\r\n"
        )
        seen = catalog.seen[-1]
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.get("x-request-id"))
        assert seen.get("x-request-id") == answer.get("x-request-id")
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", seen.get("traceparent"))
        assert trace[3:35] not in seen.get("traceparent")
        assert seen.get("tracestate") is None
    await suite.call(suite.gateway.access_log.flush)
    lines = [json.loads(line) for line in suite.log.getvalue().splitlines()]
    assert lines[0]["request_id"] == "my-id.1"
    assert lines[0]["trace_id"] == trace[3:35]
    assert (lines[0]["path"], lines[0]["route"], lines[0]["status"]) == (
        "/api/courses/",
        "/api/courses/",
        200,
    )


async def test_httpx_and_the_gateway_understand_each_other(suite):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{suite.port}", trust_env=False) as browser:
        answer = await browser.post(
            "/api/courses", json={"title": "x" * 5000}, headers={"Authorization": f"Bearer {token()}"}
        )
        assert answer.status_code == 200
        assert json.loads(suite.upstreams["catalog"].seen[0].body)["title"] == "x" * 5000
