"""A suite of its own for the fault tests: what they break must not disturb other tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.local.control import down, up
from deploy.local.project import Project
from deploy.local.testing import temporary_directory
from tests.faults.world import World


@pytest.fixture(scope="session")
def fault_project() -> Iterator[Project]:
    with temporary_directory() as directory:
        project = Project.for_tests(directory)
        try:
            up(project)
            yield project
        finally:
            down(project)


@pytest.fixture
async def world(fault_project: Project, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    world = World(fault_project)
    print(f"\n{request.node.name}: seed {world.seed}")
    await world.open()
    yield world
    await world.close()
