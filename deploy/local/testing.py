"""Real servers for the tests, in the order URL → embedded → Docker."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from deploy.local.project import BACKING, SERVER_URLS, Project
from deploy.local.servers import Server, start_servers, stop_servers

T = TypeVar("T")
TEST_URLS = {name: f"LECTERN_TEST_{name.upper()}_URL" for name in BACKING}


@dataclass
class SuiteServers:
    """URLs: PostgreSQL as superuser on `postgres`; Valkey without a database number; Kafka as host:port."""

    project: Project
    servers: dict[str, Server]

    @property
    def postgres(self) -> str:
        return self.servers["postgres"].url

    @property
    def valkey(self) -> str:
        return self.servers["valkey"].url

    @property
    def kafka(self) -> str:
        return self.servers["kafka"].url

    def __str__(self) -> str:
        return ", ".join(f"{name} {server.kind}" for name, server in self.servers.items())


@contextlib.contextmanager
def suite_servers(servers: Sequence[str] = BACKING) -> Iterator[SuiteServers]:
    """Starts the servers once, side by side, and ends them with the block or with the process.

    `LECTERN_TEST_POSTGRES_URL`, `_VALKEY_URL` and `_KAFKA_URL` give one of your own instead.
    Data is volatile.
    """
    with temporary_directory() as directory:
        # A suite that runs beside the tests must not become their server: only the TEST variables count.
        given = {SERVER_URLS[name]: os.environ.get(TEST_URLS[name], "") for name in BACKING}
        with _without(SERVER_URLS.values()):
            project = Project.for_tests(directory, extra={name: url for name, url in given.items() if url})
            running = start_servers(project, servers, durable=False)
        suite = SuiteServers(project, running)
        try:
            yield suite
        finally:
            stop_servers(running)


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Short, removed afterwards, and passable by the unprivileged user that PostgreSQL runs as."""
    directory = Path(tempfile.mkdtemp(prefix="lectern-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        # With errors ignored: a process that is just ending may still remove a file of its own.
        shutil.rmtree(directory, ignore_errors=True)


def until(probe: Callable[[], T], timeout: float = 20) -> T:
    """The first truthy value of `probe`, asked again and again; an AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; last seen: {value!r}")
        time.sleep(0.02)


@contextlib.contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in tuple(names) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
