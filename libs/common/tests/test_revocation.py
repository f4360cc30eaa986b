"""The list of dead tokens: what it believes, and how it hears of them from a real Kafka."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.servers import Server, start_kafka
from deploy.local.testing import SuiteServers
from libs.common.events.identity import AccessChanged, SessionEnded
from libs.common.events.topics import TOPICS, create_topics
from libs.common.runtime.clock import SettableClock
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.settings import SuiteSettings
from libs.common.security import revocation
from libs.common.security.revocation import KEEP, LOOK_BACK, Revocation, RevocationList
from libs.common.security.tokens import LEEWAY, LIFETIME, Principal
from libs.common.testing.harness import as_record, eventually

IDENTITY_EVENTS = [topic for topic in TOPICS if topic.name == "identity.events"]


def principal(**changed) -> Principal:
    return Principal(
        **{"user": uuid4(), "session": uuid4(), "role": "student", "version": 3, "expires_at": 0, **changed}
    )


def a_list(clock=None) -> RevocationList:
    return RevocationList(SuiteSettings(environment="test", kafka="127.0.0.1:1"), clock or SettableClock())


def test_an_ended_session_kills_its_tokens_and_no_others():
    known, one = a_list(), principal()
    other = principal(user=one.user)
    known.revoke(Revocation(one.user, session=one.session))
    assert known.is_revoked(one)
    assert not known.is_revoked(other)


def test_changed_access_kills_older_tokens_and_never_newer_ones():
    known, one = a_list(), principal()
    known.revoke(Revocation(one.user, version=4))
    known.revoke(Revocation(one.user, version=2))  # read again, out of order
    assert known.is_revoked(one)
    assert not known.is_revoked(principal(user=one.user, version=4))
    assert not known.is_revoked(principal())


def test_entries_outlive_every_token_and_then_go():
    clock = SettableClock()
    known, one, two = a_list(clock), principal(), principal()
    known.revoke(Revocation(one.user, session=one.session))
    known.revoke(Revocation(two.user, version=9))
    clock.advance(seconds=LIFETIME + LEEWAY)
    known.drop_outlived()
    assert known.is_revoked(one)
    assert known.is_revoked(two)
    clock.advance(seconds=KEEP)
    known.drop_outlived()
    assert not known.is_revoked(one)
    assert not known.is_revoked(two)
    assert LOOK_BACK >= LIFETIME + LEEWAY


def test_callbacks_hear_news_once_and_one_that_fails_stops_no_other():
    heard: list[Revocation] = []
    known, one = a_list(), principal()
    known.on_revoked(lambda _: 1 / 0)
    known.on_revoked(heard.append)
    for _ in range(2):
        known.revoke(Revocation(one.user, session=one.session))
        known.revoke(Revocation(one.user, version=5))
    assert heard == [Revocation(one.user, session=one.session), Revocation(one.user, version=5)]
    assert all(each.covers(one) for each in heard)
    assert not any(each.covers(principal()) for each in heard)


@pytest.mark.parametrize(
    "value", [b"", b"{", b"null", b"[]", b'{"user": 1}', b'{"user": "x"}', b"\xff", None]
)
def test_malformed_messages_are_skipped(value):
    known = a_list()
    for kind in (revocation.SESSION_ENDED, revocation.ACCESS_CHANGED, b"identity.other.v1", None):
        known.apply(kind, value)


async def test_a_process_starts_without_kafka_after_a_bounded_wait():
    known = a_list()
    began = time.monotonic()
    await known.start(patience=0.2)
    assert known.ready
    assert not known.connected
    assert time.monotonic() - began < 3
    await known.stop()


class Topic:
    """`identity.events` of one test on a real broker."""

    def __init__(self, kafka: str) -> None:
        self.settings = SuiteSettings(environment="test", kafka=kafka, topic_prefix=f"{uuid4().hex[:8]}.")

    async def create(self) -> None:
        await create_topics(self.settings.kafka, self.settings.topic_prefix, topics=IDENTITY_EVENTS)

    async def send(self, *events: AccessChanged | SessionEnded, age: float = 0) -> None:
        async with AIOKafkaProducer(**kafka_arguments(self.settings)) as producer:
            for event in events:
                record = as_record(event, 1)
                await producer.send_and_wait(
                    self.settings.topic_prefix + event.topic,
                    record.value,
                    key=event.key.encode(),
                    headers=[(name, value.encode()) for name, value in record.headers.items()],
                    timestamp_ms=int((time.time() - age) * 1000),
                )


@pytest.fixture
async def tail() -> AsyncIterator[Callable[[SuiteSettings], RevocationList]]:
    made: list[RevocationList] = []

    def make(settings: SuiteSettings) -> RevocationList:
        made.append(RevocationList(settings))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


def ended(who: Principal) -> SessionEnded:
    return SessionEnded(session=who.session, user=who.user, reason="logout")


def changed(who: Principal) -> AccessChanged:
    return AccessChanged(user=who.user, ver=who.version + 1, reason="disabled")


@pytest.mark.promise("revocation")
async def test_the_last_minutes_are_read_before_it_is_ready_and_news_arrive_at_once(
    servers: SuiteServers, tail: Callable[[SuiteSettings], RevocationList]
):
    topic = Topic(servers.kafka)
    await topic.create()
    old, recent, later, also = (principal() for _ in range(4))
    await topic.send(ended(old), age=LOOK_BACK + 100)
    await topic.send(ended(recent), age=60)
    known = tail(topic.settings)
    await known.start(patience=20)
    assert known.connected
    assert known.is_revoked(recent)
    assert not known.is_revoked(old)
    await topic.send(ended(later), changed(also))
    began = time.monotonic()
    await eventually(lambda: known.is_revoked(later) and known.is_revoked(also), timeout=5)
    assert time.monotonic() - began < 2


async def test_a_topic_that_is_made_later_is_found(
    servers: SuiteServers, tail: Callable[[SuiteSettings], RevocationList]
):
    topic, who = Topic(servers.kafka), principal()
    known = tail(topic.settings)
    await known.start(patience=0.5)
    assert known.ready
    await topic.create()
    await topic.send(ended(who))
    await eventually(lambda: known.is_revoked(who), timeout=15)


def open_clients() -> set[asyncio.Task[Any]]:
    """The tasks by which clients of Kafka keep up with it; a client that is not closed leaves its own."""
    return {task for task in asyncio.all_tasks() if "_md_synchronizer" in repr(task.get_coro())}


@pytest.mark.promise("revocation")
async def test_it_survives_a_broker_that_hangs_and_one_that_restarts(
    tmp_path: Path, tail: Callable[[SuiteSettings], RevocationList], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(revocation, "CHECK", 1.0)
    open_before = open_clients()
    broker: Server = await asyncio.to_thread(start_kafka, tmp_path)
    for name, value in broker.login.items():
        monkeypatch.setenv(name, value)
    try:
        topic = Topic(broker.url)
        await topic.create()
        before, during, after = (principal() for _ in range(3))
        known = tail(topic.settings)
        await known.start(patience=20)
        await topic.send(ended(before))
        await eventually(lambda: known.is_revoked(before), timeout=5)

        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        await eventually(lambda: not known.connected, timeout=15)
        assert known.is_revoked(before)
        os.kill(broker.pid, signal.SIGCONT)
        await topic.send(changed(during))
        await eventually(lambda: known.is_revoked(during), timeout=15)

        port = int(broker.url.rpartition(":")[2])
        await asyncio.to_thread(broker.stop)
        await eventually(lambda: not known.connected, timeout=15)
        assert known.is_revoked(before)
        assert known.is_revoked(during)
        broker = await asyncio.to_thread(start_kafka, tmp_path, port)
        await topic.create()
        await topic.send(ended(after))
        await eventually(lambda: known.is_revoked(after), timeout=15)
        await known.stop()
        assert open_clients() == open_before
    finally:
        await asyncio.to_thread(broker.stop)
