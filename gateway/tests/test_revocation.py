"""Dead tokens are dead within 5 seconds at a real gateway, with Valkey, without it, and when it is back."""

import asyncio
import os
import signal
import time
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.servers import Server, start_valkey
from deploy.local.testing import SuiteServers
from gateway.tests.harness import SCRAPE, bearer, token
from gateway.tests.processes import Running
from gateway.tests.rooms import Room, join
from libs.common.events.base import Event
from libs.common.events.identity import AccessChanged, SessionEnded
from libs.common.events.topics import TOPICS, create_topics
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.settings import SuiteSettings
from libs.common.testing.harness import as_record, eventually

WITHIN = 5.0


async def publish(kafka: str, prefix: str, event: Event) -> None:
    record = as_record(event, 1)
    producer = AIOKafkaProducer(**kafka_arguments(SuiteSettings(kafka=kafka)))
    await producer.start()
    await producer.send_and_wait(
        prefix + event.topic, record.value, key=event.key.encode(),
        headers=[(name, value.encode()) for name, value in record.headers.items()],
    )  # fmt: skip
    await producer.stop()


class Person:
    """Somebody with a token, a connection, and a socket that was opened with the token."""

    def __init__(self) -> None:
        self.user, self.session = uuid4(), uuid4()
        self.header = bearer(token(self.session, self.user, version=3))

    async def come(self, running: Running) -> None:
        self.client = await running.client()
        assert await self.status() == 200
        value = self.header.split(": ")[1].strip()
        self.socket = await join(running, additional_headers={"Authorization": value})
        await self.socket.send("hello")
        assert await self.socket.recv() == "hello"

    async def status(self) -> int:
        return (await self.client.get("/api/courses/", self.header)).status


@pytest.mark.promise("revocation")
@pytest.mark.timeout(180)
async def test_revoked_within_five_seconds_whatever_valkey_does(
    servers: SuiteServers, valkey: Server, tmp_path: Path
):
    prefix, forum = f"{uuid4().hex[:8]}.", Room()
    await create_topics(servers.kafka, prefix, topics=TOPICS)
    await forum.start()
    running = Running(
        LECTERN_KAFKA=servers.kafka, LECTERN_TOPIC_PREFIX=prefix, LECTERN_VALKEY_URL=valkey.url,
        GATEWAY_FORUM_URL=f"http://127.0.0.1:{forum.port}", GATEWAY_START_PATIENCE="10",
    )  # fmt: skip
    await running.open()
    await running.start()
    await running.wait_ready()
    again: Server | None = None

    async def shared(expected: str) -> bool:
        text = (await (await running.client()).get("/metrics", SCRAPE)).body.decode()
        return f"lectern_gateway_limits_shared {expected}" in text

    async def all_revoked() -> None:
        stays, *people = [Person() for _ in range(4)]
        for person in (stays, *people):
            await person.come(running)
        began = time.monotonic()
        for person in people[:2]:
            await publish(
                servers.kafka, prefix, SessionEnded(session=person.session, user=person.user, reason="logout")
            )
        await publish(servers.kafka, prefix, AccessChanged(user=people[2].user, ver=4, reason="disabled"))
        for person in people:
            await eventually(partial(is_401, person), timeout=WITHIN)
            async with asyncio.timeout(WITHIN):
                await person.socket.wait_closed()
            assert person.socket.close_code == 4401
        assert time.monotonic() - began < WITHIN
        assert await stays.status() == 200
        await stays.socket.send("still here")
        assert await stays.socket.recv() == "still here"
        await stays.socket.close()

    async def is_401(person: Person) -> bool:
        return await person.status() == 401

    try:
        await eventually(lambda: shared("1.0"))
        await all_revoked()
        os.kill(valkey.pid or 0, signal.SIGKILL)
        await eventually(lambda: shared("0.0"))
        await all_revoked()
        again = await asyncio.to_thread(
            start_valkey, tmp_path, int(valkey.url.rpartition(":")[2]), durable=False
        )
        await all_revoked()  # while it is coming back
        await eventually(lambda: shared("1.0"))
        await all_revoked()
    finally:
        if again is not None:
            await asyncio.to_thread(again.stop)
        await running.close()
        await forum.stop()
