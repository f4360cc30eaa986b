"""The gateway as a whole: what its parts share, and how it starts and stops."""

import asyncio
import select
import socket
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from urllib.parse import urlsplit

from gateway.access_log import AccessLog
from gateway.addresses import Address, Addresses
from gateway.cache import Cache
from gateway.connections import Connections
from gateway.consistency import ConsistencyMemory
from gateway.cors import Cors
from gateway.handover import BACKLOG, listen
from gateway.limits import Limiter
from gateway.metrics import Metrics
from gateway.own import own_endpoints
from gateway.pool import Pool
from gateway.proxy import Exchange
from gateway.routes import RouteTable
from gateway.server import Downstream
from gateway.settings import GatewaySettings
from gateway.sockets import Tunnel
from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import SERVICES
from libs.common.security.revocation import Revocation, RevocationList
from libs.common.security.tokens import KeySet, TokenVerifier
from libs.common.web.border import HEADER, gateway_key

log = get_logger(__name__)


class NotReady(Exception):
    """This process could not serve as well as the one that it was to replace."""


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
        self.limiter = Limiter(settings, self.metrics)
        self.memory = ConsistencyMemory(settings.consistency_seconds, loop.time)
        self.pools = {service: Pool(service, settings, self.metrics) for service in SERVICES}
        self.addresses = Addresses(settings.trusted_proxies)
        self.connections = Connections(settings.connections, settings.connections_per_address)
        self._key = f"{HEADER.decode()}: {gateway_key(settings.secret).decode()}\r\n"
        self._scheme = urlsplit(settings.public_url).scheme or "http"
        self.cache = Cache(self)
        self.own: dict[str, Callable[[Exchange], None]] = own_endpoints(self)
        self.clients: set[Downstream] = set()
        self.tunnels: set[Tunnel] = set()
        self.draining = False
        self.handed_over = False
        """Whether a successor accepts connections on the same port."""
        self.listener: socket.socket
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._date = (0, b"")

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def ready(self) -> bool:
        return not self.draining and self.keys.ready and self.revocations.ready

    async def start(self, port: int | None = None, listener: socket.socket | None = None) -> None:
        """Listen, then learn keys and revocations: `/livez` and 503s are answered from the first moment. On
        the `listener` of a predecessor, that answers until now, it is the other way round."""
        self.keys.start()
        self.cache.start()
        self._sweeper = asyncio.create_task(self._sweep(), name="sweep")
        if listener is None:
            await self._listen(listen(self.settings.host, self.settings.port if port is None else port))
        patience = self.settings.start_patience
        await asyncio.gather(
            self.revocations.start(patience),
            self.keys.wait_ready(patience),
            self.limiter.start(),
        )
        if listener is not None:
            if not self.keys.ready:
                raise NotReady("identity is away: the predecessor has its keys and goes on")
            await self._listen(listener)
        log.info("gateway_started", port=self.port, keys=self.keys.ready, limits_shared=self.limiter.shared)

    async def _listen(self, listener: socket.socket) -> None:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener = listener
        self._server = await self._loop.create_server(
            lambda: Downstream(self), sock=listener.dup(), backlog=BACKLOG
        )

    async def _stop_accepting(self, until: float) -> None:
        """At once where a successor has the port; else when the time is over and the queue is empty."""
        try:
            if not self.handed_over:
                await asyncio.sleep(self.settings.drain_grace)
                queue = select.poll()
                queue.register(self.listener, select.POLLIN)
                while queue.poll(0) and self.loop_time() < until:  # noqa: ASYNC110 - the kernel sets no event
                    await asyncio.sleep(0)
        finally:
            if self._server is not None:
                self._server.close()
            self.listener.close()

    async def stop(self) -> None:
        """Finish what is under way, tell sockets to come again, then go."""
        self.draining = True
        until = self.loop_time() + self.settings.stop_timeout
        accepting = asyncio.create_task(self._stop_accepting(until))
        for tunnel in list(self.tunnels):
            tunnel.close(1012, "restart")
        # A request may be on its way on an idle connection: it still gets its answer, with `close`. Where a
        # successor serves already, nobody is in a hurry.
        grace = self.settings.stop_timeout if self.handed_over else self.settings.drain_grace
        quiet = self.loop_time() + grace
        over = False
        while not over and self.loop_time() < until:
            if self.loop_time() >= quiet:
                for client in list(self.clients):
                    client.drain(self.loop_time() - grace)
            accepted = accepting.done()
            await asyncio.sleep(0.02)  # in which those that were accepted last become clients
            over = accepted and not self.clients and not self.tunnels
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        for client in list(self.clients):
            client.transport.abort()
        for task in (self._sweeper, *self._tasks):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        for pool in self.pools.values():
            pool.close()
        await self.cache.stop()
        await self.limiter.stop()
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

    def forwarded(self, address: Address) -> bytes:
        """The header lines that tell a service of its client, and that it may believe so, up to the host."""
        client = f"X-Forwarded-For: {address.text}\r\nX-Forwarded-Proto: {self._scheme}\r\n"
        return f"{self._key}{client}X-Forwarded-Host: ".encode()

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
        forgot = self.loop_time()
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
            if now - forgot > 10:
                forgot = now
                self.limiter.forget()

    def _close_revoked(self, revocation: Revocation) -> None:
        for tunnel in list(self.tunnels):
            if tunnel.principal is not None and revocation.covers(tunnel.principal):
                tunnel.close(4401, "session ended")
