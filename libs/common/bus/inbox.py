"""Applying events: once each, in order per key, in one transaction per batch.

`key_progress` holds the last sequence number applied per consumer, topic and key. Under its row locks a batch
skips what was seen, applies what is next, and holds what came too early; the same table is the order guard,
the loss detector, the fence against zombies and the clock of read-your-writes.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus import deadletters
from libs.common.bus.received import MalformedEvent, Outcome, Received, Record, Subscription, decode
from libs.common.bus.spans import applied
from libs.common.data.db import Database
from libs.common.runtime import metrics
from libs.common.runtime.errors import is_transient
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

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
    began = time.time_ns()
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
        outcome.add(await replay(session, subscription, topic, key, "the missing event arrived"))
    _observe(consumer, ready, outcome)
    applied(consumer, ready, began)
    return outcome


async def replay(
    session: AsyncSession, subscription: Subscription, topic: str, key: str, why: str
) -> Outcome:
    """Apply the waiting events of one key in order, as far as they are contiguous, and unpark it.

    Takes the lock of the key's progress. Raises what a handler raises: then nothing of it is done.
    """
    consumer = subscription.consumer
    outcome = Outcome()
    progress = await lock_progress(session, consumer, {(topic, key)})
    last, _ = progress[topic, key]
    rows = await deadletters.waiting(session, consumer, topic, key)
    is_log = topic.endswith(".events")
    parked: str | None = None
    done: list[int] = []
    for row in rows:
        record = Record(topic, key, row.payload, {**row.headers}, partition=row.partition, offset=row.offset)
        item = decode(subscription, record)
        if item.seq > last:
            if is_log and item.seq != last + 1:
                parked = "gap"
                break
            if item.error is not None:
                raise item.error
            await handle(session, subscription, [item])
            last = item.seq
            outcome.applied += 1
        done.append(row.id)
    await session.execute(
        text("UPDATE dead_letter SET resolved_at = now(), resolution = :why WHERE id = ANY(:ids)"),
        {"why": why, "ids": done},
    )
    await save_progress(session, consumer, {(topic, key): (last, parked)})
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
        metrics.DUPLICATES.labels(consumer).inc(outcome.duplicates)
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
