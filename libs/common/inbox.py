"""Applying events: once each, in order per key, in one transaction per batch.

`key_progress` holds the last sequence number applied per consumer, topic and key. Under its row locks a batch
skips what was seen, applies what is next, and holds what came too early; the same table is the order guard,
the loss detector, the fence against zombies and the clock of read-your-writes.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common import deadletters, metrics
from libs.common.db import Database
from libs.common.errors import is_transient
from libs.common.events.base import REGISTRY, Event
from libs.common.failpoints import failpoint
from libs.common.logs import get_logger
from libs.common.trace import Trace, from_headers

log = get_logger(__name__)

E = TypeVar("E", bound=Event)
RETRIES = 5
FEW, ON_A_LINE = 20, 50  # events of a batch that get a log line each; of a larger one, that share a line

LOCK_PROGRESS = text(
    "SELECT p.topic, p.key, p.last_seq, p.parked FROM key_progress p"
    " JOIN unnest(CAST(:t AS text[]), CAST(:k AS text[])) AS wanted(topic, key)"
    " ON p.topic = wanted.topic AND p.key = wanted.key WHERE p.consumer = :c"
    " ORDER BY p.topic, p.key FOR UPDATE OF p"
)
MAKE_PROGRESS = text(
    "INSERT INTO key_progress (consumer, topic, key, last_seq)"
    " SELECT :c, topic, key, 0 FROM unnest(CAST(:t AS text[]), CAST(:k AS text[]))"
    " AS wanted(topic, key) ORDER BY topic, key ON CONFLICT DO NOTHING"
    " RETURNING topic, key, last_seq, parked"
)
SAVE_PROGRESS = text(
    "UPDATE key_progress p SET last_seq = n.last_seq, parked = n.parked FROM"
    " unnest(CAST(:t AS text[]), CAST(:k AS text[]), CAST(:s AS bigint[]), CAST(:p AS text[]))"
    " AS n(topic, key, last_seq, parked)"
    " WHERE p.consumer = :c AND p.topic = n.topic AND p.key = n.key"
)


class MalformedEvent(ValueError):
    """The message is not an event that this consumer can read."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it stands in a topic (without the topic prefix). `value` None is a tombstone."""

    topic: str
    key: str | None
    value: bytes | None
    headers: dict[str, str]
    partition: int | None = None
    offset: int | None = None


@dataclass(slots=True)
class Received(Generic[E]):
    """An event as a handler gets it; `event` is None when a state topic deletes the aggregate."""

    record: Record
    topic: str
    key: str
    seq: int
    type: str
    event: E | None = None
    error: Exception | None = None

    @property
    def id(self) -> str:
        return self.record.headers["ce_id"]

    @property
    def occurred_at(self) -> datetime:
        return datetime.fromisoformat(self.record.headers["ce_time"])

    @property
    def trace(self) -> Trace:
        return from_headers(self.record.headers)


Handler = Callable[[AsyncSession, Sequence[Any]], Awaitable[None]]


