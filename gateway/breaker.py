"""Circuit breaker: decides by the share of failures in the last seconds whether a service counts as alive.

Closed: requests pass. Open: they are refused at once. Half open: one of them, the probe, is let through to
see whether the service is back; the others are refused until it has answered. A failure is a service that
cannot be reached, breaks off, or keeps silent past the deadline; an error that it answers is none.
"""

from collections import deque
from typing import Any

from gateway.settings import GatewaySettings
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

WINDOW = 10
"""Seconds that are looked back."""
SHARE = 0.5
"""Of all requests that may fail."""
PROBE_PATIENCE = 5.0
"""Seconds that a service which was away has for its first answer."""
RETRIES, RETRY_SHARE = 10, 0.1
"""Of the requests of the window so many, and in any case so many, may be sent again."""


class Breaker:
    """The breaker of one service. `worked` counts answers; `tick` moves the window on."""

    def __init__(self, service: str, settings: GatewaySettings) -> None:
        self._service = service
        self._failures = settings.breaker_failures
        self._pause = settings.breaker_pause
        self._past: deque[tuple[int, int, int]] = deque(maxlen=WINDOW - 1)
        self._ticked = 0.0
        self._opened_until: float | None = None
        self.worked = 0
        self._failed = 0
        self._retried = 0
        self.probe: Any = None
        """The request that tries the service while the breaker is half open."""

    @property
    def is_open(self) -> bool:
        return self._opened_until is not None

    def refuses(self, now: float) -> float | None:
        """Seconds to wait, or None if the request may pass. In the half-open state it becomes the `probe`."""
        if self._opened_until is None:
            return None
        if now < self._opened_until:
            return self._opened_until - now
        return None if self.probe is None else self._pause

    def probe_worked(self) -> None:
        self.probe = None
        self._opened_until = None
        self._past.clear()
        self.worked = self._failed = self._retried = 0
        log.info("service_back", target=self._service)

    def failed(self, now: float, request: Any) -> None:
        """Count a request that got no answer."""
        self._failed += 1
        if self.probe is request:
            self.probe = None
            self._opened_until = now + self._pause
        elif self._opened_until is None:
            worked, failed, _ = self._totals()
            if failed >= self._failures and failed >= SHARE * (worked + failed):
                self._opened_until = now + self._pause
                log.warning("service_away", target=self._service, failed=failed, worked=worked)

    def may_retry(self) -> bool:
        """Take one of the remaining retries: a service in trouble must not get twice the load."""
        worked, failed, retried = self._totals()
        if retried >= RETRIES + RETRY_SHARE * (worked + failed):
            return False
        self._retried += 1
        return True

    def tick(self, now: float) -> None:
        if now - self._ticked >= 1:
            self._ticked = now
            self._past.append((self.worked, self._failed, self._retried))
            self.worked = self._failed = self._retried = 0

    def _totals(self) -> tuple[int, int, int]:
        sums = [sum(values) for values in zip(*self._past, strict=True)] or [0, 0, 0]
        return sums[0] + self.worked, sums[1] + self._failed, sums[2] + self._retried
