"""Every client speaks TLS, and only to whom the authority vouches for.

Kafka by a listener of its own. The wheels of Valkey and PostgreSQL have no TLS: for them a small proxy of the
test ends it, in PostgreSQL's way where it is PostgreSQL's.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr
from redbeat.schedulers import get_redis
from sqlalchemy import create_engine, text

from conftest import DATABASE
from deploy.local.database import bootstrap_database, service_url
from deploy.local.kafka.server import kafka_command
from deploy.local.kafka.set_up import set_passwords
from deploy.local.process import end, spawn, wait_ready
from deploy.local.project import Project, free_ports
from deploy.local.testing import SuiteServers, kafka_settings
from gateway.limits import SCRIPT
from gateway.valkey import Script
from libs.common.data.db import Database, conninfo, direct_pool
from libs.common.data.jobs import celery_app
from libs.common.live.tickets import Tickets
from libs.common.runtime.connections import kafka_arguments, postgres_url, tls_context
from libs.common.runtime.errors import ServiceUnavailable
from libs.common.runtime.settings import SuiteSettings
from libs.common.security.tokens import Principal
from libs.common.testing.harness import CollectedQueue, eventually
from libs.common.tests.toy import Settings

SOMEBODY = Principal(uuid4(), uuid4(), "student", 1, 0)
Pipe = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Authority:
    """A certificate authority, and the PEM file that vouches for what it signs."""

    directory: Path
    name: str

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {self.name}")])
        self.file = self.directory / f"{self.name}.pem"
        certificate = (
            self._begun(self._subject, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                    key_encipherment=False, data_encipherment=False, key_agreement=False,
                    encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )  # fmt: skip
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
        )

    def server(self, name: x509.GeneralName) -> Path:
        """Key and certificate of a server of this name, in one PEM file."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._begun(x509.Name([]), key)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        file = self.directory / f"{uuid4().hex}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return file


HERE = x509.IPAddress(ip_address("127.0.0.1"))
ELSEWHERE = x509.DNSName("elsewhere.acme.org")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "stranger")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def ended_tls(port: int, certificate: Path, *, asks_first: bool = False) -> AsyncIterator[int]:
    """A port where TLS is spoken for a server at `port` that has none. With `asks_first` as PostgreSQL does
    it: the client asks in plain, and both begin after an S."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    open_ones: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        transports = [writer.transport]
        try:
            if asks_first:
                assert (await reader.readexactly(8))[4:] == bytes.fromhex("04d2162f")
                writer.write(b"S")
                await writer.start_tls(context)
                transports.append(writer.transport)
            behind, to_behind = await asyncio.open_connection("127.0.0.1", port)
            transports.append(to_behind.transport)
            await asyncio.gather(_copy(reader, to_behind), _copy(behind, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for transport in reversed(transports):
                transport.abort()
            open_ones.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=None if asks_first else context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        _, late = await asyncio.wait(open_ones, timeout=2) if open_ones else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


# Kafka


@pytest.fixture(scope="module")
async def tls_kafka(authority: Authority, private_directory: Path) -> AsyncIterator[SuiteSettings]:
    """A broker that takes forum's password by TLS alone, and settings to reach it."""
    project = Project.for_tests(private_directory / "kafka-tls")
    (port,) = free_ports(1)
    command = kafka_command(project)
    await asyncio.to_thread(command.prepare)
    listeners = f"CLIENTS://127.0.0.1:{project.ports['kafka']},TLS://127.0.0.1:{port}"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    with (project.directory / "kafka" / "server.properties").open("a") as file:
        file.write(
            f"\nlisteners={listeners},CONTROLLER://127.0.0.1:{project.ports['kafka_controller']}\n"
            f"advertised.listeners={listeners}\n"
            "listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,TLS:SASL_SSL,CONTROLLER:SASL_PLAINTEXT\n"
            "listener.name.tls.sasl.enabled.mechanisms=SCRAM-SHA-512\n"
            f"listener.name.tls.scram-sha-512.sasl.jaas.config={scram}\n"
            "listener.name.tls.ssl.keystore.type=PEM\n"
            f"listener.name.tls.ssl.keystore.location={authority.server(HERE)}\n"
        )
    process = spawn(command, project.directory / "kafka.log", tied=True)
    try:
        await asyncio.to_thread(wait_ready, command, process)
        admin = AIOKafkaAdminClient(**kafka_arguments(kafka_settings(project)))
        await admin.start()
        await set_passwords(admin, {"forum": "f9Qx2LmZt7Ra"})
        await admin.close()
        yield SuiteSettings(
            kafka=f"127.0.0.1:{port}", kafka_tls=True, ca_file=str(authority.file), kafka_user="forum",
            kafka_password=SecretStr("f9Qx2LmZt7Ra"), kafka_mechanism="SCRAM-SHA-512",
        )  # fmt: skip
    finally:
        await asyncio.to_thread(end, process, command.stop_signal, command.patience)


