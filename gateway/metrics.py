"""Counters that cost a dictionary look-up per request, exported by a Prometheus collector of our own.

prometheus-client's own histogram takes a lock for every bucket; here one thread counts, so plain lists do.
"""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics(Collector):
    """Durations by route template and status class, and gauges read when they are asked for."""

    def __init__(self) -> None:
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
        yield self._request_seconds()
        yield GaugeMetricFamily("lectern_gateway_clients", "Open client connections", value=self.clients)
        yield GaugeMetricFamily("lectern_gateway_sockets", "Open WebSockets", value=self.sockets)
        yield GaugeMetricFamily("lectern_gateway_in_flight", "Requests being answered", value=self.in_flight)
        yield CounterMetricFamily("lectern_gateway_retries", "Requests sent again", value=self.retries)
        yield from self._of_services()
        yield from self._of_limits()
        yield from self._of_cache()

    def _request_seconds(self) -> Metric:
        histogram = HistogramMetricFamily(
            "lectern_gateway_request_seconds",
            "Time from a request to its whole answer",
            labels=("route", "status"),
        )
        for (route, status), counts in self._durations.items():
            total, buckets = 0.0, []
            for bound, count in zip((*map(str, SECONDS), "+Inf"), counts[:-1], strict=True):
                total += count
                buckets.append((bound, total))
            histogram.add_metric((route, f"{status}xx"), buckets, counts[-1])
        return histogram

    def _of_services(self) -> Iterator[Metric]:
        upstream = GaugeMetricFamily(
            "lectern_gateway_upstream", "Connections to services", labels=("service", "state")
        )
        for service, (busy, idle) in self.upstream.items():
            upstream.add_metric((service, "busy"), busy)
            upstream.add_metric((service, "idle"), idle)
        yield upstream
        failures = CounterMetricFamily(
            "lectern_gateway_upstream_failures", "Connects refused and answers not given", labels=("service",)
        )
        for service, count in self.failures.items():
            failures.add_metric((service,), count)
        yield failures
        breakers = GaugeMetricFamily(
            "lectern_gateway_service_away", "1 while a service counts as away", labels=("service",)
        )
        for service, is_open in self.breakers.items():
            breakers.add_metric((service,), is_open)
        yield breakers

    def _of_limits(self) -> Iterator[Metric]:
        limited = CounterMetricFamily(
            "lectern_gateway_limited", "Requests answered 429 by class", labels=("policy",)
        )
        for policy, count in self.refused.items():
            limited.add_metric((policy,), count)
        yield limited
        yield CounterMetricFamily(
            "lectern_gateway_connections_refused",
            "Connections beyond the most, in all or of one address",
            value=self.connections_refused,
        )
        yield GaugeMetricFamily(
            "lectern_gateway_limits_shared",
            "1 while limits are counted in Valkey, 0 while this gateway counts alone",
            value=self.limits_shared,
        )

    def _of_cache(self) -> Iterator[Metric]:
        cache = CounterMetricFamily(
            "lectern_gateway_cache", "Anonymous reads of the catalogue by outcome", labels=("outcome",)
        )
        for outcome, count in self.cache.items():
            cache.add_metric((outcome,), count)
        yield cache
        yield GaugeMetricFamily(
            "lectern_gateway_cache_bytes", "Bytes of cached answers", value=self.cache_bytes
        )
        yield GaugeMetricFamily(
            "lectern_gateway_cache_fresh",
            "1 while the tail of the catalogue's events is up to date, 0 while the cache is not used",
            value=self.cache_fresh,
        )

    def render(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)
