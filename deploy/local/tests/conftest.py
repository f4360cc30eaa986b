import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import control
from deploy.local.project import Project
from deploy.local.servers import Server, start_servers, stop_servers
from deploy.local.testing import temporary_directory


@pytest.fixture(scope="session")
def private_directory() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def postgres(private_directory: Path) -> Iterator[Server]:
    """A PostgreSQL of this package's own: its tests stop it and count its roles."""
    project = Project.for_tests(private_directory / "postgres-only")
    servers = start_servers(project, ("postgres",), durable=False)
    yield servers["postgres"]
    stop_servers(servers)


@pytest.fixture
def new_project() -> Iterator[Callable[..., Project]]:
    """Makes private projects and ends whatever of them runs after the test."""
    with contextlib.ExitStack() as stack:

        def make(**changes: object) -> Project:
            directory = stack.enter_context(temporary_directory())
            values = {"services": (), "with_gateway": False, "with_workers": False, **changes}
            project = Project.for_tests(directory / "suite", **values)
            stack.callback(control.down, project)
            return project

        yield make
