"""The gateway as a whole: how its parts are put together, how it starts and stops."""

import asyncio
import select
import socket

from gateway.access_log import AccessLog
from gateway.addresses import Addresses
from gateway.admission import Admission
from gateway.cache import SERVICE as CACHED_SERVICE
from gateway.cache import Cache
from gateway.connections import Connections
from gateway.consistency import ConsistencyMemory
from gateway.cors import Cors
from gateway.endpoints import OwnEndpoints
from gateway.forwarding import DateLine, Forwarding
from gateway.interfaces import Context, OpenTunnel
from gateway.limits import Limiter
from gateway.metrics import Metrics
from gateway.output import Output
from gateway.pool import Pool
from gateway.routes import RouteTable
from gateway.server import Downstream
from gateway.settings import GatewaySettings
from gateway.tasks import Tasks
from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import SERVICES
from libs.common.runtime.telemetry import telemetry
from libs.common.security.revocation import Revocation, RevocationList
from libs.common.security.tokens import KeySet, TokenVerifier
from libs.common.service.handover import BACKLOG, listen

log = get_logger(__name__)


class NotReady(Exception):
    """This process cannot replace the running one: it has no keys."""


class Gateway:
    """Everything that lives as long as the process. Tests pass their own keys, revocations and log."""

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
        self._loop = loop
        self.keys = keys or KeySet(settings.jwks_url)
        self.revocations = revocations or RevocationList(settings)
        self.revocations.on_revoked(self._close_revoked)
        self.access_log = access_log or AccessLog.to_stderr(settings.log_format)
        self.metrics = Metrics()
        self.output = Output(loop)
        self.memory = ConsistencyMemory(settings.consistency_seconds, loop.time)
        self.context = context = Context(
            settings=settings,
            now=loop.time,
            date=DateLine(),
            output=self.output,
            tasks=Tasks(),
            metrics=self.metrics,
            access_log=self.access_log,
            memory=self.memory,
            addresses=Addresses(settings.trusted_proxies),
            forwarding=Forwarding(settings),
            cors=Cors(settings.cors_origins),
            spans=telemetry(),
        )
        self.limiter = Limiter(settings, self.metrics)
        self.pools = {service: Pool(service, settings, self.metrics) for service in SERVICES}
        self.cache = Cache(context, self.pools[CACHED_SERVICE])
        self.connections = Connections(settings.connections, settings.connections_per_address)
        self.clients: set[Downstream] = set()
        self._admission = Admission(
            context,
            endpoints=OwnEndpoints(context, self._readiness, self._render_metrics),
            table=table or RouteTable(),
            keys=self.keys,
            verifier=TokenVerifier(settings.token_issuer, settings.token_audience, self.keys),
            revocations=self.revocations,
            limiter=self.limiter,
            cache=self.cache,
            pools=self.pools,
        )
        self.handed_over = False
        """Whether a successor accepts connections on the same port."""
        self.listener: socket.socket
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def draining(self) -> bool:
        return self.context.draining

    @property
    def tunnels(self) -> set[OpenTunnel]:
        return self.context.tunnels

    def _readiness(self) -> dict[str, bool]:
        return {"keys": self.keys.ready, "revocations": self.revocations.ready}

    def _render_metrics(self) -> bytes:
        """All metrics, with the gauges as they are now."""
        metrics = self.metrics
        metrics.clients = self.connections.open - len(self.tunnels)
        metrics.limits_shared = self.limiter.shared
        metrics.connections_refused = self.connections.refused
        metrics.cache = self.cache.counts
        metrics.cache_bytes = self.cache.bytes
        metrics.cache_fresh = self.cache.freshness.holds()
        return metrics.render()

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
            lambda: Downstream(self.context, self._admission, self.connections, self.clients),
            sock=listener.dup(),
            backlog=BACKLOG,
        )

    async def _stop_accepting(self, until: float) -> None:
        """Stop at once if a successor has the port, otherwise after a grace period, with an empty queue."""
        try:
            if not self.handed_over:
                await asyncio.sleep(self.settings.drain_grace)
                queue = select.poll()
                queue.register(self.listener, select.POLLIN)
                while queue.poll(0) and self._loop.time() < until:  # noqa: ASYNC110 - the kernel sets no event
                    await asyncio.sleep(0)
        finally:
            if self._server is not None:
                self._server.close()
            self.listener.close()

    async def stop(self) -> None:
        """Finish requests under way, close sockets with 1012 (reconnect), then stop."""
        self.context.draining = True
        until = self._loop.time() + self.settings.stop_timeout
        accepting = asyncio.create_task(self._stop_accepting(until))
        for tunnel in list(self.tunnels):
            tunnel.close(1012, "restart")
        # A request may be on its way on an idle connection: it still gets its answer, with `close`. Where a
        # successor serves already, nobody is in a hurry.
        grace = self.settings.stop_timeout if self.handed_over else self.settings.drain_grace
        quiet = self._loop.time() + grace
        over = False
        while not over and self._loop.time() < until:
            if self._loop.time() >= quiet:
                for client in list(self.clients):
                    client.drain(self._loop.time() - grace)
            accepted = accepting.done()
            await asyncio.sleep(0.02)  # in which those that were accepted last become clients
            over = accepted and not self.clients and not self.tunnels
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        for client in list(self.clients):
            client.transport.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self.context.tasks.stop()
        for pool in self.pools.values():
            pool.close()
        await self.cache.stop()
        await self.limiter.stop()
        await self.keys.stop()
        await self.revocations.stop()
        self.access_log.flush()

    async def _sweep(self) -> None:
        """Enforce all timeouts."""
        settings = self.settings
        shortest = min(
            settings.header_timeout, settings.body_timeout, settings.answer_timeout, settings.idle_timeout,
            settings.upstream_idle, settings.stall_timeout, 2.0,
        )  # fmt: skip
        forgot = self._loop.time()
        while True:
            await asyncio.sleep(shortest / 4)
            now = self._loop.time()
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
