"""Own endpoints, a graceful stop, and the gateway as a real process."""

import asyncio
import json
import os
import signal
import socket
import sys

from gateway.metrics import Metrics
from gateway.tests.harness import KEY, SCRAPE, Upstream, bearer
from libs.common.testing.harness import eventually


async def test_liveness_readiness_and_metrics(client):
    await client.get("/api/courses/courses/")
    await client.get("/api/enrollments/")
    for path in ("/livez", "/readyz", "/readyz/"):
        answer = await client.get(path)
        assert (answer.status, json.loads(answer.body)["status"]) == (200, "ok")
    text = (await client.get("/metrics", SCRAPE)).body.decode()
    assert 'lectern_gateway_request_seconds_count{route="/api/courses/",status="2xx"} 1.0' in text
    assert 'route="/api/enrollments/**",status="4xx"' in text
    assert "lectern_gateway_clients 1.0" in text
    assert (await client.get("/livez", method="DELETE")).status == 405


async def test_a_gateway_without_keys_is_not_ready(suite, client):
    await suite.call(suite.gateway.keys.replace, {"keys": []})
    assert (await client.get("/readyz")).status == 503
    assert (await client.get("/livez")).status == 200


async def test_status_asks_every_service(client, catalog, learning):
    async def unready(seen, reader, writer):
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}")

    learning.handler = unready
    for _ in range(3):
        answer = await client.get("/api/status/")
    state = json.loads(answer.body)
    assert (answer.status, state["status"]) == (200, "degraded")
    assert (state["services"]["catalog"], state["services"]["learning"]) == ("ok", "unavailable")
    assert state["services"]["notify"] == "down"
    assert [seen.line for seen in catalog.seen] == ["GET /readyz HTTP/1.1"]  # remembered for a second


async def test_a_stop_finishes_what_is_under_way(start):
    suite = await start(drain_grace=0.2)
    release, began = asyncio.Event(), asyncio.Event()
    catalog = suite.upstreams["catalog"]

    async def slow(seen, reader, writer):
        began.set()
        await release.wait()
        await catalog.say_ok(seen, reader, writer)

    catalog.handler = slow
    busy, idle = await suite.client(), await suite.client()
    assert (await idle.get("/livez")).status == 200
    busy.send("GET /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n")
    await began.wait()
    stopping = asyncio.create_task(suite.run(suite.gateway.stop()))
    await eventually(lambda: suite.gateway.draining)
    answer = await idle.get("/livez")  # was on its way already, as it were
    assert (answer.status, answer.get("connection")) == (200, "close")
    await eventually(refuses(suite.port))
    assert not stopping.done()
    release.set()
    answer = await busy.answer()
    assert (answer.status, answer.get("connection")) == (200, "close")
    async with asyncio.timeout(5):
        await stopping


def refuses(port: int):
    def probe() -> bool:
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", port)) != 0

    return probe


async def test_a_stop_does_not_wait_for_ever(start):
    suite = await start(stop_timeout=0.3)

    async def hang(seen, reader, writer):
        await reader.read()

    suite.upstreams["catalog"].handler = hang
    client = await suite.client()
    client.send("GET /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: suite.upstreams["catalog"].seen)
    async with asyncio.timeout(5):
        await suite.run(suite.gateway.stop())
    await client.closed()


async def test_the_process_serves_without_kafka_and_ends_on_sigterm():
    catalog, port = Upstream(), free_port()
    await catalog.start()

    async def keys(seen, reader, writer):
        body = json.dumps({"keys": [KEY.public_jwk()]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    identity = Upstream()
    identity.handler = keys
    await identity.start()
    environment = {
        **os.environ, "GATEWAY_PORT": str(port), "GATEWAY_CATALOG_URL": f"http://127.0.0.1:{catalog.port}",
        "LECTERN_JWKS_URL": f"http://127.0.0.1:{identity.port}/", "LECTERN_KAFKA": "127.0.0.1:1",
        "GATEWAY_START_PATIENCE": "0.2", "LECTERN_LOG_FORMAT": "json", "GATEWAY_DRAIN_GRACE": "0.1",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:

        async def answers() -> bool:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return False
            writer.write(
                f"GET /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Connection: close\r\n\r\n".encode()
            )
            text = await reader.read()
            writer.close()
            return b" 200 OK" in text

        await eventually(answers, timeout=20)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(12):
            _, log = await process.communicate()
        assert process.returncode == 0
        lines = [json.loads(line) for line in log.splitlines()]
        assert any(line["event"] == "request" and line["status"] == 200 for line in lines)
        assert not [line for line in lines if line["level"] == "error" and line.get("logger") != "aiokafka"]
    finally:
        if process.returncode is None:
            process.kill()
        await catalog.stop()
        await identity.stop()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_durations_fall_into_their_buckets():
    metrics = Metrics()
    for seconds in (0.0005, 0.001, 0.3, 99.0):
        metrics.observe("/x/", 200, seconds)
    text = metrics.render().decode()
    line = next(line for line in text.splitlines() if 'le="0.001"' in line)
    assert line.endswith(" 2.0")
    assert 'lectern_gateway_request_seconds_count{route="/x/",status="2xx"} 4.0' in text
    assert text.count("+Inf") == 1
