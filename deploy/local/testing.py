"""Real servers for the tests, in the order URL → embedded → Docker."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from deploy.local.project import BACKING, KAFKA_LOGIN, SERVER_URLS, SUPERVISOR, Project, free_ports
from deploy.local.servers import Server, start_servers, stop_servers
from libs.common.runtime.settings import SuiteSettings

T = TypeVar("T")
BUCKET = "tests"
TEST_URLS = {name: f"LECTERN_TEST_{name.upper()}_URL" for name in BACKING}


@dataclass
class SuiteServers:
    """URLs: PostgreSQL as superuser on `postgres`; Valkey as the supervisor, without a database number; Kafka
    as host:port."""

    project: Project
    servers: dict[str, Server]

    @property
    def postgres(self) -> str:
        return self.servers["postgres"].url

    @property
    def valkey(self) -> str:
        return self.servers["valkey"].url

    def valkey_of(self, user: str) -> str:
        """Valkey as one of the suite's processes reaches it."""
        return self.project.valkey_url_of(user)

    @property
    def kafka(self) -> str:
        return self.servers["kafka"].url

    def __str__(self) -> str:
        return ", ".join(f"{name} {server.kind}" for name, server in self.servers.items())


@contextlib.contextmanager
def suite_servers(servers: Sequence[str] = BACKING) -> Iterator[SuiteServers]:
    """Starts the servers once, side by side, and ends them with the block or with the process.

    `LECTERN_TEST_POSTGRES_URL`, `_VALKEY_URL` and `_KAFKA_URL` give one of your own instead, the last with
    `LECTERN_TEST_KAFKA_USER`, `_PASSWORD`, `_MECHANISM` and `_TLS`. Data is volatile. Settings that are made
    meanwhile reach Kafka as the supervisor.
    """
    with temporary_directory() as directory:
        # A suite that runs beside the tests must not become their server: only the TEST variables count.
        given = {SERVER_URLS[name]: os.environ.get(TEST_URLS[name], "") for name in BACKING}
        given |= {name: os.environ.get(name.replace("LECTERN", "LECTERN_TEST"), "") for name in KAFKA_LOGIN}
        with _without((*SERVER_URLS.values(), *KAFKA_LOGIN)):
            project = Project.for_tests(directory, extra={name: url for name, url in given.items() if url})
            running = start_servers(project, servers, durable=False)
            os.environ.update(project.kafka_login(SUPERVISOR))
            try:
                yield SuiteServers(project, running)
            finally:
                for name in KAFKA_LOGIN:
                    os.environ.pop(name, None)
                stop_servers(running)


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """S3 of moto with a bucket `BUCKET`, while this is open: the variables by which a client finds it."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                httpx.put(f"{address}/{BUCKET}").raise_for_status()
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
    finally:
        process.kill()
        process.wait()


def kafka_settings(project: Project, user: str = SUPERVISOR) -> SuiteSettings:
    """Settings by which one reaches the project's Kafka as this user."""
    return SuiteSettings.model_validate({"LECTERN_KAFKA": project.kafka, **project.kafka_login(user)})


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
