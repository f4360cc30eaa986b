"""A gateway on uvloop in a thread of its own, and small real upstream servers in the tests' loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import uvloop

from gateway.access_log import AccessLog
from gateway.app import Gateway
from gateway.freshness import Freshness
from gateway.settings import GatewaySettings
from libs.common.runtime.settings import SERVICES
from libs.common.security.revocation import RevocationList
from libs.common.security.tokens import KeySet, SigningKey, mint

KEY = SigningKey.generate()
LIMITS = [name for name in GatewaySettings.model_fields if name.startswith("limit_")]
SCRAPER = "scraper"
COURSE = "11111111-2222-4333-8444-555555555555"


class Tail(Freshness):
    """Up to date when the test says so; the real one has tests of its own."""

    fresh = False

    def holds(self) -> bool:
        return self.fresh

    def start(self) -> None:
        """Nothing to follow."""


class Revocations(RevocationList):
    """Told by the test instead of by Kafka, which has tests of its own."""

    async def start(self, patience: float = 5.0) -> None:
        self._caught_up.set()


def token(
    session: UUID | None = None, user: UUID | None = None, version: int = 1, key: SigningKey = KEY
) -> str:
    return mint(
        key, issuer="lectern", audience="lectern-api", user=user or uuid4(), session=session or uuid4(),
        role="student", version=version,
    )  # fmt: skip


def bearer(value: str | None = None) -> str:
    return f"Authorization: Bearer {value or token()}\r\n"


SCRAPE = f"Authorization: Bearer {SCRAPER}\r\n"


class Seen:
    """One request as an upstream saw it."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.headers: list[tuple[str, str]] = []
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.headers.append((name.lower(), value.strip()))
        self.body = b""

    def get(self, name: str) -> str | None:
        values = [value for known, value in self.headers if known == name.lower()]
        assert len(values) < 2, f"{name} came twice: {values}"
        return values[0] if values else None


Handler = Callable[[Seen, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """An HTTP/1.1 server that records what it gets; `handler` answers, or says what it was asked."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self.read_body = True
        self.handler: Handler = self.say_ok
        self.headers = b""
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def drop_idle(self) -> None:
        for writer in list(self._writers):
            writer.close()

    async def say_ok(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = f"{seen.line}".encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nServer: uvicorn\r\n%bContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
            % (self.headers, len(body))
        )
        if not seen.line.startswith("HEAD"):
            writer.write(body)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                seen = Seen(await reader.readuntil(b"\r\n\r\n"))
                self.seen.append(seen)
                if self.read_body:
                    seen.body = await read_body(seen, reader)
                await self.handler(seen, reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def read_body(seen: Any, reader: asyncio.StreamReader) -> bytes:
    if seen.get("transfer-encoding"):
        parts = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)
    return await reader.readexactly(int(seen.get("content-length") or 0))


class Answer(Seen):
    @property
    def status(self) -> int:
        return int(self.line.split()[1])


class Client:
    """A raw connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)

    async def answer(self, head_only: bool = False) -> Answer:
        async with asyncio.timeout(8):
            answer = Answer(await self.reader.readuntil(b"\r\n\r\n"))
            if answer.status != 100 and answer.status != 101 and not head_only:
                answer.body = await read_body(answer, self.reader)
        return answer

    async def ask(self, data: bytes | str) -> Answer:
        self.send(data)
        return await self.answer()

    async def get(self, path: str, headers: str = "", method: str = "GET") -> Answer:
        self.send(f"{method} {path} HTTP/1.1\r\nHost: school.example\r\n{headers}\r\n")
        return await self.answer(head_only=method == "HEAD")

    async def closed(self, within: float = 5) -> bytes:
        """What still came before the gateway closed."""
        async with asyncio.timeout(within):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.transport.abort()


class Suite:
    """The gateway with an upstream per service that a test names."""

    def __init__(self, upstreams: dict[str, Upstream], *, follow: bool = False, **settings: Any) -> None:
        self.upstreams = upstreams
        self.tail: Tail
        self._follow = follow
        """Whether the gateway follows the topics of a real Kafka."""
        self.clients: list[Client] = []
        urls = {
            f"{service}_url": f"http://127.0.0.1:{upstreams[service].port if service in upstreams else 1}"
            for service in SERVICES
        }
        # No Valkey, no Kafka, and limits that no test meets by chance.
        defaults = {
            "valkey_url": "redis://127.0.0.1:1",
            "kafka": "127.0.0.1:1",
            "drain_grace": 0.1,
            "metrics_token": SCRAPER,
            **dict.fromkeys(LIMITS, 1_000_000),
        }
        self.settings = GatewaySettings(environment="test", **{**urls, **defaults, **settings})
        self.log = BytesIO()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)

    async def start(self) -> None:
        self._thread.start()

        async def begin() -> None:
            self.gateway = Gateway(
                self.settings, keys=KeySet.static([KEY]), revocations=Revocations(self.settings),
                access_log=AccessLog(self.log),
            )  # fmt: skip
            if not self._follow:
                self.tail = self.gateway.cache.freshness = Tail(self.settings, (), self.gateway.cache.hear)
            await self.gateway.start(port=0)

        await self.run(begin())
        self.port = self.gateway.port

    async def run(self, work: Any) -> Any:
        """Run something in the gateway's own loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        async def work() -> Any:
            return function(*arguments)

        return await self.run(work())

    async def stop(self) -> None:
        for client in self.clients:
            client.close()
        if not self.gateway.draining:
            await self.run(self.gateway.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, 5)
        self._loop.close()

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**20))
        self.clients.append(client)
        return client
