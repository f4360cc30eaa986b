"""What tests of every service use: a service in-process, `drain()`, `deliver()`, `eventually()`, tokens.

Nothing here replaces a module of ours: the database is PostgreSQL, the code path from the outbox to the
handlers is the real one without Kafka in the middle, and tasks run as the worker would run them.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Outcome, Record, Subscription
from libs.common.bus.relay import SELECT, kafka_headers
from libs.common.data.db import Database
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.data.tables import LANES
from libs.common.events.base import Event
from libs.common.runtime.clock import Clock, system_clock
from libs.common.runtime.settings import ServiceSettings
from libs.common.runtime.trace import Trace, tracing
from libs.common.security.tokens import KeySet, SigningKey, mint
from libs.common.web.border import HEADER, gateway_key
from libs.common.web.consistency import ConsistencyTokens

TEST_KEY = SigningKey.generate()


async def eventually(probe: Callable[[], Any], timeout: float = 10.0, interval: float = 0.02) -> Any:
    """The first truthy value of `probe`; an AssertionError with the last one after `timeout` seconds.

    An AssertionError inside the probe counts as not yet. `LECTERN_TEST_PATIENCE` multiplies every timeout.
    """
    timeout *= float(os.environ.get("LECTERN_TEST_PATIENCE", "1"))
    deadline = time.monotonic() + timeout
    last: Any = None
    while True:
        try:
            value = probe()
            last = await value if inspect.isawaitable(value) else value
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; last seen: {last!r}")
        await asyncio.sleep(interval)


def access_token(
    settings: ServiceSettings,
    user: UUID,
    role: str = "student",
    *,
    session: UUID | None = None,
    version: int = 1,
    clock: Clock = system_clock,
    lifetime: int = 600,
) -> str:
    """An access token signed with the key that every test application trusts."""
    return mint(
        TEST_KEY,
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        user=user,
        session=session or uuid4(),
        role=role,
        version=version,
        clock=clock,
        lifetime=lifetime,
    )


@dataclass
class Person:
    """Somebody who calls: `client` sends their token."""

    uuid: UUID
    role: str
    client: httpx.AsyncClient


@dataclass
class CollectedQueue:
    """Keeps started tasks until `drain()` runs them."""

    started: list[tuple[str, Sequence[str], Trace]] = field(default_factory=list)

    async def enqueue(self, name: str, arguments: Sequence[str], trace: Trace) -> None:
        self.started.append((name, arguments, trace))


@dataclass
class Harness:
    """One service in this process, on its real schema."""

    service: str
    app: FastAPI
    settings: Any
    db: Database
    subscription: Subscription | None
    tasks: Tasks
    queue: CollectedQueue
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A client of the application, as through the gateway; anonymous without a token."""
        headers.setdefault(HEADER.decode(), gateway_key(self.settings.secret).decode())
        if token:
            headers["Authorization"] = f"Bearer {token}"
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://testserver",
            headers=headers,
        )
        self.clients.append(client)
        return client

    def person(self, role: str = "student", uuid: UUID | None = None) -> Person:
        """Somebody with this role, known by their token only."""
        uuid = uuid or uuid4()
        return Person(uuid, role, self.client(access_token(self.settings, uuid, role)))

    def sealed(self, user: UUID, written: str) -> dict[str, str]:
        """The header by which this person's read waits for `topic:key:seq`."""
        return {"Consistency-Token": ConsistencyTokens(self.settings.secret).seal(user, written)}

    async def reset(self) -> None:
        """Empty every table of the service, and let its clock be the machine's."""
        self.app.state.clock = system_clock
        for client in self.clients:
            await client.aclose()
        self.clients.clear()
        self.queue.started.clear()
        async with self.db.engine.begin() as connection:
            names = await connection.scalars(
                text(
                    "SELECT quote_ident(tablename) FROM pg_tables"
                    " WHERE schemaname = :s AND tablename <> 'alembic_version'"
                ),
                {"s": self.service},
            )
            # Only what has rows: to truncate a table costs a millisecond, whether it is empty or not.
            asked = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)
            filled = (await connection.scalars(text(asked))).all()
            if filled:
                await connection.execute(text(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE"))

    async def deliver(self, *events: Event | tuple[Event, int], at: datetime | None = None) -> Outcome:
        """Apply events as if Kafka had brought them; without a number each is its key's next one."""
        assert self.subscription is not None
        outcome = Outcome()
        for entry in events:
            event, seq = entry if isinstance(entry, tuple) else (entry, None)
            if seq is None:
                seq = await self._next(event.topic, event.key)
            outcome.add(await apply_batch(self.db, self.subscription, [as_record(event, seq, at)]))
        return outcome

    async def _next(self, topic: str, key: str) -> int:
        async with self.db.sessions() as session:
            last = await session.scalar(
                text("SELECT last_seq FROM key_progress WHERE consumer = :c AND topic = :t AND key = :k"),
                {"c": self.service, "t": topic, "k": key},
            )
        return int(last or 0) + 1

    async def published(self) -> list[tuple[str, str, int]]:
        """`(type, key, key_seq)` of what waits in the outbox, in order."""
        async with self.db.sessions() as session:
            rows = await session.execute(text("SELECT type, key, key_seq FROM outbox ORDER BY seq"))
            return [(kind, key, seq) for kind, key, seq in rows]

    async def run_tasks(self) -> int:
        """Run every started task to its end; returns how many there were."""
        count = 0
        while self.queue.started:
            name, arguments, trace = self.queue.started.pop(0)
            with tracing(trace):
                await self.tasks.by_name[name].function(TaskRun(self.db), *arguments)
            count += 1
        return count

    async def run_task(self, name: str, *arguments: str, clock: Clock = system_clock) -> None:
        """Run one task, such as a sweep, as beat would start it."""
        await self.tasks.by_name[name].function(TaskRun(self.db, clock), *arguments)


def as_record(event: Event, seq: int, at: datetime | None = None, *, key: str | None = None) -> Record:
    """An event as a message on its topic."""
    moment = at or datetime.now(UTC)
    trace = {"x-request-id": f"test-{seq}", "traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"}
    row = (0, 0, uuid4(), event.topic, event.key, seq, event.type, moment, trace, None)
    headers = {name: value.decode() for name, value in kafka_headers("/lectern/test", row)}
    return Record(event.topic, key or event.key, event.model_dump_json().encode(), headers)


def open_harness(service: str, settings: ServiceSettings) -> Harness:
    """The service's application with a trusted test key and a queue that only collects."""
    queue = CollectedQueue()
    app = import_module(f"services.{service}.app").make_app(
        settings, keys=KeySet.static([TEST_KEY]), queue=queue
    )
    return Harness(
        service,
        app,
        settings,
        app.state.db,
        import_module(f"services.{service}.worker").SUBSCRIPTION,
        import_module(f"services.{service}.tasks").TASKS,
        queue,
    )


async def drain(harnesses: Iterable[Harness], *, rounds: int = 50) -> None:
    """Deliver outboxes to every subscriber and run started tasks, until nothing moves any more."""
    services = list(harnesses)
    for _ in range(rounds):
        moved = 0
        for source in services:
            records = await _take_outbox(source)
            moved += len(records)
            for target in services:
                if target.subscription is None:
                    continue
                wanted = [r for r in records if r.topic in target.subscription.topics]
                if wanted:
                    await apply_batch(target.db, target.subscription, wanted)
        for service in services:
            moved += await service.run_tasks()
        if not moved:
            return
    raise AssertionError(f"still moving after {rounds} rounds")


async def _take_outbox(source: Harness) -> list[Record]:
    statement = SELECT.replace("%s", ":lanes", 1).replace("%s", ":most", 1)
    async with source.db.engine.begin() as connection:
        rows = (
            await connection.execute(text(statement), {"lanes": list(range(LANES)), "most": 100_000})
        ).all()
        await connection.execute(text("DELETE FROM outbox"))
    return [
        Record(
            row[3],
            row[4],
            bytes(row[9]) if row[9] is not None else None,
            {name: value.decode() for name, value in kafka_headers(f"/lectern/{source.service}", tuple(row))},
        )
        for row in rows
    ]