@dataclass
class Subscription:
    """What one service consumes: a handler per event class, each given all events of its class in a batch.

    Events of one key keep their order; of a state topic only the newest state per key of a batch is given.
    `observe` gets everything that is applied, of every type; `also` names topics without a handler.
    """

    consumer: str
    handlers: dict[type[Any], Handler]
    observe: Handler | None = None
    also: tuple[str, ...] = ()
    by_type: dict[str, tuple[type[Event], Handler]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_type = {cls.type: (cls, handler) for cls, handler in self.handlers.items()}
        self.names = {kind.rpartition(".v")[0] for kind in self.by_type}

    @property
    def topics(self) -> list[str]:
        return sorted({cls.topic for cls in self.handlers} | set(self.also))


@dataclass
class Outcome:
    """What became of a batch."""

    applied: int = 0
    duplicates: int = 0
    parked: int = 0
    failures: int = 0

    def add(self, other: "Outcome") -> None:
        self.applied += other.applied
        self.duplicates += other.duplicates
        self.parked += other.parked
        self.failures += other.failures


def decode(subscription: Subscription, record: Record) -> Received[Any]:
    """Read the envelope, or raise MalformedEvent; a payload that cannot be read is kept as `error`."""
    try:
        kind = record.headers["ce_type"]
        seq = int(record.headers["ce_sequence"])
        datetime.fromisoformat(record.headers["ce_time"])
        record.headers["ce_id"]
    except (KeyError, ValueError) as error:
        raise MalformedEvent(f"envelope: {error!r}") from error
    if not record.key or seq < 1:
        raise MalformedEvent("envelope: no key, or a sequence below 1")
    received: Received[Any] = Received(record, record.topic, record.key, seq, kind)
    known = subscription.by_type.get(kind)
    name, _, version = kind.rpartition(".v")
    if record.headers.get("ce_specversion") != "1.0":
        received.error = MalformedEvent("specversion is not 1.0")
    elif known is not None and known[0].topic != record.topic:
        received.error = MalformedEvent(f"{kind} does not belong on {record.topic}")
    elif known is None and name in subscription.names:
        # Skipping a version that we cannot read would lose the fact silently.
        received.error = MalformedEvent(f"major version {version} of {name} is unknown here")
    elif known is not None and record.value is not None:
        try:
            received.event = known[0].model_validate_json(record.value)
            if received.event.key != record.key:
                received.error = MalformedEvent(f"key {received.event.key} inside, {record.key} outside")
        except ValidationError as error:
            received.error = MalformedEvent(str(error))
    elif known is not None and not known[0].state:
        received.error = MalformedEvent("an empty value on a log topic")
    elif known is None and subscription.observe is not None and record.value is not None:
        received.error = _unreadable(kind, record.value)
    return received


def _unreadable(kind: str, value: bytes) -> Exception | None:
    cls = REGISTRY.get(kind)
    if cls is None:
        return None
    try:
        cls.model_validate_json(value)
    except ValidationError as error:
        return MalformedEvent(str(error))
    return None


async def apply_batch(db: Database, subscription: Subscription, records: Iterable[Record]) -> Outcome:
    """Apply `records` in order. Returns what became of them; raises only when infrastructure failed.

    An event that fails deterministically is found by bisection, retried, then parked with its key in
    `dead_letter`; everything else is applied.
    """
    outcome = Outcome()
    batch: list[Received[Any]] = []
    malformed: list[tuple[Record, Exception]] = []
    for record in records:
        try:
            batch.append(decode(subscription, record))
        except MalformedEvent as error:
            malformed.append((record, error))
    if malformed:
        async with db.session() as session:
            outcome.parked += await deadletters.store_malformed(session, subscription.consumer, malformed)
        outcome.failures += len(malformed)
    await _apply_or_bisect(db, subscription, batch, outcome)
    if outcome.applied:
        async with db.progressed:
            db.progressed.notify_all()
    return outcome


async def _apply_or_bisect(
    db: Database, subscription: Subscription, batch: list[Received[Any]], outcome: Outcome
) -> None:
    if not batch:
        return
    try:
        outcome.add(await _apply(db, subscription, batch))
        return
    except Exception as error:
        if is_transient(error):
            raise
        failure = error
    if len(batch) > 1:
        middle = len(batch) // 2
        await _apply_or_bisect(db, subscription, batch[:middle], outcome)
        await _apply_or_bisect(db, subscription, batch[middle:], outcome)
        return
    for _ in range(RETRIES - 1):
        try:
            outcome.add(await _apply(db, subscription, batch))
            return
        except Exception as error:
            if is_transient(error):
                raise
            failure = error
    batch[0].error = failure
    outcome.add(await _apply(db, subscription, batch))


async def _apply(db: Database, subscription: Subscription, batch: list[Received[Any]]) -> Outcome:
    async with db.session() as session:
        outcome = await apply_in(session, subscription, batch)
        failpoint("consumer.before_commit")
    failpoint("consumer.after_commit")
    return outcome


async def apply_in(
    session: AsyncSession, subscription: Subscription, batch: Sequence[Received[Any]]
) -> Outcome:
    """One transaction's worth: lock progress, sort out, handle, advance."""
    consumer = subscription.consumer
    outcome = Outcome()
    progress = await lock_progress(session, consumer, {(item.topic, item.key) for item in batch})
    ready: list[Received[Any]] = []
    held: list[tuple[Received[Any], str]] = []
    mended: list[tuple[str, str]] = []
    for item in batch:
        place = (item.topic, item.key)
        last, parked = progress[place]
        if item.seq <= last:
            outcome.duplicates += 1
            continue
        contiguous = item.seq == last + 1
        if parked == "error" or (parked == "gap" and not contiguous):
            held.append((item, "behind"))
        elif item.error is not None:
            held.append((item, "error"))
            progress[place] = (last, "error")
            outcome.failures += 1
        elif contiguous or not item.topic.endswith(".events"):
            if parked == "gap":
                mended.append(place)
            ready.append(item)
            progress[place] = (item.seq, parked)
        else:
            held.append((item, "gap"))
            progress[place] = (last, "gap")
            log.error("event_missing", consumer=consumer, key=item.key, expected=last + 1, got=item.seq)
    await handle(session, subscription, ready)
    if held:
        outcome.parked += await deadletters.store_held(session, consumer, held)
    touched = {(item.topic, item.key) for item in ready} | {(i.topic, i.key) for i, _ in held}
    await save_progress(session, consumer, {place: progress[place] for place in touched})
    outcome.applied += len(ready)
    for topic, key in mended:
        outcome.add(await deadletters.replay(session, subscription, topic, key, "the missing event arrived"))
    _observe(consumer, ready, outcome)
    return outcome


async def lock_progress(
    session: AsyncSession, consumer: str, places: set[tuple[str, str]]
) -> dict[tuple[str, str], tuple[int, str | None]]:
    """Lock the progress rows of `places`, making what is missing. Sorted, so that two batches queue."""
    ordered = sorted(places)
    values = {"c": consumer, "t": [t for t, _ in ordered], "k": [k for _, k in ordered]}
    rows = list((await session.execute(LOCK_PROGRESS, values)).all())
    if len(rows) < len(ordered):
        # What is made here is ours already; only where somebody else was first must it be locked, too.
        rows += (await session.execute(MAKE_PROGRESS, values)).all()
        if len(rows) < len(ordered):
            rows = list((await session.execute(LOCK_PROGRESS, values)).all())
    return {(topic, key): (last, parked) for topic, key, last, parked in rows}


async def save_progress(
    session: AsyncSession, consumer: str, progress: dict[tuple[str, str], tuple[int, str | None]]
) -> None:
    await session.execute(
        SAVE_PROGRESS,
        {
            "c": consumer,
            "t": [topic for topic, _ in progress],
            "k": [key for _, key in progress],
            "s": [last for last, _ in progress.values()],
            "p": [parked for _, parked in progress.values()],
        },
    )


async def handle(session: AsyncSession, subscription: Subscription, items: Sequence[Received[Any]]) -> None:
    """Give each handler its events of the batch at once, keeping the order of each key's events."""
    if not items:
        return
    if subscription.observe is not None:
        await subscription.observe(session, items)
    rounds: dict[tuple[int, str], list[Received[Any]]] = defaultdict(list)
    turn: dict[tuple[str, str], tuple[int, str]] = {}
    newest = {(i.topic, i.key): i.seq for i in items}
    for item in items:
        known = subscription.by_type.get(item.type)
        if known is None:
            continue
        place = (item.topic, item.key)
        if known[0].state and newest[place] != item.seq:
            continue
        number, kind = turn.get(place, (0, item.type))
        if kind != item.type:
            number += 1
        turn[place] = (number, item.type)
        rounds[number, item.type].append(item)
    for number, kind in sorted(rounds):
        await subscription.by_type[kind][1](session, rounds[number, kind])
    failpoint("consumer.handled")


def _observe(consumer: str, ready: Sequence[Received[Any]], outcome: Outcome) -> None:
    for topic in {item.topic for item in ready}:
        metrics.APPLIED.labels(consumer, topic).inc(sum(item.topic == topic for item in ready))
    if outcome.duplicates:
        metrics.DUPLICATES.labels(consumer, "all").inc(outcome.duplicates)
    if ready:
        oldest = min(item.occurred_at for item in ready)
        metrics.APPLY_LAG.labels(consumer).observe((datetime.now(UTC) - oldest).total_seconds())
    _write_down(consumer, ready)


def _write_down(consumer: str, ready: Sequence[Received[Any]]) -> None:
    """Every applied event with its request id, so that one grep finds it; a backlog many to a line."""
    if len(ready) <= FEW:
        for item in ready:
            log.info(
                "event_applied",
                consumer=consumer,
                type=item.type,
                key=item.key,
                seq=item.seq,
                request_id=item.record.headers.get("x-request-id"),
            )
        return
    for at in range(0, len(ready), ON_A_LINE):
        log.info(
            "events_applied",
            consumer=consumer,
            events=", ".join(
                f"{item.type} {item.key} {item.seq} {item.record.headers.get('x-request-id')}"
                for item in ready[at : at + ON_A_LINE]
            ),
        )
