"""Writes that go on while things break, and the invariants of docs/faults.md computed afterwards.

Nothing here asks the suite whether it is well: answers that clients got are compared with the databases, the
databases with the log, and read models with a fold of their sources.
"""

import asyncio
import os
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.control import Process
from deploy.local.database import service_url
from deploy.local.project import Project, environment
from deploy.local.testing import kafka_settings
from libs.common.bus.audit import audit
from libs.common.runtime.connections import kafka_arguments
from libs.common.testing.harness import eventually
from services.analytics import rebuild
from tests.support import Stage, Visitor, read_log

TICKETS = "/api/core/support-tickets/"


@dataclass
class Load:
    """What clients were told: ids of what was answered 2xx, and how everything was answered."""

    tickets: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    longest: float = 0.0


class World:
    """The suite under test, with one member of staff and two customers."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.seed = int(os.environ.get("LECTERN_FAULT_SEED", random.SystemRandom().randrange(2**32)))
        self.random = random.Random(self.seed)
        self.stage = Stage(project, uuid4().hex[:8])
        self.customers: list[Visitor] = []
        self.load = Load()

    async def open(self) -> None:
        self.customers = [await self.stage.join(name) for name in ("ada", "eve")]

    async def close(self) -> None:
        await self.stage.close()

    def process(self, name: str) -> Process:
        return Process(self.project, name)

    async def restart(self, name: str, failpoints: str = "", *, wait: bool = True) -> None:
        """Stop it and start it again: what dies at a failpoint must not be a successor that nobody needs."""
        process = self.process(name)
        await asyncio.to_thread(process.stop)
        await asyncio.to_thread(process.start, {"LECTERN_FAILPOINTS": failpoints}, wait=wait)

    def database(self, service: str) -> psycopg.Connection[Any]:
        url = service_url(self.project.postgres_url, service)
        return psycopg.connect(url, options=f"-c search_path={service},public", autocommit=True)

    def rows(self, service: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.database(service) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """The settings of this suite for what is called in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(self.project).items():
                patch.setenv(name, value)
            yield

    # Load

    async def write(self, writes: int) -> None:
        """So many writes, one after the other: tickets, and messages on them."""
        customer = self.random.choice(self.customers)
        mine: list[str] = []
        for number in range(writes):
            if not mine or self.random.random() < 0.3:
                body = {"subject": f"Ticket {number}", "description": "Something is broken, as it should be."}
                ticket = await self._post(customer, TICKETS, body)
                if ticket:
                    mine.append(ticket["uuid"])
                    self.load.tickets.append(ticket["uuid"])
            else:
                content = uuid4().hex
                path = f"{TICKETS}{self.random.choice(mine)}/messages/"
                if await self._post(customer, path, {"content": content}):
                    self.load.messages.append(content)

    async def _post(self, customer: Visitor, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        started = time.monotonic()
        try:
            answer = await customer.raw("POST", path, json=body)
        except httpx.HTTPError:
            self.load.statuses[0] += 1
            return None
        self.load.longest = max(self.load.longest, time.monotonic() - started)
        self.load.statuses[answer.status_code] += 1
        if answer.status_code == 201:
            found: dict[str, Any] = answer.json()
            return found
        assert answer.status_code in (503, 429), answer.text
        return None

    @asynccontextmanager
    async def writing(self, writers: int = 3) -> AsyncIterator[None]:
        """Writes go on from before the block until after it."""
        stop = asyncio.Event()

        async def keep_writing() -> None:
            while not stop.is_set():
                await self.write(5)

        tasks = [asyncio.create_task(keep_writing()) for _ in range(writers)]
        before = len(self.load.messages)
        await eventually(lambda: len(self.load.messages) >= before + 5, 30)
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    # Kafka by hand

    async def log(self, topic: str) -> list[tuple[str, int, bytes | None, dict[str, bytes]]]:
        """Every message of a topic: key, sequence number, value, headers."""
        found = []
        for message in await read_log(self.project, topic):
            headers = dict(message.headers)
            key = message.key.decode("utf-8", "replace") if message.key else ""
            found.append((key, int(headers.get("ce_sequence", b"0")), message.value, headers))
        return found

    async def publish(self, topic: str, messages: list[tuple[str, bytes | None, dict[str, bytes]]]) -> None:
        producer = AIOKafkaProducer(**kafka_arguments(kafka_settings(self.project)))
        await producer.start()
        try:
            for key, value, headers in messages:
                await producer.send_and_wait(topic, value, key=key.encode(), headers=list(headers.items()))
        finally:
            await producer.stop()

    # Invariants

    async def healed(self, within: float = 30) -> None:
        """I7: everything is delivered and applied within 30 s; then all the others hold."""

        async def drained() -> bool:
            with self._environment():
                broken = [balance for balance in await audit() if not balance.balanced]
            assert not broken, broken
            return True

        try:
            await eventually(drained, within, interval=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self.consumers()}") from None
        self.answered_is_stored()
        await self.log_is_whole()
        self.read_models_are_folds()
        await self.rebuilt_equals_live()
        await self.nobody_is_mailed_twice()

    async def consumers(self) -> str:
        """Where every service's consumer stands, and what its log last said of it: for whoever asks why."""
        said = []
        async with httpx.AsyncClient(timeout=5) as client:
            for name in self.project.services:
                try:
                    answer = await client.get(f"http://127.0.0.1:{self.project.ports[name]}/readyz")
                    said.append(f"{name}: {answer.text}")
                except httpx.HTTPError as error:
                    said.append(f"{name}: {error!r}")
                lines = (self.project.logs / f"{name}.log").read_text(errors="replace").splitlines()
                told = [
                    line for line in lines if "consumer" in line or "watchdog" in line or "aiokafka" in line
                ]
                said += told[-15:]
        return "\n".join(said)

    def answered_is_stored(self) -> None:
        """I1: what was answered 2xx is in the database."""
        tickets = {str(row[0]) for row in self.rows("support", "SELECT uuid FROM tickets")}
        messages = {row[0] for row in self.rows("support", "SELECT content FROM messages")}
        assert set(self.load.tickets) <= tickets
        assert set(self.load.messages) <= messages

    async def log_is_whole(self) -> None:
        """I2, I3: versions = distinct numbers in the log, first occurrences in order without gaps."""
        for service, table, topic in (
            ("support", "tickets", "support.events"),
            ("notify", "deliveries", "notify.events"),
            ("learning", "enrollments", "learning.events"),
        ):
            firsts: dict[str, list[int]] = defaultdict(list)
            for key, seq, _, _ in await self.log(topic):
                if seq not in firsts[key]:
                    firsts[key].append(seq)
            for uuid, version in self.rows(service, f"SELECT uuid::text, version FROM {table}"):
                if version:
                    assert firsts[uuid] == list(range(1, version + 1)), (topic, uuid)

    def read_models_are_folds(self) -> None:
        """I4: replicas and read models equal their sources, row by row."""
        users = self.rows("identity", "SELECT uuid, role FROM users WHERE erased_at IS NULL ORDER BY uuid")
        for service in ("support", "notify"):
            assert self.rows(service, "SELECT uuid, role FROM people ORDER BY uuid") == users, service
        number = self.rows("analytics", "SELECT number FROM live_projection")[0][0]
        state = "SELECT {uuid}, requester, status, priority, resolved_at IS NOT NULL FROM {table} ORDER BY 1"
        source = self.rows("support", state.format(uuid="uuid", table="tickets"))
        model = self.rows("analytics", state.format(uuid="ticket", table=f"projection_{number}.tickets"))
        assert model == source

    async def rebuilt_equals_live(self) -> None:
        """I4 for all read models at once: a fold of the whole log gives the same digests."""
        with self._environment():
            result = await rebuild.run(batch=0, swap_differing=False)
        assert result.differing == []

    async def nobody_is_mailed_twice(self) -> None:
        """I5: at most one mail per event and person has come out of the suite."""
        async with httpx.AsyncClient() as client:
            mails = (await client.get(f"{self.project.mail_url}/api/messages")).json()
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for mail in mails:
            if "code" not in mail["subject"].lower():
                counts[str(mail["to"]), mail["subject"]] += 1
        assert not {pair: n for pair, n in counts.items() if n > 1}

    def dead_letters(self) -> int:
        """Unresolved dead letters of all consumers."""
        services = [service for service in self.project.services if service != "identity"]
        query = "SELECT count(*) FROM dead_letter WHERE resolved_at IS NULL"
        return sum(self.rows(service, query)[0][0] for service in services)
