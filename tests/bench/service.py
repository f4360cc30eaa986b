"""One service in a process of its own, on a migrated database, and pgbench beside it."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any
from uuid import UUID

import httpx
import psutil
import uvicorn

from deploy.local.database import bootstrap_database, service_url
from libs.common.data.migrations import upgrade
from libs.common.security.tokens import KeySet
from libs.common.service.serve import freeze_memory, uvicorn_config
from libs.common.testing.harness import TEST_KEY, CollectedQueue, access_token, eventually

CONNECTIONS, SECONDS = 8, 6


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    name: str
    database: str
    """URL as its own role."""
    port: int
    process: psutil.Process
    tokens: dict[str, str]
    """Access tokens by `role:uuid`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def migrated(postgres: str, name: str) -> str:
    """URL of the service's empty schema, made on this server."""
    bootstrap_database(postgres, services=[name])
    url = service_url(postgres, name)
    os.environ[f"{name.upper()}_DATABASE_URL"] = url
    upgrade(name)
    return url


@contextlib.asynccontextmanager
async def running(name: str, url: str, directory: str, people: Sequence[str]) -> AsyncIterator[Running]:
    """Start it with one worker; `people` are `role:uuid`, each gets a token that it trusts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        f"{name.upper()}_DATABASE_URL": url,
        "LECTERN_STORAGE_URL": f"file:{directory}",
        "LECTERN_ENVIRONMENT": "test",
        "TMPDIR": directory,
    }
    command = [sys.executable, "-m", "tests.bench.service", name, str(port)]
    pipes: dict[str, Any] = {"stdin": PIPE, "stdout": PIPE, "stderr": DEVNULL, "text": True}
    with await asyncio.to_thread(subprocess.Popen, command, env=environment, **pipes) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n".join(people) + "\n\n")
            process.stdin.flush()
            tokens = {person: process.stdout.readline().strip() for person in people}
            service = Running(name, url, port, psutil.Process(process.pid), tokens)
            async with httpx.AsyncClient(base_url=service.url) as http:

                async def up() -> bool:
                    with contextlib.suppress(httpx.TransportError):
                        return (await http.get("/livez")).status_code == 200
                    return False

                await eventually(up, 30)
            yield service
        finally:
            process.terminate()


def serve(name: str, port: int) -> None:
    """What the process of the service does: it says tokens that it trusts, then answers."""
    settings = import_module(f"services.{name}.settings").Settings()
    for line in iter(sys.stdin.readline, "\n"):
        role, _, user = line.strip().partition(":")
        print(access_token(settings, UUID(user), role), flush=True)
    app = import_module(f"services.{name}.app").make_app(
        settings, keys=KeySet.static([TEST_KEY]), queue=CollectedQueue()
    )
    freeze_memory()
    uvicorn.Server(uvicorn_config(app, "127.0.0.1", port)).run()


async def asked(port: int, requests: Sequence[bytes]) -> None:
    """Ask one after the other on one connection, without a client library's cost; each must succeed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None, head
        body = await reader.readexactly(int(length[1]))
        assert head.startswith(b"HTTP/1.1 2"), head + body
    writer.close()


def pgbench(url: str, schema: str, script: Path, *options: str) -> float:
    """Transactions per second of a script, prepared."""
    script.chmod(0o644)
    command = ["pgbench", "-n", "-M", "prepared", "-c", str(CONNECTIONS), *options, "-f", str(script), url]
    environment = os.environ | {"PGOPTIONS": f"-c search_path={schema},public"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"tps = ([\d.]+)", ran.stdout)
    if ran.returncode or found is None:
        raise RuntimeError(ran.stderr[-1000:])
    return float(found[1])


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
