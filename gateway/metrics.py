"""Counters that cost a dictionary look-up per request, exported by a Prometheus collector of our own.

prometheus-client's own histogram takes a lock for every bucket; here one thread counts, so plain lists do.
"""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.common.runtime.release import release

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

HELP = {
    "build_info": "Always 1; the release of this process stands in its label",
    "gateway_request_seconds": "Time from a request to its whole answer, by route template and class of"
    " status (`5xx` are errors)",
    "gateway_clients": "Open client connections",
    "gateway_sockets": "Open WebSockets",
    "gateway_in_flight": "Requests being answered",
    "gateway_retries": "Further attempts for a request: to connect, or to have it done if that is safe",
    "gateway_upstream": "Connections to a service, busy with a request or idle",
    "gateway_upstream_failures": "Connections that a service refused, and answers not given in time",
    "gateway_service_away": "1 while a service counts as away: one request a second tries whether it is back,"
    " the others get a 503 at once",
    "gateway_limited": "Requests answered 429, by class of limit; many of `credentials` are somebody guessing"
    " passwords",
    "gateway_connections_refused": "Connections refused because there are too many, in all or of one address",
    "gateway_limits_shared": "1 while limits are counted in Valkey, 0 while this gateway counts alone",
    "gateway_cache": "Anonymous reads of the catalogue, by outcome: hit, miss, joined to a miss under way, or"
    " passed by the cache",
    "gateway_cache_bytes": "Bytes of cached answers",
    "gateway_cache_fresh": "1 while the catalogue's tail of events is up to date, 0 while the cache rests",
}
"""What each metric says, under its name without `lectern_`."""


def _gauge(name: str, value: float | None = None, labels: tuple[str, ...] | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"lectern_{name}", HELP[name], value=value, labels=labels)


def _counter(
    name: str, value: float | None = None, labels: tuple[str, ...] | None = None
) -> CounterMetricFamily:
    return CounterMetricFamily(f"lectern_{name}", HELP[name], value=value, labels=labels)


class Metrics(Collector):
    """Durations by route template and status class, and gauges read when they are asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._durations: dict[tuple[str, int], list[float]] = {}
        self.clients = 0
        self.sockets = 0
        self.in_flight = 0
        self.retries = 0
        self.upstream: dict[str, tuple[int, int]] = {}
        self.failures: dict[str, int] = {}
        self.breakers: dict[str, bool] = {}
        self.refused: dict[str, int] = {}
        self.limits_shared = False
        self.connections_refused = 0
        self.cache: dict[str, int] = {}
        self.cache_bytes = 0
        self.cache_fresh = False

    def observe(self, route: str, status: int, seconds: float) -> None:
        key = (route, status // 100)
        counts = self._durations.get(key)
        if counts is None:
            counts = self._durations[key] = [0.0] * (len(SECONDS) + 2)
        counts[bisect_left(SECONDS, seconds)] += 1
        counts[-1] += seconds

    def failed(self, service: str) -> None:
        self.failures[service] = self.failures.get(service, 0) + 1

    def limited(self, policy: str) -> None:
        self.refused[policy] = self.refused.get(policy, 0) + 1

    def collect(self) -> Iterator[Metric]:
        build = _gauge("build_info", labels=("version",))
        build.add_metric((release(),), 1)
        yield build
        yield self._request_seconds()
        yield _gauge("gateway_clients", self.clients)
        yield _gauge("gateway_sockets", self.sockets)
        yield _gauge("gateway_in_flight", self.in_flight)
        yield _counter("gateway_retries", self.retries)
        yield from self._of_services()
        yield from self._of_limits()
        yield from self._of_cache()

    def _request_seconds(self) -> Metric:
        name = "gateway_request_seconds"
        histogram = HistogramMetricFamily(f"lectern_{name}", HELP[name], labels=("route", "status"))
        for (route, status), counts in self._durations.items():
            total, buckets = 0.0, []
            for bound, count in zip((*map(str, SECONDS), "+Inf"), counts[:-1], strict=True):
                total += count
                buckets.append((bound, total))
            histogram.add_metric((route, f"{status}xx"), buckets, counts[-1])
        return histogram

    def _of_services(self) -> Iterator[Metric]:
        # The label is not `service`: that one says whose process a series is of.
        upstream = _gauge("gateway_upstream", labels=("upstream", "state"))
        for service, (busy, idle) in self.upstream.items():
            upstream.add_metric((service, "busy"), busy)
            upstream.add_metric((service, "idle"), idle)
        yield upstream
        failures = _counter("gateway_upstream_failures", labels=("upstream",))
        for service, count in self.failures.items():
            failures.add_metric((service,), count)
        yield failures
        breakers = _gauge("gateway_service_away", labels=("upstream",))
        for service, is_open in self.breakers.items():
            breakers.add_metric((service,), is_open)
        yield breakers

    def _of_limits(self) -> Iterator[Metric]:
        limited = _counter("gateway_limited", labels=("policy",))
        for policy, count in self.refused.items():
            limited.add_metric((policy,), count)
        yield limited
        yield _counter("gateway_connections_refused", self.connections_refused)
        yield _gauge("gateway_limits_shared", self.limits_shared)

    def _of_cache(self) -> Iterator[Metric]:
        cache = _counter("gateway_cache", labels=("outcome",))
        for outcome, count in self.cache.items():
            cache.add_metric((outcome,), count)
        yield cache
        yield _gauge("gateway_cache_bytes", self.cache_bytes)
        yield _gauge("gateway_cache_fresh", self.cache_fresh)

    def render(self) -> bytes:
        return generate_latest(self._registry)
