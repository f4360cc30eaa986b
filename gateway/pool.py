"""The connections to one service: kept alive, bounded, closed before the service would close them."""

import asyncio
from collections.abc import Callable
from math import ceil

from gateway.breaker import Breaker
from gateway.interfaces import PooledRequest
from gateway.metrics import Metrics
from gateway.settings import GatewaySettings
from gateway.upstream import UpstreamConnection


class ServiceAway(Exception):
    """The service cannot be asked; try again after `retry_after` seconds."""

    def __init__(self, retry_after: int, code: str = "service_unavailable") -> None:
        self.retry_after = retry_after
        self.code = code
        super().__init__(code)


class Pool:
    """Connections to one service. A service that hangs cannot use up what the others need."""

    def __init__(self, service: str, settings: GatewaySettings, metrics: Metrics) -> None:
        self.service = service
        self._host, self._port = settings.service_address(service)
        self._settings = settings
        self._metrics = metrics
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._connecting = 0
        self.breaker = Breaker(service, settings)
        self.waiting = 0
        """Requests that were sent whole and have no byte of an answer yet."""
        self.on_written: Callable[[], None] | None = None
        """Called when a write has passed, or may have had its effect without an answer."""

    def admit(self, now: float, request: PooledRequest) -> bool:
        """Whether this request is the probe of a service that was away. Raises `ServiceAway`."""
        if self.waiting >= self._settings.service_waiting:
            raise ServiceAway(1, "service_busy")
        breaker = self.breaker
        if not breaker.is_open:
            return False
        pause = breaker.refuses(now)
        if pause is not None:
            raise ServiceAway(max(1, ceil(pause)))
        breaker.probe = request
        return True

    def await_answer(self, request: PooledRequest) -> None:
        """Count a request that has been sent whole; idempotent."""
        if not request.awaited:
            request.awaited = True
            self.waiting += 1

    def answered(self, request: PooledRequest) -> None:
        """Count the first byte of its answer."""
        if request.awaited:
            request.awaited = False
            self.waiting -= 1
        breaker = self.breaker
        breaker.worked += 1
        if breaker.probe is request:
            breaker.probe_worked()

    def leave(self, request: PooledRequest) -> None:
        """Stop counting a request, answered or not."""
        if request.awaited:
            request.awaited = False
            self.waiting -= 1
        if self.breaker.probe is request:
            self.breaker.probe = None  # it ended without a word of the service

    def take(self) -> UpstreamConnection | None:
        """The idle connection that was used last; None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and not connection.transport.is_closing():
                return connection
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises `ServiceAway`; OSError or TimeoutError where the service takes none."""
        if len(self._all) + self._connecting >= self._settings.upstream_connections:
            raise ServiceAway(1, "service_busy")
        loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self.give_back, self.forget), self._host, self._port
                )
        finally:
            self._connecting -= 1
        self._all.add(connection)
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        if connection.transport.is_closing():
            return
        connection.used = True
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def written(self) -> None:
        if self.on_written is not None:
            self.on_written()

    def retrying(self) -> None:
        """Count one more attempt for the same request."""
        self._metrics.retries += 1

    def failed(self, request: PooledRequest) -> None:
        """Count a failure: the service could not be reached, broke off or did not answer."""
        self._metrics.failed(self.service)
        self.breaker.failed(asyncio.get_running_loop().time(), request)

    def prune(self, now: float) -> None:
        """Close connections that the service may be about to close."""
        for connection in [
            each for each in self._idle if now - each.idle_since > self._settings.upstream_idle
        ]:
            connection.close()
        self.breaker.tick(now)
        self._metrics.upstream[self.service] = (len(self._all) - len(self._idle), len(self._idle))
        self._metrics.breakers[self.service] = self.breaker.is_open

    def close(self) -> None:
        for connection in list(self._all):
            connection.close()
