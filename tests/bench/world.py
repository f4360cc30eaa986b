"""Real servers with the toy service of the backbone's tests on them: its schema, its role, its topics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr
from sqlalchemy import text

from deploy.local.database import bootstrap_database, service_url
from deploy.local.testing import SuiteServers
from libs.common.data.db import Database
from libs.common.runtime.connections import kafka_arguments
from libs.common.testing.harness import CollectedQueue
from libs.common.tests import toy

DATABASE = "lectern_bench"
PARTITIONS = 6  # what topics get by default


@dataclass
class World:
    """The toy service's settings and database. `db` is the writer's; consumers open one of their own."""

    servers: SuiteServers
    settings: toy.Settings
    db: Database

    @property
    def topic(self) -> str:
        return self.settings.topic_prefix + toy.Counted.topic

    def database(self) -> Database:
        """A pool of its own, as a process of its own has it."""
        return Database(self.settings, CollectedQueue())

    async def fresh_topics(self) -> None:
        """Topics that nobody has written to, under a new prefix."""
        self.settings.topic_prefix = f"bench{uuid4().hex[:8]}."
        admin = AIOKafkaAdminClient(**kafka_arguments(self.settings))
        await admin.start()
        try:
            names = (toy.Counted.topic, toy.CounterState.topic)
            await admin.create_topics(
                [NewTopic(self.settings.topic_prefix + name, PARTITIONS, 1) for name in names]
            )
        finally:
            await admin.close()

    async def empty(self) -> None:
        names = ", ".join(toy.Base.metadata.tables)
        async with self.db.engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))


@asynccontextmanager
async def world(servers: SuiteServers) -> AsyncIterator[World]:
    bootstrap_database(servers.postgres, DATABASE, ["toy"])
    settings = toy.Settings(
        environment="test",
        kafka=servers.kafka,
        valkey_url=f"{servers.valkey}/0",
        broker_url=f"{servers.valkey}/1",
        database_url=SecretStr(service_url(servers.postgres, "toy", DATABASE)),
    )
    db = Database(settings, CollectedQueue())
    async with db.engine.begin() as connection:
        await connection.run_sync(toy.Base.metadata.create_all)
    made = World(servers, settings, db)
    try:
        await made.fresh_topics()
        yield made
    finally:
        await db.close()
