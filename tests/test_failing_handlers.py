"""What fails in a handler parks its key and nothing else: every handler of every service, by its golden."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from conftest import OpenHarness
from libs.common.bus.inbox import apply_batch, replay
from libs.common.bus.received import Handler, Received, Subscription
from libs.common.events import EVENTS
from libs.common.events.base import Event
from libs.common.testing.harness import Harness, as_record
from tests.test_contracts import GOLDENS, READERS

HANDLED = [
    (service, cls.type)
    for service in READERS
    for cls in sorted(import_module(f"services.{service}.consumers").HANDLERS, key=lambda cls: cls.type)
]


def golden(kind: str) -> Event:
    return EVENTS[kind].model_validate_json((GOLDENS / f"{kind}.json").read_bytes())


def of_another_key(event: Event) -> Event:
    return event.model_copy(update={event.key_field: uuid4()})


def failing_for(subscription: Subscription, bad: Event) -> Subscription:
    """The same, but the handler of one key's events does its work, and then the database refuses."""

    def wrap(handler: Handler) -> Handler:
        async def handle(session: AsyncSession, batch: Sequence[Received[Any]]) -> None:
            await handler(session, batch)
            if any(item.key == bad.key and item.type == bad.type for item in batch):
                await session.flush()
                await session.execute(text("SELECT 1 / 0"))

        return handle

    handlers = {cls: wrap(handler) for cls, handler in subscription.handlers.items()}
    return Subscription(subscription.consumer, handlers, subscription.observe, subscription.also)


async def rows(harness: Harness) -> dict[str, int]:
    """How many rows each table has, but for what the inbox notes of its own progress."""
    async with harness.db.sessions() as session:
        names = await session.scalars(
            text(
                "SELECT quote_ident(tablename) FROM pg_tables"
                " WHERE schemaname = :s AND tablename <> ALL (:own)"
            ),
            {"s": harness.service, "own": ["alembic_version", "key_progress", "dead_letter"]},
        )
        asked = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in names)
        return {name: count for name, count in await session.execute(text(asked)) if count}


async def standing(harness: Harness, event: Event) -> tuple[int, str | None]:
    async with harness.db.sessions() as session:
        row = await session.execute(
            text("SELECT last_seq, parked FROM key_progress WHERE topic = :t AND key = :k"),
            {"t": event.topic, "k": event.key},
        )
        last, parked = row.one()
        return last, parked


@pytest.mark.parametrize(("service", "kind"), HANDLED)
async def test_a_handler_that_fails_parks_its_key_and_a_redrive_applies_it(
    open_service: OpenHarness, service: str, kind: str
):
    harness = await open_service(service)
    assert harness.subscription is not None
    bad = golden(kind)
    other = of_another_key(bad)
    await apply_batch(harness.db, harness.subscription, [as_record(bad, 1), as_record(other, 1)])
    wanted, started = await rows(harness), len(harness.queue.started)
    await harness.reset()

    failing = failing_for(harness.subscription, bad)
    outcome = await apply_batch(harness.db, failing, [as_record(bad, 1)])
    assert (outcome.applied, outcome.parked, outcome.failures) == (0, 1, 1)
    assert await standing(harness, bad) == (0, "error")
    assert (await rows(harness), harness.queue.started) == ({}, [])

    outcome = await apply_batch(harness.db, failing, [as_record(bad, 1), as_record(other, 1)])
    assert (outcome.applied, outcome.parked) == (1, 0)
    assert await standing(harness, bad) == (0, "error")
    assert await standing(harness, other) == (1, None)

    async with harness.db.session() as session:
        outcome = await replay(session, harness.subscription, bad.topic, bad.key, "by a test")
    assert outcome.applied == 1
    assert await standing(harness, bad) == (1, None)
    assert (await rows(harness), len(harness.queue.started)) == (wanted, started)
