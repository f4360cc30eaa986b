import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import Server, start_valkey
from gateway.tests.catalogue import fresh
from gateway.tests.harness import Client, Suite, Upstream
from gateway.tests.rooms import Room

Starter = Callable[..., Awaitable[Suite]]


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    """Starts a gateway with catalog and learning behind it; `settings` shorten its patience."""
    suites: list[Suite] = []

    async def begin(services: tuple[str, ...] = ("catalog", "learning"), **settings: Any) -> Suite:
        upstreams = {service: Upstream() for service in services}
        for upstream in upstreams.values():
            await upstream.start()
        suite = Suite(upstreams, **settings)
        await suite.start()
        suites.append(suite)
        return suite

    yield begin
    for suite in suites:
        await suite.stop()
        for upstream in suite.upstreams.values():
            await upstream.stop()


@pytest.fixture
async def suite(start: Starter) -> Suite:
    return await start()


@pytest.fixture
async def client(suite: Suite) -> Client:
    return await suite.client()


@pytest.fixture
def catalog(suite: Suite) -> Upstream:
    return suite.upstreams["catalog"]


@pytest.fixture
def learning(suite: Suite) -> Upstream:
    return suite.upstreams["learning"]


@pytest.fixture
async def begin() -> AsyncIterator[Starter]:
    """Starts a gateway with rooms for WebSockets as its forum."""
    suites = []

    async def start_one(**settings) -> Suite:
        forum = Room()
        await forum.start()
        suite = Suite({"forum": forum}, **settings)
        await suite.start()
        suites.append(suite)
        return suite

    yield start_one
    for suite in suites:
        await suite.stop()
        await suite.upstreams["forum"].stop()


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Server]:
    """A Valkey of the test's own, to be killed."""
    server = await asyncio.to_thread(start_valkey, tmp_path, durable=False)
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def kept(start: Starter) -> Suite:
    """A gateway whose tail is up to date."""
    return await fresh(await start())
