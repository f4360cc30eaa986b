"""The gateway as a real process, and clients that press it as hard as they can."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import Any

from deploy.local.project import free_ports
from gateway.tests.harness import KEY, SCRAPER, Client, Upstream, bearer
from libs.common.testing.harness import eventually

Process = asyncio.subprocess.Process


async def send_keys(seen: Any, reader: Any, writer: Any) -> None:
    body = json.dumps({"keys": [KEY.public_jwk()]}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


class Running:
    """One port, the processes that serve it one after another, and catalog behind them."""

    def __init__(self, **environment: str) -> None:
        (self.port,) = free_ports(1)
        self.catalog, self.identity = Upstream(), Upstream()
        self.identity.handler = send_keys
        self._environment = environment
        self.processes: list[Process] = []
        self._clients: list[Client] = []

    async def open(self) -> "Running":
        await self.catalog.start()
        await self.identity.start()
        return self

    async def start(self) -> Process:
        """One more process, beside those that run."""
        environment = {
            **os.environ,
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_CATALOG_URL": f"http://127.0.0.1:{self.catalog.port}",
            "LECTERN_JWKS_URL": f"http://127.0.0.1:{self.identity.port}/",
            "LECTERN_KAFKA": "127.0.0.1:1",
            "LECTERN_VALKEY_URL": "redis://127.0.0.1:1",
            "LECTERN_LOG_FORMAT": "json",
            "GATEWAY_START_PATIENCE": "1",
            "GATEWAY_DRAIN_GRACE": "0.2",
            "GATEWAY_METRICS_TOKEN": SCRAPER,
            "GATEWAY_LIMIT_SIGNED_IN": "60000000",
            "GATEWAY_LIMIT_ANONYMOUS": "60000000",
            **self._environment,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=environment, stderr=asyncio.subprocess.PIPE, limit=2**24
        )
        self.processes.append(process)
        return process

    async def client(self) -> Client:
        self._clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)))
        return self._clients[-1]

    async def ready(self) -> bool:
        try:
            client = await self.client()
        except ConnectionError:
            return False
        try:
            return (await client.get("/readyz")).status == 200
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        finally:
            client.close()

    async def wait_ready(self) -> None:
        await eventually(self.ready, timeout=30, interval=0.05)

    async def close(self) -> None:
        for client in self._clients:
            client.close()
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()
        await self.catalog.stop()
        await self.identity.stop()


async def logged(process: Process) -> list[dict[str, Any]]:
    """Its log, when it has ended."""
    async with asyncio.timeout(20):
        _, log = await process.communicate()
    return [json.loads(line) for line in log.splitlines() if line.startswith(b"{")]


def terminate(process: Process) -> None:
    process.send_signal(signal.SIGTERM)


@dataclass
class Load:
    """Clients that ask without a pause, each on a connection that it keeps as long as it may."""

    running: Running
    answers: int = 0
    connections: int = 0
    errors: list[str] = field(default_factory=list)
    _over: bool = False

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(8)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        await asyncio.gather(*self._tasks)

    async def goes_on(self) -> None:
        """Returns when two hundred more answers have come."""
        before = self.answers
        await eventually(lambda: self.answers > before + 200, timeout=30)

    def end(self) -> None:
        """Ask no more; what is under way is waited for."""
        self._over = True

    async def _ask(self) -> None:
        client: Client | None = None
        header = bearer()
        while not self._over:
            try:
                if client is None:
                    client = await self.running.client()
                    self.connections += 1
                answer = await client.get("/api/courses/", header)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.errors.append(repr(error))
                if client is not None:
                    client.close()
                client = None
                continue
            if answer.status != 200:
                self.errors.append(f"{answer.status} {answer.body!r}")
            self.answers += 1
            if answer.get("connection") == "close":
                client.close()
                client = None
        if client is not None:
            client.close()
