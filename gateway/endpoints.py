"""Endpoints of the gateway itself: liveness, readiness, metrics, and the state of the suite."""

import asyncio
import hmac
from collections.abc import Callable

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from gateway import problems
from gateway.documents import documents
from gateway.interfaces import Context
from gateway.proxy import Exchange
from libs.common.runtime.settings import SERVICES

Handler = Callable[[Exchange], None]

METRICS = frozenset({"/metrics", "/metrics/"})
PROBES = frozenset({"/livez", "/livez/", "/readyz", "/readyz/"})
PATIENCE = 1.0
REMEMBERED = 1.0
"""Seconds that the suite's state is remembered: whoever asks faster does not make the services busier."""


class OwnEndpoints:
    """The gateway's own paths. `readiness` gives each check by name; `metrics` the text for Prometheus."""

    def __init__(
        self, context: Context, readiness: Callable[[], dict[str, bool]], metrics: Callable[[], bytes]
    ) -> None:
        self._context = context
        self._readiness = readiness
        self._metrics = metrics
        self._token = context.settings.metrics_token.get_secret_value().encode()
        handlers: dict[str, Handler] = {
            "/livez": self._livez, "/readyz": self._readyz, "/api/status": SuiteStatus(context).answer,
            **documents(),
        }  # fmt: skip
        if self._token:
            handlers["/metrics"] = self._show_metrics
        reads_only = {path: _reads_only(handler) for path, handler in handlers.items()}
        self.by_path = {**reads_only, **{f"{path}/": handler for path, handler in reads_only.items()}}

    def is_free(self, exchange: Exchange) -> bool:
        """Whether no limit counts it: a probe, or the operator's scraper."""
        return exchange.path in PROBES or self._is_scrape(exchange)

    def _is_scrape(self, exchange: Exchange) -> bool:
        """Whether the request is for metrics, and holds the operator's token."""
        scheme, _, given = (exchange.request.authorization or b"").partition(b" ")
        return (
            exchange.path in METRICS
            and bool(self._token)
            and scheme.lower() == b"bearer"
            and hmac.compare_digest(given.strip(b" "), self._token)
        )

    def _livez(self, exchange: Exchange) -> None:
        exchange.answer(200, b'{"status":"ok"}', "application/json")

    def _readyz(self, exchange: Exchange) -> None:
        checks = self._readiness()
        ready = all(checks.values()) and not self._context.draining
        body = {"status": "ok" if ready else "unavailable", "checks": checks}
        exchange.answer(200 if ready else 503, orjson.dumps(body), "application/json")

    def _show_metrics(self, exchange: Exchange) -> None:
        if self._is_scrape(exchange):
            exchange.answer(200, self._metrics(), CONTENT_TYPE_LATEST)
        else:
            exchange.refuse(problems.NO_METRICS)


def _reads_only(handler: Handler) -> Handler:
    def handle(exchange: Exchange) -> None:
        if exchange.request.method in (b"GET", b"HEAD"):
            handler(exchange)
        else:
            exchange.refuse(problems.READ_ONLY)

    return handle


class SuiteStatus:
    """Asks every service whether it is ready, all at once, and remembers the answer for a second."""

    def __init__(self, context: Context) -> None:
        self._service_address = context.settings.service_address
        self._spawn = context.tasks.spawn
        self._now = context.now
        self._asked_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._body = b""

    def answer(self, exchange: Exchange) -> None:
        exchange.start(self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        if self._now() - self._asked_at > REMEMBERED:
            if self._task is None or self._task.done():
                self._task = self._spawn(self._ask_all())
            await asyncio.shield(self._task)
        exchange.answer(200, self._body, "application/json", (("Cache-Control", "no-store"),))

    async def _ask_all(self) -> None:
        states = await asyncio.gather(*(self._ask(service) for service in SERVICES))
        services = dict(zip(SERVICES, states, strict=True))
        good = all(state == "ok" for state in states)
        self._body = orjson.dumps({"status": "ok" if good else "degraded", "services": services})
        self._asked_at = self._now()

    async def _ask(self, service: str) -> str:
        host, port = self._service_address(service)
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
