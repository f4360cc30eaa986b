"""What the gateway answers itself: liveness, readiness, metrics, and the state of the suite."""

import asyncio
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from gateway import problems
from gateway.documents import documents
from libs.common.runtime.settings import SERVICES

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.proxy import Exchange

METRICS = frozenset({"/metrics", "/metrics/"})
PATIENCE = 1.0
REMEMBERED = 1.0
"""Seconds that the suite's state is remembered: whoever asks faster does not make the services busier."""


def own_endpoints(gateway: "Gateway") -> dict[str, Callable[["Exchange"], None]]:
    """Handlers by exact path."""
    status = SuiteStatus(gateway)

    def livez(exchange: "Exchange") -> None:
        exchange.answer(200, b'{"status":"ok"}', "application/json")

    def readyz(exchange: "Exchange") -> None:
        body = {
            "status": "ok" if gateway.ready else "unavailable",
            "checks": {"keys": gateway.keys.ready, "revocations": gateway.revocations.ready},
        }
        exchange.answer(200 if gateway.ready else 503, orjson.dumps(body), "application/json")

    def metrics(exchange: "Exchange") -> None:
        if not is_scrape(exchange):
            exchange.refuse(problems.NO_METRICS)
            return
        gateway.metrics.clients = gateway.connections.open - len(gateway.tunnels)
        gateway.metrics.limits_shared = gateway.limiter.shared
        gateway.metrics.connections_refused = gateway.connections.refused
        gateway.metrics.cache = gateway.cache.counts
        gateway.metrics.cache_bytes = gateway.cache.bytes
        gateway.metrics.cache_fresh = gateway.cache.freshness.holds()
        exchange.answer(200, gateway.metrics.render(), CONTENT_TYPE_LATEST)

    endpoints: dict[str, Callable[[Exchange], None]] = {
        "/livez": livez, "/readyz": readyz, "/api/status": status.answer, **documents(),
    }  # fmt: skip
    if gateway.settings.metrics_token.get_secret_value():
        endpoints["/metrics"] = metrics
    reads_only = {path: _reads_only(handler) for path, handler in endpoints.items()}
    return {**reads_only, **{f"{path}/": handler for path, handler in reads_only.items()}}


def _reads_only(handler: Callable[["Exchange"], None]) -> Callable[["Exchange"], None]:
    def handle(exchange: "Exchange") -> None:
        if exchange.request.method in (b"GET", b"HEAD"):
            handler(exchange)
        else:
            exchange.refuse(problems.READ_ONLY)

    return handle


def is_scrape(exchange: "Exchange") -> bool:
    """Whether the request is for metrics, and holds the operator's token."""
    token = exchange.gateway.settings.metrics_token.get_secret_value()
    scheme, _, given = (exchange.request.authorization or b"").partition(b" ")
    return (
        exchange.path in METRICS
        and bool(token)
        and scheme.lower() == b"bearer"
        and hmac.compare_digest(given.strip(b" "), token.encode())
    )


class SuiteStatus:
    """Asks every service whether it is ready, all at once, and remembers the answer for a second."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._asked_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._body = b""

    def answer(self, exchange: "Exchange") -> None:
        exchange.start(self._answer(exchange))

    async def _answer(self, exchange: "Exchange") -> None:
        if self._gateway.loop_time() - self._asked_at > REMEMBERED:
            if self._task is None or self._task.done():
                self._task = self._gateway.spawn(self._ask_all())
            await asyncio.shield(self._task)
        exchange.answer(200, self._body, "application/json", (("Cache-Control", "no-store"),))

    async def _ask_all(self) -> None:
        states = await asyncio.gather(*(self._ask(service) for service in SERVICES))
        services = dict(zip(SERVICES, states, strict=True))
        good = all(state == "ok" for state in states)
        self._body = orjson.dumps({"status": "ok" if good else "degraded", "services": services})
        self._asked_at = self._gateway.loop_time()

    async def _ask(self, service: str) -> str:
        host, port = self._gateway.settings.service_address(service)
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(
                        f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
                    )
                    words = (await reader.readline()).split(b" ", 2)
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return "down"
        return "ok" if len(words) > 1 and words[1] == b"200" else "unavailable"
