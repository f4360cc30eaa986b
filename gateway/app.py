"""The gateway as a whole: what its parts share, and how it starts and stops."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from urllib.parse import urlsplit

from gateway.access_log import AccessLog
from gateway.consistency import ConsistencyMemory
from gateway.cors import Cors
from gateway.metrics import Metrics
from gateway.own import own_endpoints
from gateway.proxy import Exchange
from gateway.routes import RouteTable
from gateway.server import Downstream
from gateway.settings import GatewaySettings
from gateway.sockets import Tunnel
from gateway.upstream import Pool
from libs.common.logs import get_logger
from libs.common.revocation import Revocation, RevocationList
from libs.common.settings import SERVICES
from libs.common.tokens import KeySet, TokenVerifier

log = get_logger(__name__)


class Gateway:
    """Everything that lives as long as the process. Tests give their own keys, revocations and log."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        keys: KeySet | None = None,
        revocations: RevocationList | None = None,
        access_log: AccessLog | None = None,
        table: RouteTable | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.loop_time = loop.time
        self._loop = loop
        self._writes: list[tuple[asyncio.Transport, bytes]] = []
        self.keys = keys or KeySet(settings.jwks_url)
        self.verifier = TokenVerifier(settings.token_issuer, settings.token_audience, self.keys)
        self.revocations = revocations or RevocationList(settings)
        self.revocations.on_revoked(self._close_revoked)
        self.access_log = access_log or AccessLog.to_stderr(settings.log_format)
        self.table = table or RouteTable()
        self.cors = Cors(settings.cors_origins)
        self.metrics = Metrics()
        self.memory = ConsistencyMemory(settings.consistency_seconds, loop.time)
        self.pools = {service: Pool(service, settings, self.metrics) for service in SERVICES}
        self.scheme = urlsplit(settings.public_url).scheme.encode() or b"http"
        self.own: dict[str, Callable[[Exchange], None]] = own_endpoints(self)
        self.clients: set[Downstream] = set()
        self.tunnels: set[Tunnel] = set()
        self.draining = False
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._date = (0, b"")

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def ready(self) -> bool:
        return not self.draining and self.keys.ready and self.revocations.ready

    async def start(self, host: str | None = None, port: int | None = None) -> None:
        """Listen, then learn keys and revocations: `/livez` and 503s are answered from the first moment."""
        self.keys.start()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Downstream(self),
            host if host is not None else self.settings.host,
            port if port is not None else self.settings.port,
            backlog=2048,
        )
        for listener in self._server.sockets:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sweeper = asyncio.create_task(self._sweep(), name="sweep")
        patience = self.settings.start_patience
        await asyncio.gather(self.revocations.start(patience), self.keys.wait_ready(patience))
        log.info("gateway_started", port=self.port, keys=self.keys.ready)

    async def stop(self) -> None:
        """Accept nothing new, finish what is under way, tell sockets to come again, then go."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for tunnel in list(self.tunnels):
            tunnel.close(1012, "restart")
        until = self.loop_time() + self.settings.stop_timeout
        # A request may be on its way on an idle connection: it still gets its answer, with `close`.
        grace = self.loop_time() + min(self.settings.drain_grace, self.settings.stop_timeout)
        while (self.clients or self.tunnels) and self.loop_time() < until:
            if self.loop_time() >= grace:
                for client in list(self.clients):
                    client.drain()
            await asyncio.sleep(0.02)
        for client in list(self.clients):
            client.transport.abort()
        for task in (self._sweeper, *self._tasks):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        for pool in self.pools.values():
            pool.close()
        await self.keys.stop()
        await self.revocations.stop()
        self.access_log.flush()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A task that is kept from the garbage collector and whose failure is told."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("gateway_task_failed", exc_info=task.exception())

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write at the end of this turn of the loop, together with all that the turn produces.

        Under load a peer then wakes up once for many answers, not once for each."""
        if not self._writes:
            self._loop.call_soon(self.write_out)
        self._writes.append((transport, data))

    def write_out(self) -> None:
        """Write now; whoever closes or hands on a transport must call this first."""
        writes, self._writes = self._writes, []
        for transport, data in writes:
            if not transport.is_closing():
                transport.write(data)

    def date(self) -> bytes:
        """A `Date` header line, made once a second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode())
        return self._date[1]

    async def _sweep(self) -> None:
        """The clock of all timeouts."""
        settings = self.settings
        shortest = min(
            settings.header_timeout, settings.body_timeout, settings.answer_timeout, settings.idle_timeout,
            settings.upstream_idle, settings.stall_timeout, 2.0,
        )  # fmt: skip
        while True:
            await asyncio.sleep(shortest / 4)
            now = self.loop_time()
            for client in list(self.clients):
                try:
                    client.check(now)
                except Exception as error:  # one connection must not stop the clock of the others
                    log.error("gateway_check_failed", exc_info=error)
                    client.transport.abort()
            for pool in self.pools.values():
                pool.prune(now)

    def _close_revoked(self, revocation: Revocation) -> None:
        for tunnel in list(self.tunnels):
            if tunnel.principal is not None and revocation.covers(tunnel.principal):
                tunnel.close(4401, "session ended")