async def reaches(settings: SuiteSettings) -> bool:
    """Whether a producer gets through to Kafka and is let in there."""
    producer = AIOKafkaProducer(**kafka_arguments(settings), request_timeout_ms=5000)
    try:
        await producer.start()
    except KafkaConnectionError:
        return False
    finally:
        await producer.stop()
    return True


async def test_kafka_is_reached_by_tls_and_password(tls_kafka: SuiteSettings, stranger: Authority):
    await eventually(lambda: reaches(tls_kafka), timeout=20)
    assert not await reaches(tls_kafka.model_copy(update={"ca_file": str(stranger.file)}))
    assert not await reaches(tls_kafka.model_copy(update={"ca_file": ""}))
    assert not await reaches(tls_kafka.model_copy(update={"kafka_tls": False}))
    assert not await reaches(tls_kafka.model_copy(update={"kafka_password": SecretStr("another")}))
    assert not await reaches(tls_kafka.model_copy(update={"kafka_user": ""}))


# Valkey


def by_tls(servers: SuiteServers, user: str, port: int, authority: Authority) -> SuiteSettings:
    login = urlsplit(servers.valkey_of(user)).netloc.rpartition("@")[0]
    url = f"rediss://{login}@127.0.0.1:{port}"
    return SuiteSettings(valkey_url=f"{url}/0", broker_url=f"{url}/1", ca_file=str(authority.file))


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("name", [HERE, ELSEWHERE], ids=["here", "elsewhere"])
async def test_every_client_of_valkey_checks_who_it_talks_to(
    servers: SuiteServers, authority: Authority, stranger: Authority, trusted: bool, name: Any
):
    port = servers.project.ports["valkey"]
    async with ended_tls(port, authority.server(name)) as tls_port:
        vouching = authority if trusted else stranger
        good = trusted and name is HERE
        notify = by_tls(servers, "notify", tls_port, vouching)
        tickets = Tickets(notify)
        if good:
            assert await tickets.redeem(await tickets.mint(SOMEBODY)) == SOMEBODY
        else:
            with pytest.raises(ServiceUnavailable):
                await tickets.mint(SOMEBODY)
        await tickets.close()

        gateway = by_tls(servers, "gateway", tls_port, vouching)
        script = Script(gateway.valkey_url, SCRIPT, 5.0, lambda: tls_context(gateway))
        await script.start()
        assert script.up == good
        await script.stop()

        def tasks() -> bool:
            with celery_app(notify) as app:
                app.send_task(f"{uuid4()}", queue="notify", retry=False)
            with get_redis(celery_app(by_tls(servers, "tasks", tls_port, vouching))) as beat:
                return bool(beat.ping())

        if good:
            assert await asyncio.to_thread(tasks)
        else:
            with pytest.raises(Exception, match=r"(?i)certificate"):
                await asyncio.to_thread(tasks)


# PostgreSQL


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require"])
@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("name", [HERE, ELSEWHERE], ids=["here", "elsewhere"])
async def test_every_connection_to_postgresql_checks_who_it_talks_to(
    servers: SuiteServers,
    admin_url: str,
    authority: Authority,
    stranger: Authority,
    mode: Any,
    trusted: bool,
    name: Any,
):
    bootstrap_database(servers.postgres, DATABASE, ["toy"])
    good = {
        "verify-full": trusted and name is HERE,
        "verify-ca": trusted,
        "require": True,  # keeps listeners out and checks nobody: not for production
    }[mode]
    behind = urlsplit(servers.postgres).port
    assert behind is not None
    async with ended_tls(behind, authority.server(name), asks_first=True) as port:
        url = urlsplit(service_url(servers.postgres, "toy", DATABASE))
        login = url.netloc.rpartition("@")[0]
        settings = Settings(
            environment="test",
            database_url=SecretStr(url._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()),
            database_sslmode=mode,
            ca_file=str((authority if trusted else stranger).file),
        )
        for works in (_by_engine, _by_pool, _by_hand, _by_migrations):
            if good:
                assert await works(settings)
            else:
                with pytest.raises(Exception, match=r"(?i)certificate"):
                    await works(settings)


async def _by_engine(settings: Settings) -> bool:
    db = Database(settings, CollectedQueue())
    try:
        async with db.session() as session:
            return bool(await session.scalar(text("SELECT true")))
    finally:
        await db.close()


async def _by_pool(settings: Settings) -> bool:
    """The connections that are made as those of the pool are."""
    pool = direct_pool(settings)
    async with await psycopg.AsyncConnection.connect(pool.conninfo) as connection:
        return (await (await connection.execute("SELECT true")).fetchone()) == (True,)


async def _by_hand(settings: Settings) -> bool:
    async with await psycopg.AsyncConnection.connect(conninfo(settings)) as connection:
        return connection.pgconn.ssl_in_use


async def _by_migrations(settings: Settings) -> bool:
    def connect() -> bool:
        engine = create_engine(postgres_url(settings).set(drivername="postgresql+psycopg"))
        try:
            with engine.connect() as connection:
                return bool(connection.scalar(text("SELECT true")))
        finally:
            engine.dispose()

    return await asyncio.to_thread(connect)
