"""Who may do what at the local servers: what is forged needs a credential that was stolen."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from deploy.local.kafka.set_up import set_passwords
from deploy.local.project import Project, environment
from deploy.local.testing import SuiteServers, kafka_settings
from libs.common.bus.acls import Right, _Create, grant, granted, kafka_rights
from libs.common.data.jobs import celery_app
from libs.common.events.base import REGISTRY
from libs.common.events.topics import TOPICS, create_topics
from libs.common.live.tickets import Tickets
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.errors import ServiceUnavailable
from libs.common.runtime.settings import SERVICES, SuiteSettings
from libs.common.runtime.valkey import MINT, REDEEM, TASKS, TICKET_KEYS, USERS
from libs.common.security.tokens import Principal
from libs.common.testing.harness import eventually

WORTHLESS = Principal(uuid4(), uuid4(), "admin", 1, 0)


@asynccontextmanager
async def administering(project: Project) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka_arguments(kafka_settings(project)))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@pytest.fixture(scope="module")
async def prefix(servers: SuiteServers) -> str:
    """Before the names of topics and groups of this module; users have their rights there."""
    made = f"{uuid4().hex[:8]}."
    await create_topics(servers.kafka, made, partitions=1)
    async with administering(servers.project) as admin:
        await set_passwords(admin, {user: servers.project.password("kafka", user) for user in USERS})
        await grant(admin, made)
    await eventually(lambda: is_let_in(servers.project, USERS[-1]))
    return made


async def is_let_in(project: Project, user: str) -> bool:
    """Whether the broker has heard of the user's password."""
    client = AIOKafkaAdminClient(**kafka_arguments(kafka_settings(project, user)))
    try:
        await client.start()
    except KafkaConnectionError:
        return False
    finally:
        await client.close()
    return True


@pytest.fixture
def arguments(servers: SuiteServers, prefix: str) -> Callable[[str], dict[str, Any]]:
    """What a client is made with, by user."""
    return lambda user: kafka_arguments(kafka_settings(servers.project, user))


async def write(arguments: dict[str, Any], topic: str) -> None:
    producer = AIOKafkaProducer(**arguments, enable_idempotence=True, acks="all")
    try:
        await producer.start()
        await producer.send_and_wait(topic, b"{}", key=b"key")
    finally:
        await producer.stop()


async def read(arguments: dict[str, Any], topic: str, group: str) -> bytes | None:
    consumer = AIOKafkaConsumer(topic, **arguments, group_id=group, auto_offset_reset="earliest")
    try:
        await consumer.start()
        async with asyncio.timeout(20):
            value: bytes | None = (await consumer.getone()).value
            return value
    finally:
        await consumer.stop()


@pytest.mark.promise("credentials")
@pytest.mark.parametrize("topic", ["identity.users", "identity.events", "learning.enrollments"])
async def test_with_another_services_credential_no_event_can_be_forged(arguments, prefix: str, topic: str):
    with pytest.raises(TopicAuthorizationFailedError):
        await write(arguments("notify"), prefix + topic)
    with pytest.raises(ClusterAuthorizationFailedError):  # it may produce nothing at all
        await write(arguments("gateway"), prefix + topic)


async def test_a_service_writes_and_reads_what_is_declared_and_nothing_else(arguments, prefix: str):
    await write(arguments("notify"), f"{prefix}notify.events")
    await write(arguments("learning"), f"{prefix}learning.events")
    assert await read(arguments("notify"), f"{prefix}learning.events", f"{prefix}notify") == b"{}"
    with pytest.raises(TopicAuthorizationFailedError):
        await read(arguments("forum"), f"{prefix}notify.events", f"{prefix}forum")
    with pytest.raises(GroupAuthorizationFailedError):
        await read(arguments("notify"), f"{prefix}learning.events", f"{prefix}forum")


@pytest.mark.promise("credentials")
@pytest.mark.parametrize(
    "changes",
    [
        {"kafka_user": ""},
        {"kafka_password": "another"},
        {"kafka_user": "nobody"},
        {"kafka_mechanism": "PLAIN"},
    ],
)
async def test_without_a_credential_kafka_says_nothing(servers: SuiteServers, prefix: str, changes: dict):
    settings = kafka_settings(servers.project, "identity")
    unknown = SuiteSettings.model_validate({**dict(settings), **changes})
    with pytest.raises((KafkaConnectionError, KafkaError)):
        await write(kafka_arguments(unknown), f"{prefix}identity.users")
    controller = f"127.0.0.1:{servers.project.ports['kafka_controller']}"
    admin = AIOKafkaAdminClient(**{**kafka_arguments(unknown), "bootstrap_servers": controller})
    with pytest.raises((KafkaConnectionError, KafkaError)):
        await admin.start()
    await admin.close()


async def test_rights_are_what_is_declared_also_after_somebody_has_added_one(
    servers: SuiteServers, prefix: str
):
    async with administering(servers.project) as admin:
        assert await grant(admin, prefix) == (0, 0)
        stray = Right("notify", "write", "topic", f"{prefix}identity.users")
        await admin._send_to_controller(_Create([stray]))
        assert stray in await granted(admin, prefix)
        assert await grant(admin, prefix) == (0, 1)
        assert await granted(admin, prefix) == kafka_rights(prefix)


@pytest.mark.parametrize("service", SERVICES)
def test_rights_are_as_wide_as_what_the_code_subscribes_to_and_produces(service: str):
    import_module(f"services.{service}.app")
    read = {right.name for right in kafka_rights() if right.user == service and right.operation == "read"}
    subscription = import_module(f"services.{service}.worker").SUBSCRIPTION
    # Every service tails identity.events, to know which tokens are dead.
    assert read == {*subscription.topics, "identity.events", service}
    written = {right.name for right in kafka_rights() if right.user == service and right.operation == "write"}
    assert written == {topic.name for topic in TOPICS if topic.owner == service}
    assert written == {cls.topic for cls in REGISTRY.values() if cls.topic.startswith(f"{service}.")}


