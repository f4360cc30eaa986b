"""A suite of its own for one proof: people, a course with files, writes whose answers are remembered."""

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.local import seed
from deploy.local.control import down, up
from deploy.local.project import CHECKOUT, Project
from deploy.local.testing import temporary_directory
from libs.common.testing.harness import eventually
from tests.conftest import run_module
from tests.faults.world import World

EXTRA = {"IDENTITY_MAIL_INTERVAL": "1", "GATEWAY_TRUSTED_PROXIES": "127.0.0.1/32"}


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what holds, and how long it took."""
    began = time.monotonic()
    yield
    print(f"ok  {name} ({time.monotonic() - began:.1f} s)", flush=True)


@asynccontextmanager
async def suite(*, seeded: bool = True, **extra: str) -> AsyncIterator["Suite"]:
    """A running suite with the demo course, which ends with the block."""
    with temporary_directory() as directory:
        project = Project.for_tests(directory / "suite", extra={**EXTRA, **extra})
        ours = Suite(project, directory)
        try:
            with step("the suite is up"):
                await ours.up()
                if seeded:
                    await asyncio.to_thread(seed.seed, project)
                await ours.world.open()
            yield ours
        finally:
            await ours.world.close()
            await asyncio.to_thread(down, project)


class Suite:
    """The suite, and what must not be lost of it."""

    def __init__(self, project: Project, directory: Path) -> None:
        self.project = project
        self.directory = directory
        self.world = World(project)

    async def up(self) -> None:
        await asyncio.to_thread(up, self.project)

    async def down(self) -> None:
        await asyncio.to_thread(down, self.project)

    async def lectern(self, *arguments: str, **environment: str) -> str:
        """A command of the operator's; what it printed. Raises AssertionError with its complaint."""
        values = self.operator(**environment)
        return await asyncio.to_thread(run_lectern, values, arguments)

    def operator(self, **values: str) -> dict[str, str]:
        """The environment of an operator of this suite, who knows where it lies and which ports it has."""
        ports = {f"LECTERN_PORT_{name.upper()}": str(port) for name, port in self.project.ports.items()}
        return {**os.environ, **ports, "LECTERN_DIRECTORY": str(self.project.directory), **values}

    async def write(self, count: int = 20) -> None:
        await self.world.write(count)

    async def all_is_well(self) -> None:
        """Published = applied + parked, what was answered is stored, read models are folds of the log."""
        await self.world.healed(60)
        audit = await asyncio.to_thread(run_module, self.project, "libs.common.bus.audit")
        assert audit.returncode == 0, audit.stdout

    async def people_log_in(self) -> None:
        """With the passwords of before."""
        for customer in self.world.customers:
            await eventually(lambda customer=customer: customer.login(), 30)  # type: ignore[misc]

    def files(self) -> dict[str, str]:
        """SHA-256 of every stored object by path."""
        root = self.project.directory / "storage"
        return {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*"))
            if path.is_file() and "#" not in path.name
        }

    async def gateway(self, path: str) -> Any:
        async with httpx.AsyncClient(base_url=self.project.gateway_url) as client:
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            return answer.json()


def run_lectern(values: dict[str, str], arguments: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.cli", *arguments],
        cwd=CHECKOUT,
        env=values,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"lectern {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout
