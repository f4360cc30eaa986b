"""An upgrade from the first release keeps what people have there, and gives servers without passwords theirs.

`releases/<revision>.sql` has the rows of a release, loaded at its revision before the later migrations run.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError
from alembic import command
from psycopg import sql
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ConnectionError

from deploy.local.database import bootstrap_database, service_url
from deploy.local.kafka.server import kafka_command, security_settings
from deploy.local.process import Command, end, spawn, wait_ready
from deploy.local.project import Project
from deploy.local.servers import Server, start_kafka, start_valkey
from deploy.local.tests.test_kafka import read
from deploy.local.valkey import valkey_command
from libs.common.data.bootstrap import with_database
from libs.common.data.migrations import config, upgrade
from libs.common.runtime.settings import SERVICES
from libs.common.testing.harness import eventually

RELEASE = Path(__file__).parent / "releases" / "0001.sql"
DATABASE = "upgraded"
Tables = dict[str, tuple[list[str], list[str]]]
"""Columns and rows, as text, by table."""


def tables(url: str, service: str, wanted: Mapping[str, list[str]] | None = None) -> Tables:
    """Columns and rows of each table; with `wanted` only of those tables and columns, as far as they are
    still there."""
    with psycopg.connect(url) as connection:
        columns: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s"
            " AND table_name <> 'alembic_version' AND is_generated = 'NEVER' ORDER BY 1, ordinal_position",
            [service],
        ):
            if wanted is None or column in wanted.get(table, ()):
                columns.setdefault(table, []).append(column)
        return {
            table: (names, sorted(map(repr, connection.execute(_select(service, table, names)))))
            for table, names in columns.items()
        }


def _select(service: str, table: str, columns: list[str]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("SELECT {} FROM {}").format(names, sql.Identifier(service, table))


@pytest.fixture(scope="module")
def before(postgres: Server) -> dict[str, Tables]:
    """What each service had at the first release; its schema has been upgraded since."""
    admin = bootstrap_database(postgres.url, DATABASE)
    with pytest.MonkeyPatch.context() as patch:
        for service in SERVICES:
            patch.setenv(f"{service.upper()}_DATABASE_URL", service_url(postgres.url, service, DATABASE))
            command.upgrade(config(service), RELEASE.stem)
        with psycopg.connect(admin) as connection:
            connection.execute("SET session_replication_role = replica")  # rows come in any order
            connection.execute(RELEASE.read_text())
        had = {service: tables(admin, service) for service in SERVICES}
        for service in SERVICES:
            upgrade(service)
    return had


@pytest.mark.parametrize("service", SERVICES)
def test_every_row_of_the_first_release_is_there_after_the_upgrade(
    before: dict[str, Tables], postgres: Server, service: str
) -> None:
    had = before[service]
    assert sum(len(rows) for _, rows in had.values()) > 20
    url = with_database(postgres.url, DATABASE)
    now = tables(url, service, {table: columns for table, (columns, _) in had.items()})
    assert {table: columns for table, (columns, _) in now.items()} == {
        table: columns for table, (columns, _) in had.items()
    }
    for table, (_, rows) in had.items():
        assert now[table][1] == rows, table


def test_grades_of_the_first_release_can_be_looked_back_at(
    before: dict[str, Tables], postgres: Server
) -> None:
    """What later migrations filled in of the past: every item, seat and extension has its facts."""
    with psycopg.connect(with_database(postgres.url, DATABASE)) as connection:
        connection.execute("SET search_path = learning")
        facts = connection.execute(
            "SELECT kind, subject, content IS NOT NULL FROM grade_facts ORDER BY id"
        ).fetchall()
        items = connection.execute(
            "SELECT uuid, deleted_at IS NULL FROM assignments"
            " UNION ALL SELECT uuid, is_published AND deleted_at IS NULL FROM quizzes"
            " WHERE kind IN ('graded', 'final') AND published_at IS NOT NULL"
        ).fetchall()
        seats = connection.execute(
            "SELECT student, status <> 'dropped' FROM enrollments WHERE version > 0"
        ).fetchall()
    assert items
    assert seats
    newest = {(kind, subject): there for kind, subject, there in facts}
    assert {subject: there for (kind, subject), there in newest.items() if kind == "item"} == dict(items)
    assert {subject for kind, subject in newest if kind == "seat"} == {student for student, _ in seats}


async def test_kafka_without_passwords_keeps_its_events_and_gets_them(private_directory: Path) -> None:
    directory = private_directory / "kafka-before"
    project = Project.for_tests(directory)
    command = kafka_command(project)
    await asyncio.to_thread(command.prepare)
    properties = directory / "kafka" / "server.properties"
    lines = properties.read_text().replace("CLIENTS", "PLAINTEXT").splitlines()
    kept = [line for line in lines if line.partition("=")[0] not in security_settings("")]
    plain = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    names = "controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT"
    properties.write_text("\n".join([*kept, plain, names, ""]))
    process = spawn(command, directory / "log", tied=True)
    try:
        await asyncio.to_thread(wait_ready, command, process)
        admin = AIOKafkaAdminClient(bootstrap_servers=project.kafka)
        await admin.start()
        await admin.create_topics([NewTopic("notes", 1, 1)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=project.kafka, acks="all") as producer:
            await producer.send_and_wait("notes", b"kept", partition=0)
    finally:
        await asyncio.to_thread(end, process, command.stop_signal, command.patience)
    server = start_kafka(directory, project.ports["kafka"])
    try:
        assert await read(server) == b"kept"
        nobody = AIOKafkaAdminClient(bootstrap_servers=server.url)
        with pytest.raises(KafkaConnectionError):
            await nobody.start()
        await nobody.close()
    finally:
        await asyncio.to_thread(server.stop)


async def test_valkey_without_passwords_keeps_its_tasks_and_gets_them(private_directory: Path) -> None:
    directory = private_directory / "valkey-before"
    project = Project.for_tests(directory)
    command = valkey_command(project)
    await asyncio.to_thread(command.prepare)
    argv = command.argv[: command.argv.index("--aclfile")]
    process = spawn(Command("valkey", argv, command.environment, directory), directory / "log", tied=True)
    host = f"127.0.0.1:{project.ports['valkey']}"
    async with Redis.from_url(f"redis://{host}/1") as before:
        await eventually(lambda: answers(before))
        await before.lpush("lectern:celery:notify", "waiting")
    await asyncio.to_thread(end, process)
    server = start_valkey(directory, project.ports["valkey"])
    try:
        async with Redis.from_url(f"{server.url}/1") as now:
            assert await now.lrange("lectern:celery:notify", 0, -1) == [b"waiting"]
        async with Redis.from_url(f"redis://{host}/1") as nobody:
            with pytest.raises(AuthenticationError):
                await nobody.ping()
    finally:
        await asyncio.to_thread(server.stop)


async def answers(valkey: Redis) -> bool:
    try:
        return bool(await valkey.ping())
    except ConnectionError:
        return False


def test_roles_with_the_development_password_get_their_own(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setenv("LECTERN_ROLE_PASSWORD", "development-only")
        bootstrap_database(postgres.url, "passwords")
        old = service_url(postgres.url, "forum", "passwords")
        psycopg.connect(old).close()
    bootstrap_database(postgres.url, "passwords")
    psycopg.connect(service_url(postgres.url, "forum", "passwords")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(old)
