"""Servers for the whole run, started once; services in-process, made when a test first asks for one."""

import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from deploy.local.database import bootstrap_database, service_url
from deploy.local.project import free_ports
from deploy.local.testing import BUCKET, SuiteServers, s3_server, suite_servers
from libs.common.data.bootstrap import with_database
from libs.common.service.serve import freeze_memory
from libs.common.testing.harness import Harness, open_harness
from libs.common.testing.locks import GUARDED, LockOrder, watch

DATABASE = os.environ.get("LECTERN_TEST_DATABASE", "lectern_test")
OpenHarness = Callable[[str], Awaitable[Harness]]

# A busy machine is no failure, and what fails once fails again: no deadline, the same examples in every run.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "mutants", parent=hypothesis.settings.get_profile("suite"), max_examples=25
)
hypothesis.settings.load_profile("suite")


@dataclass
class Mailbox:
    """An SMTP server that keeps what it gets: the outside world."""

    url: str = ""
    messages: list[EmailMessage] = field(default_factory=list)
    refuse: bool = False

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        if self.refuse:
            return "451 try again later"
        content = envelope.content
        assert isinstance(content, bytes)
        message = BytesParser(EmailMessage, policy=default).parsebytes(content)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 kept"

    def text(self, index: int = -1) -> str:
        body = self.messages[index].get_body(("plain",))
        assert body is not None
        return str(body.get_content())

    def code(self, index: int = -1) -> str:
        """The six digits of a mailed code."""
        return str(re.findall(r"\b\d{6}\b", self.text(index))[0])


@pytest.fixture(scope="session")
def _mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_ports(1)[0])
    controller.start()
    box.url = f"smtp://127.0.0.1:{controller.port}"
    yield box
    controller.stop()


@pytest.fixture
def mailbox(_mailbox: Mailbox) -> Mailbox:
    """A mail server with nothing in it yet."""
    _mailbox.messages.clear()
    _mailbox.refuse = False
    return _mailbox


@pytest.fixture(scope="session")
def servers() -> Iterator[SuiteServers]:
    """PostgreSQL, Valkey and Kafka: by URL, embedded or by Docker."""
    with suite_servers() as running:
        print(f"\nservers: {running}")
        yield running


@pytest.fixture(scope="session")
def admin_url(servers: SuiteServers) -> str:
    """The test database as superuser, with the schema and the role of every service."""
    bootstrap_database(servers.postgres, DATABASE)
    return with_database(servers.postgres, DATABASE)


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket, `s3://NAME`: that of `LECTERN_TEST_S3_URL`, else one of moto's server, made for the run."""
    if bucket := os.environ.get("LECTERN_TEST_S3_URL"):
        yield bucket.rstrip("/")
        return
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}"


def storage_url(directory: Path) -> str:
    """A local directory, or a place of its own in the bucket that the environment names."""
    bucket = os.environ.get("LECTERN_TEST_S3_URL")
    return f"{bucket.rstrip('/')}/{uuid4()}" if bucket else f"file:{directory}"


@pytest.fixture(scope="session")
async def open_service(
    servers: SuiteServers, admin_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OpenHarness]:
    """`await open_service("learning")`: the service on its migrated, empty schema."""
    opened: dict[str, Harness] = {}

    async def open_one(service: str) -> Harness:
        if service not in opened:
            from libs.common.data.migrations import upgrade

            settings = import_module(f"services.{service}.settings").Settings(
                environment="test",
                kafka=servers.kafka,
                valkey_url=f"{servers.valkey_of(service)}/0",
                broker_url=f"{servers.valkey_of(service)}/1",
                database_url=SecretStr(service_url(servers.postgres, service, DATABASE)),
                storage_url=storage_url(tmp_path_factory.mktemp(service)),
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(f"{service.upper()}_DATABASE_URL", settings.database_url.get_secret_value())
                upgrade(service)
            opened[service] = open_harness(service, settings)
        await opened[service].reset()
        return opened[service]

    yield open_one
    for harness in opened.values():
        await harness.db.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises", help="file to write the outcome of tests by promise to")


class Promises:
    """Keeps the outcome of each test that is marked with a promise; without a run, that it was collected."""

    def __init__(self, report: str) -> None:
        self._report = report
        self._promise: dict[str, str] = {}
        self._outcome: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("promise"):
                self._promise[item.nodeid] = mark.args[0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._outcome[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        found = [[p, test, self._outcome.get(test, "collected")] for test, p in self._promise.items()]
        Path(self._report).write_text(json.dumps(found))


class LockWatch:
    """Ends a run as failed in whose tests two transactions have locked in opposite orders."""

    def __init__(self) -> None:
        self._order = LockOrder()
        self._stop = watch(self._order)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._stop()
        if self._order.report(GUARDED) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if found := self._order.report(GUARDED):
            terminalreporter.section("locked in opposite orders", red=True)
            terminalreporter.write_line(found)


def pytest_collection_finish() -> None:
    """All modules are loaded: the collector need not walk them again with every test."""
    freeze_memory()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LockWatch())
    report = config.getoption("--promises")
    if report:
        config.pluginmanager.register(Promises(report))
