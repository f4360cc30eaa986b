"""A world of people and things in the running suite, for the tests of this directory."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from deploy.local.project import Project
from tests.security import world as things
from tests.security.world import World
from tests.support import Stage


@pytest.fixture(scope="session")
async def world(project: Project) -> AsyncIterator[World]:
    stage = Stage(project, uuid4().hex[:8])
    world = await World.make(stage)
    await world.once(things.seat)
    await world.once(things.platform_forum)
    yield world
    await stage.close()
