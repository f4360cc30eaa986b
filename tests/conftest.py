"""The real suite, started once for the tests that drive it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from deploy.local.control import down, up
from deploy.local.project import CHECKOUT, Project, environment
from deploy.local.testing import temporary_directory
from tests.support import PASSWORD, Stage, Visitor


def run_module(
    project: Project, module: str, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the suite, as `lectern` does, against this project."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=CHECKOUT,
        env=env or environment(project),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="session")
def project() -> Iterator[Project]:
    """Seven services, gateway, workers, PostgreSQL, Valkey, Kafka and mail, on free ports."""
    with temporary_directory() as directory:
        # Tests say in X-Forwarded-For where they come from.
        extra = {"IDENTITY_MAIL_INTERVAL": "1", "GATEWAY_TRUSTED_PROXIES": "127.0.0.1/32"}
        project = Project.for_tests(directory, extra=extra)
        try:
            up(project)
            yield project
        finally:
            down(project)


@pytest.fixture
async def stage(project: Project) -> AsyncIterator[Stage]:
    stage = Stage(project, uuid4().hex[:8])
    yield stage
    await stage.close()


@pytest.fixture
async def admin(stage: Stage) -> Visitor:
    """The first admin, made on the command line."""
    visitor = stage.visitor("admin")
    made = await asyncio.to_thread(
        run_module, stage.project, "services.identity.admin", "create",
        "--email", visitor.email, "--password", PASSWORD,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return await visitor.login()
