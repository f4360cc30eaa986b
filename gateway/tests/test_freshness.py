"""The cache hears of changes from a real Kafka, or is not used."""

import asyncio
import os
import signal
import time
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.servers import start_kafka
from deploy.local.testing import SuiteServers
from gateway.cache import CHANGES, VOLATILE
from gateway.tests.catalogue import PATH, WRITE, answering
from gateway.tests.harness import Client, Suite, Upstream, bearer
from libs.common.events.base import Event
from libs.common.events.catalog import CourseUpdated
from libs.common.events.identity import ProfileUpdated
from libs.common.events.topics import TOPICS, create_topics
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.settings import SuiteSettings
from libs.common.testing.harness import as_record, eventually

OURS = [topic for topic in TOPICS if topic.name in CHANGES | set(VOLATILE.values())]


class Catalogue:
    """Two gateways before one catalog, and the topics that it publishes to."""

    def __init__(self, start, upstream: Upstream, kafka: str) -> None:
        self._start = start
        self.upstream = upstream
        self.kafka = kafka
        self.prefix = f"{uuid4().hex[:8]}."

    async def open(self) -> tuple[Suite, Suite]:
        await create_topics(self.kafka, self.prefix, topics=OURS)
        url = f"http://127.0.0.1:{self.upstream.port}"
        settings = {"follow": True, "kafka": self.kafka, "topic_prefix": self.prefix, "catalog_url": url}
        one, two = await self._start((), **settings), await self._start((), **settings)
        await eventually(lambda: one.gateway.cache.freshness.holds() and two.gateway.cache.freshness.holds())
        return one, two

    async def publish(self, event: Event) -> None:
        record = as_record(event, 1)
        producer = AIOKafkaProducer(**kafka_arguments(SuiteSettings(kafka=self.kafka)))
        await producer.start()
        await producer.send_and_wait(
            self.prefix + event.topic, record.value, key=event.key.encode(),
            headers=[(name, value.encode()) for name, value in record.headers.items()],
        )  # fmt: skip
        await producer.stop()


def changed() -> Event:
    return CourseUpdated(course=uuid4(), title="T", instructor=uuid4(), actor=None, changed=("title",))


async def reads(client: Client, body: bytes) -> bool:
    return (await client.get(PATH)).body == body


async def is_kept(client: Client) -> bool:
    """Whether the second of two reads came from the cache."""
    await client.get(PATH)
    return (await client.get(PATH)).get("age") is not None


async def test_a_write_is_seen_through_another_gateway_within_a_second(start, catalog, servers: SuiteServers):
    catalogue = Catalogue(start, catalog, servers.kafka)
    one, two = [await suite.client() for suite in await catalogue.open()]
    for number in range(5):
        await eventually(lambda: is_kept(two))
        new = b"version %d" % number
        catalogue.upstream.handler = answering(new)
        assert not await reads(two, new)
        assert (await one.ask(f"{WRITE}{bearer()}\r\n{{}}")).status == 200
        answered = time.monotonic()
        assert await reads(one, new)  # at once where the write passed
        await catalogue.publish(changed())
        while not await reads(two, new):
            assert time.monotonic() - answered < 1, number


async def test_news_of_others_shorten_the_life_of_answers(start, catalog, servers: SuiteServers, monkeypatch):
    """Numbers of the enrolled and names of teachers come from other services, all the time."""
    monkeypatch.setattr("gateway.cache.VOLATILE_SECONDS", 0.5)
    catalogue = Catalogue(start, catalog, servers.kafka)
    suite, _ = await catalogue.open()
    client = await suite.client()
    await eventually(lambda: is_kept(client))
    catalog.handler = answering(b"with another number")
    assert not await reads(client, b"with another number")
    await catalogue.publish(ProfileUpdated(user=uuid4(), changed=("first_name",)))
    await eventually(lambda: reads(client, b"with another number"), timeout=3)
    assert await is_kept(client)


async def test_a_broken_tail_switches_the_cache_off_within_a_second(
    start, catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broker = await asyncio.to_thread(start_kafka, tmp_path)
    for name, value in broker.login.items():
        monkeypatch.setenv(name, value)
    catalogue = Catalogue(start, catalog, broker.url)
    try:
        suite, _ = await catalogue.open()
        client, freshness = await suite.client(), suite.gateway.cache.freshness
        assert await is_kept(client)

        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        await eventually(lambda: not freshness.holds())
        assert time.monotonic() - stopped < 1
        assert not await is_kept(client)
        os.kill(broker.pid, signal.SIGCONT)
        await eventually(freshness.holds, timeout=20)
        await eventually(lambda: is_kept(client))

        port = int(broker.url.rpartition(":")[2])
        await asyncio.to_thread(broker.stop)
        await eventually(lambda: not freshness.holds())
        assert not await is_kept(client)
        catalogue.upstream.handler = answering(b"changed meanwhile")
        broker = await asyncio.to_thread(start_kafka, tmp_path, port)
        await create_topics(broker.url, catalogue.prefix, topics=OURS)
        await eventually(freshness.holds, timeout=30)
        assert await reads(client, b"changed meanwhile")
        await eventually(lambda: is_kept(client))
    finally:
        await asyncio.to_thread(broker.stop)


async def test_a_gateway_without_its_topics_serves_without_a_cache(start, servers: SuiteServers):
    suite = await start(follow=True, kafka=servers.kafka, topic_prefix=f"{uuid4().hex[:8]}.")
    client = await suite.client()
    assert not await is_kept(client)
    await create_topics(servers.kafka, suite.settings.topic_prefix, topics=OURS)
    await eventually(suite.gateway.cache.freshness.holds, timeout=20)
    assert await is_kept(client)
