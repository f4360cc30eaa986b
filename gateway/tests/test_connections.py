"""Caps on connections: who opens too many is told so, and nobody else notices."""

import asyncio
import json

from gateway.tests.harness import SCRAPE, Client, Suite
from gateway.tests.rooms import join
from libs.common.testing.harness import eventually


async def open_from(suite: Suite, address: str) -> Client:
    """A connection from another address of this machine."""
    streams = await asyncio.open_connection("127.0.0.1", suite.port, local_addr=(address, 0))
    suite.clients.append(Client(*streams))
    return suite.clients[-1]


async def refused(client: Client, status: int) -> None:
    client.send("GET /api/courses/ HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await client.answer()
    assert answer.status == status
    assert json.loads(answer.body)["code"] == "too_many_connections"
    assert (answer.get("connection"), int(answer.get("retry-after")) > 0) == ("close", True)
    assert await client.closed() == b""


async def test_one_address_cannot_take_the_connections_of_others(start):
    suite = await start(connections_per_address=3)
    own = [await suite.client() for _ in range(3)]
    for client in own:
        assert (await client.get("/api/courses/")).status == 200
    for _ in range(2):
        await refused(await suite.client(), 429)
    other = await open_from(suite, "127.0.0.2")
    for client in (other, *own):  # those that were there stay
        assert (await client.get("/api/courses/")).status == 200
    own.pop().close()
    await eventually(lambda: suite.gateway.connections.open == 3)
    assert (await (await suite.client()).get("/api/courses/")).status == 200
    text = (await other.get("/metrics", SCRAPE)).body.decode()
    assert "lectern_gateway_connections_refused_total 2.0" in text
    assert "lectern_gateway_clients 4.0" in text


async def test_there_is_a_most_for_all_together(start):
    suite = await start(connections=2)
    own = [await suite.client(), await open_from(suite, "127.0.0.2")]
    for client in own:
        assert (await client.get("/api/courses/")).status == 200
    await refused(await open_from(suite, "127.0.0.3"), 503)
    for client in own:
        assert (await client.get("/api/courses/")).status == 200


async def test_a_flood_of_refused_connections_is_bounded(start, monkeypatch):
    monkeypatch.setattr("gateway.server.MOST_LINGERING", 5)
    suite = await start(connections_per_address=1)
    own = await suite.client()
    assert (await own.get("/api/courses/")).status == 200
    flood = [await suite.client() for _ in range(20)]
    ends = await asyncio.gather(*(client.closed() for client in flood))
    assert sum(b" 429 " in end for end in ends) == 5
    assert (await own.get("/api/courses/")).status == 200
    await eventually(lambda: (suite.gateway.connections.open, suite.gateway.connections.lingering) == (1, 0))


async def test_behind_a_proxy_connections_are_not_told_apart(start):
    suite = await start(connections_per_address=1, connections=3, trusted_proxies=["127.0.0.0/8"])
    for _ in range(3):
        assert (await (await suite.client()).get("/api/courses/")).status == 200
    await refused(await suite.client(), 503)


async def test_a_socket_is_a_connection_to_its_end(begin):
    suite = await begin(connections_per_address=1)
    async with join(suite) as socket:
        await socket.send("hello")
        await socket.recv()
        await refused(await suite.client(), 429)
        assert suite.gateway.connections.open == 1
    await eventually(lambda: suite.gateway.connections.open == 0)
    async with join(suite):
        pass
