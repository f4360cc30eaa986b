"""Every metric that services and workers export, in one place."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Histogram(
    "lectern_request_seconds", "Answer time of a request", ("method", "route", "status"), buckets=SECONDS
)
RELAYED = Counter("lectern_outbox_relayed_total", "Events sent to Kafka and acknowledged", ("topic",))
RELAY_FAILURES = Counter("lectern_outbox_failures_total", "Waves of the relay that failed and were kept")
OUTBOX_PENDING = Gauge("lectern_outbox_pending", "Events in the outbox that Kafka has not acknowledged")
LANES_OWNED = Gauge("lectern_outbox_lanes_owned", "Lanes whose advisory lock this relay holds")
APPLIED = Counter("lectern_events_applied_total", "Events applied by a consumer", ("consumer", "topic"))
DUPLICATES = Counter("lectern_events_duplicate_total", "Events skipped as seen before", ("consumer", "topic"))
UNDONE = Counter("lectern_events_undone_total", "Events dropped because a restore undid them", ("consumer",))
PARKED = Counter("lectern_events_parked_total", "Events stored in dead_letter", ("consumer", "reason"))
APPLY_LAG = Histogram(
    "lectern_event_lag_seconds",
    "Time from an event's write to its application",
    ("consumer",),
    buckets=SECONDS,
)
CONSUMER_LAG = Gauge(
    "lectern_consumer_lag", "Events behind in the partitions that a consumer has", ("consumer",)
)
CONSUMER_HALTED = Gauge("lectern_consumer_halted", "1 when a consumer stopped itself", ("consumer",))
STALE_READS = Counter(
    "lectern_stale_reads_total", "Reads answered before their Consistency-Token was reached"
)
