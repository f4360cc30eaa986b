"""Reads go to their services while Valkey decides about them; nothing else does."""

import asyncio
import os
import signal

import pytest

from gateway.tests.harness import COURSE, bearer
from libs.common.testing.harness import eventually


def read() -> str:
    """A request that does no harm; its token is made now, so that it has not run out."""
    return f"GET /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}\r\n"


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("ending", ["", "Connection: close\r\n"])
async def test_reads_go_ahead_and_their_answers_wait_for_the_limits(start, valkey, size, ending):
    suite = await start(valkey_url=valkey.url, limits_timeout=30.0)
    catalog, client, gone = suite.upstreams["catalog"], await suite.client(), await suite.client()

    async def answer(seen, reader, writer):
        writer.write(f"HTTP/1.1 200 OK\r\n{ending}Content-Length: {size}\r\n\r\n".encode() + b"x" * size)
        if ending:
            writer.close()

    catalog.handler = answer
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        for each in (client, gone):
            each.send(read())
        await eventually(lambda: len(catalog.seen) == 2)
        await (await suite.client()).get("/livez")
        gone.close()
        await eventually(lambda: suite.gateway.metrics.in_flight == 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.reader.read(1)
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    answered = await client.answer()
    assert (answered.status, answered.body) == (200, b"x" * size)
    assert answered.get("ratelimit")
    assert (await client.ask(read())).status == 200


async def test_nothing_that_could_do_harm_goes_ahead(start, valkey):
    suite = await start(valkey_url=valkey.url, limits_timeout=30.0)
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        clients = [await suite.client() for _ in range(3)]
        for client, request in zip(clients, (
            f"POST /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 2\r\n\r\n{{}}",
            f"DELETE /api/courses/{COURSE}/ HTTP/1.1\r\nHost: x\r\n{bearer()}\r\n",
            f"GET /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 2\r\n\r\n",
        ), strict=True):  # fmt: skip
            client.send(request)
        await eventually(lambda: suite.gateway.metrics.in_flight == 3)
        await (await suite.client()).get("/livez")
        assert not suite.upstreams["catalog"].seen
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    clients[2].send("{}")
    assert [(await client.answer()).status for client in clients] == [200] * 3


async def test_a_read_that_went_ahead_and_failed_says_so(start, valkey):
    suite = await start(valkey_url=valkey.url, limits_timeout=30.0)
    catalog, client = suite.upstreams["catalog"], await suite.client()

    async def die(seen, reader, writer):
        writer.transport.abort()

    catalog.handler = die
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        assert (await client.ask(read())).status == 503
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    await eventually(lambda: suite.gateway.limiter.signed_in.known)
    catalog.handler = catalog.say_ok
    assert (await client.ask(read())).status == 200