@pytest.fixture
async def valkey(servers: SuiteServers) -> AsyncIterator[Callable[[str], Redis]]:
    """Valkey by user."""
    made: list[Redis] = []

    def connect(user: str) -> Redis:
        made.append(Redis.from_url(f"{servers.valkey_of(user)}/0"))
        return made[-1]

    yield connect
    for each in made:
        await each.aclose()


def tickets_of(servers: SuiteServers, user: str) -> Tickets:
    return Tickets(SuiteSettings(valkey_url=f"{servers.valkey_of(user)}/0"))


@pytest.mark.promise("credentials")
@pytest.mark.parametrize("user", sorted({*USERS, TASKS} - set(MINT)))
async def test_with_another_services_credential_no_ticket_can_be_forged(
    servers: SuiteServers, valkey: Callable[[str], Redis], user: str
):
    forger = tickets_of(servers, user)
    with pytest.raises(ServiceUnavailable):
        await forger.mint(WORTHLESS)
    await forger.close()
    for command in ("SET", "GETSET", "APPEND", "SETNX"):
        with pytest.raises(NoPermissionError):
            await valkey(user).execute_command(command, f"{TICKET_KEYS}mine", "[]")
    for words in (
        ["RENAME", "limit:x", f"{TICKET_KEYS}x"],
        ["EVAL", f"return redis.call('SET', '{TICKET_KEYS}x', '1')", "0"],
        ["RESTORE", f"{TICKET_KEYS}x", "0", "x"],
    ):
        with pytest.raises(Exception, match=r"(?i)permission|ACL|can't"):
            await valkey(user).execute_command(*words)


@pytest.mark.parametrize("user", SERVICES)
async def test_a_ticket_is_taken_by_those_that_have_sockets(servers: SuiteServers, user: str):
    notify, taker = tickets_of(servers, "notify"), tickets_of(servers, user)
    ticket = await notify.mint(WORTHLESS)
    taken = await taker.redeem(ticket)
    assert (taken is not None) == (user in REDEEM)
    await notify.close()
    await taker.close()


def test_who_has_sockets_may_take_tickets(monkeypatch: pytest.MonkeyPatch):
    """And nobody else."""
    apps = {service: import_module(f"services.{service}.app").make_app() for service in SERVICES}
    assert {service for service, app in apps.items() if hasattr(app.state, "hub")} == set(REDEEM)
    assert set(MINT) <= set(REDEEM)


@pytest.mark.promise("credentials")
async def test_without_a_credential_valkey_says_nothing(servers: SuiteServers):
    host = urlsplit(servers.valkey).netloc.rpartition("@")[2]
    for login in ("", "default:x@", "forum:x@", ":x@"):
        async with Redis.from_url(f"redis://{login}{host}/0") as nobody:
            with pytest.raises(AuthenticationError):
                await nobody.ping()


async def test_a_service_starts_its_own_tasks_and_nobody_elses(servers: SuiteServers):
    celery = celery_app(SuiteSettings(broker_url=f"{servers.valkey_of('learning')}/1"))
    name = f"task-{uuid4()}"

    def send(queue: str) -> None:
        celery.send_task(name, queue=queue, retry=False)

    await asyncio.to_thread(send, "learning")
    with pytest.raises(OperationalError, match="No permissions"):
        await asyncio.to_thread(send, "notify")


def test_each_process_is_told_its_own_credentials_alone(tmp_path: Path):
    project = Project.for_tests(tmp_path)
    processes = (*SERVICES, "gateway", "mail", "worker", "beat", "learning-worker-2", "learning-api-3")
    secrets = {
        f"{server} {user}": project.password(server, user)
        for server in ("kafka", "valkey")
        for user in (*USERS, TASKS, "supervisor")
    } | {
        f"postgres {service}": urlsplit(environment(project)[f"{service.upper()}_DATABASE_URL"]).password
        for service in SERVICES
    }
    secrets["postgres supervisor"] = project.secret("postgres.password")
    assert len(set(secrets.values())) == len(secrets)
    for process in processes:
        text = json.dumps(environment(project, process))
        owner = process.partition("-")[0]
        known = {name for name, value in secrets.items() if str(value) in text}
        if owner in SERVICES:
            assert known == {f"{server} {owner}" for server in ("kafka", "valkey", "postgres")}, process
        elif owner == "gateway":
            assert known == {"kafka gateway", "valkey gateway"}
        elif owner == "mail":
            assert known == set()
        else:  # the tasks of all services run in one process here
            assert known == {"valkey tasks", *(f"postgres {service}" for service in SERVICES)}


def test_passwords_are_random_private_and_kept(tmp_path: Path):
    one, other = Project.for_tests(tmp_path / "one"), Project.for_tests(tmp_path / "other")
    assert one.password("kafka", "forum") == Project.for_tests(tmp_path / "one").password("kafka", "forum")
    assert one.password("kafka", "forum") != other.password("kafka", "forum")
    assert stat.S_IMODE((tmp_path / "one" / "credentials").stat().st_mode) == 0o600


def test_files_of_the_servers_that_hold_passwords_are_private(servers: SuiteServers):
    for path in ("kafka/server.properties", "valkey/users.acl", "credentials"):
        assert stat.S_IMODE((servers.project.directory / path).stat().st_mode) == 0o600
    assert (
        servers.project.password("valkey", "forum")
        not in (servers.project.directory / "valkey" / "users.acl").read_text()
    )
