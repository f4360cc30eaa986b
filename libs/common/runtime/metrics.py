"""Every metric that services and workers export, in one place.

The help texts are what an operator reads: `docs/metrics-operations.md` is made of them, and of the gateway's
in `gateway/metrics.py`. Labels have few values: never a person, a course or a path. Which process a series
is of (`service`, `instance`) is added by Prometheus, from the target that it scrapes.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol
from weakref import WeakSet

from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.common.runtime.release import release

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which no rule reads

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LAG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
TASK_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)

BUILD = Gauge("lectern_build_info", "Always 1; the release of this process stands in its label", ("version",))
BUILD.labels(release()).set(1)

# Requests
REQUESTS = Histogram(
    "lectern_request_seconds",
    "Answer time of a request, by method, route template and class of status (`5xx` are errors)",
    ("method", "route", "status"),
    buckets=SECONDS,
)
STALE_READS = Counter(
    "lectern_stale_reads_total",
    "Reads answered before their Consistency-Token was reached: the caller may not see their own last write",
)
SOCKETS = Gauge("lectern_sockets", "WebSockets open in this process")
SOCKETS_CLOSED = Counter(
    "lectern_sockets_closed_total",
    "WebSockets that the server ended, by close code (1012 restart, 1013 too slow, 4401 session over)",
    ("code",),
)

# Outbox and relay
OUTBOX_PENDING = Gauge(
    "lectern_outbox_pending",
    "Events of the whole service that Kafka has not acknowledged; counted up to 100,000",
)
OUTBOX_OLDEST = Gauge(
    "lectern_outbox_oldest_seconds",
    "Age of the oldest event that Kafka has not acknowledged, 0 where none waits",
)
OUTBOX_DELAY = Histogram(
    "lectern_outbox_delay_seconds",
    "Time from an event's write to Kafka's acknowledgement, of the oldest event of each wave",
    buckets=LAG_SECONDS,
)
RELAYED = Counter("lectern_outbox_relayed_total", "Events sent to Kafka and acknowledged", ("topic",))
RELAY_FAILURES = Counter(
    "lectern_outbox_failures_total",
    "Waves of the relay that failed: their events stay in the outbox and are sent again",
)
LANES_OWNED = Gauge(
    "lectern_outbox_lanes_owned",
    "Lanes whose advisory lock this relay holds; all relays of a service together hold 32",
)

# Consumers
APPLIED = Counter("lectern_events_applied_total", "Events applied by a consumer", ("consumer", "topic"))
DUPLICATES = Counter(
    "lectern_events_duplicate_total", "Events skipped because they were applied before", ("consumer",)
)
UNDONE = Counter("lectern_events_undone_total", "Events dropped because a restore undid them", ("consumer",))
PARKED = Counter(
    "lectern_events_parked_total",
    "Events stored in dead_letter, by reason: error, gap, malformed, or behind another of their key",
    ("consumer", "reason"),
)
PARKED_KEYS = Gauge(
    "lectern_parked_keys",
    "Keys whose events wait in dead_letter until somebody has looked at the first of them",
    ("consumer",),
)
DEAD_LETTERS = Gauge(
    "lectern_dead_letters", "Events in dead_letter that nobody has resolved; counted up to 100,000"
)
APPLY_LAG = Histogram(
    "lectern_event_lag_seconds",
    "Time from an event's write to its application, of the oldest event of each batch",
    ("consumer",),
    buckets=LAG_SECONDS,
)
CONSUMER_LAG = Gauge(
    "lectern_consumer_lag", "Events behind in the partitions that a consumer has", ("consumer",)
)
CONSUMER_LAG_SECONDS = Gauge(
    "lectern_consumer_lag_seconds",
    "How long the oldest event in the partitions that a consumer has waits for it, 0 where it is up to date",
    ("consumer",),
)
CONSUMER_HALTED = Gauge(
    "lectern_consumer_halted",
    "1 when a consumer stopped itself because too many events could not be applied",
    ("consumer",),
)

# Tasks and mail
TASKS = Histogram(
    "lectern_task_seconds",
    "Run time of a task, by name and outcome (done, failed)",
    ("task", "outcome"),
    buckets=TASK_SECONDS,
)
TASK_WAIT = Histogram(
    "lectern_task_wait_seconds",
    "Time that a task waited for a worker, from the commit that wanted it",
    ("task",),
    buckets=TASK_SECONDS,
)
TASK_SUCCESS = Gauge(
    "lectern_task_success_timestamp_seconds",
    "When a task that beat starts ended well for the last time; at first when the worker began",
    ("task",),
)
TASK_INTERVAL = Gauge("lectern_task_interval_seconds", "How often beat starts a task", ("task",))
TASKS_NOT_SENT = Counter(
    "lectern_tasks_not_sent_total",
    "Tasks that the broker did not take; the sweeps start them later",
)
JOB_OLDEST = Gauge(
    "lectern_job_oldest_seconds",
    "Age of the oldest row that waits for its task (a mail, a certificate, an export), 0 where none does",
    ("task",),
)
MAILS = Counter(
    "lectern_mails_total",
    "Mails by what the mail server did: sent, refused (tried again later), or uncertain (not tried again)",
    ("outcome",),
)
MAIL_SECONDS = Histogram("lectern_mail_seconds", "Time to hand one mail over", buckets=TASK_SECONDS)


class Pool(Protocol):
    """A pool of database connections."""

    @property
    def service(self) -> str: ...

    def usage(self) -> tuple[int, int]:
        """Connections in use now, and the most there may be."""
        ...


class Pools(Collector):
    """The pools of this process, asked when they are scraped."""

    def __init__(self) -> None:
        self._pools: WeakSet[Pool] = WeakSet()

    def add(self, pool: Pool) -> None:
        self._pools.add(pool)

    def collect(self) -> Iterator[Metric]:
        busy = GaugeMetricFamily(
            "lectern_database_connections",
            "Database connections of this process that a transaction has taken",
            labels=("schema",),
        )
        most = GaugeMetricFamily(
            "lectern_database_connections_most",
            "The most that it may take: who finds all of them taken waits five seconds, then answers 503",
            labels=("schema",),
        )
        usage: dict[str, tuple[int, int]] = {}
        for pool in list(self._pools):
            taken, size = pool.usage()
            before = usage.get(pool.service, (0, 0))
            usage[pool.service] = (before[0] + taken, before[1] + size)
        for service, (taken, size) in usage.items():
            busy.add_metric((service,), taken)
            most.add_metric((service,), size)
        yield busy
        yield most


POOLS = Pools()
REGISTRY.register(POOLS)


def declared() -> Iterable[Metric]:
    """Every family of this process's own, without what the Python client adds (process_*, python_*)."""
    for family in REGISTRY.collect():
        if family.name.startswith("lectern_"):
            yield family


def serve_metrics(port: int, host: str = "127.0.0.1") -> None:
    """Show `/metrics` from a thread, in a process that has no HTTP of its own; 0 is no port."""
    if port:
        start_http_server(port, addr=host)
