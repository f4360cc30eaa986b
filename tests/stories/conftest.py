"""A town of services for each story."""

import pytest

from conftest import OpenHarness
from libs.common.runtime.clock import SettableClock
from tests.stories.town import SERVICES, Town


@pytest.fixture
async def town(open_service: OpenHarness) -> Town:
    clock = SettableClock()
    harnesses = {name: await open_service(name) for name in SERVICES}
    for harness in harnesses.values():
        harness.app.state.clock = clock
    return Town(harnesses, clock)


@pytest.fixture
async def teacher(town: Town):
    return await town.citizen("Grace Hopper", "teacher")
