from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.tests.harness import Client, Suite, Upstream

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
