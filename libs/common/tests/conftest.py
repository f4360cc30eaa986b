"""The toy service on a schema of its own."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from conftest import DATABASE
from deploy.local.database import bootstrap_database, service_url
from deploy.local.testing import SuiteServers
from libs.common.runtime.connections import kafka_arguments
from libs.common.security.tokens import KeySet
from libs.common.service.app import create_app
from libs.common.testing.harness import TEST_KEY, CollectedQueue, Harness
from libs.common.tests import odd, toy


@pytest.fixture(scope="session")
async def _toy(servers: SuiteServers, admin_url: str) -> AsyncIterator[Harness]:
    bootstrap_database(servers.postgres, DATABASE, ["toy"])
    settings = toy.Settings(
        environment="test",
        kafka=servers.kafka,
        valkey_url=f"{servers.valkey}/0",
        broker_url=f"{servers.valkey}/1",
        database_url=SecretStr(service_url(servers.postgres, "toy", DATABASE)),
    )
    queue = CollectedQueue()
    app = create_app(
        settings,
        [toy.router, odd.router],
        subscription=toy.SUBSCRIPTION,
        keys=KeySet.static([TEST_KEY]),
        queue=queue,
    )
    harness = Harness("toy", app, settings, app.state.db, toy.SUBSCRIPTION, toy.TASKS, queue)
    async with harness.db.engine.begin() as connection:
        await connection.run_sync(toy.Base.metadata.create_all)
    yield harness
    await harness.db.close()


@pytest.fixture
async def toy_service(_toy: Harness) -> Harness:
    await _toy.reset()
    toy.Switch.poisoned, toy.Switch.refused = False, 0
    return _toy


@pytest.fixture
async def prefix(toy_service: Harness) -> AsyncIterator[str]:
    """Topics of this test alone."""
    name = f"t{uuid4().hex[:8]}."
    admin = AIOKafkaAdminClient(**kafka_arguments(toy_service.settings))
    await admin.start()
    await admin.create_topics([NewTopic(name + topic, 3, 1) for topic in ("toy.events", "toy.counters")])
    await admin.close()
    before = toy_service.settings.topic_prefix
    toy_service.settings.topic_prefix = name
    yield name
    toy_service.settings.topic_prefix = before
