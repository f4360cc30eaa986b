"""A release waits for its schema, and leaves that of a newer one alone."""

import sys
from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from pydantic import SecretStr

from conftest import DATABASE
from deploy.local.database import bootstrap_database, service_url
from deploy.local.testing import SuiteServers
from libs.common.data import clock, migrations
from libs.common.data.migrations import config, main, standing, wait
from services.support.settings import Settings

WAITING = f"{DATABASE}_waiting"


@pytest.fixture
def settings(servers: SuiteServers, admin_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Support with an empty schema, in a database of its own."""
    bootstrap_database(servers.postgres, WAITING, ["support"])
    url = service_url(servers.postgres, "support", WAITING)
    monkeypatch.setenv("SUPPORT_DATABASE_URL", url)
    monkeypatch.setattr(migrations, "WAIT_EVERY", 0.01)
    yield Settings(database_url=SecretStr(url))
    with psycopg.connect(servers.postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {WAITING} WITH (FORCE)")


def test_it_waits_for_the_last_migration(settings: Settings):
    assert standing("support", settings) == "behind"
    command.upgrade(config("support"), "0001")
    assert standing("support", settings) == "behind"
    with pytest.raises(CommandError, match="its migrations have not run"):
        wait("support", settings, at_most=0)
    command.upgrade(config("support"), "head")
    assert wait("support", settings) == "current"


def test_a_schema_of_a_newer_release_is_served_and_left_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    command.upgrade(config("support"), "head")
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert wait("support", settings) == "newer"
    monkeypatch.setattr(sys, "argv", ["migrations", "upgrade", "support"])
    assert main() == 1
    monkeypatch.setattr(sys, "argv", ["migrations", "upgrade", "--newer-is-fine", "support"])
    assert main() == 0
    assert "left as it is" in capsys.readouterr().out


def test_an_absent_server_is_waited_for_and_named(settings: Settings):
    away = Settings(database_url=SecretStr("postgresql://lectern_support:x@127.0.0.1:1/lectern"))
    with pytest.raises(CommandError, match="PostgreSQL does not answer"):
        wait("support", away, at_most=0)


def test_status_tells_the_revisions_of_the_schema_and_of_the_release(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    head = ScriptDirectory.from_config(config("support")).get_current_head()
    monkeypatch.setattr(sys, "argv", ["migrations", "status", "support"])
    assert main() == 0
    assert capsys.readouterr().out == f"support: schema none, release {head}\n"
    command.upgrade(config("support"), "0001")
    capsys.readouterr()
    assert main() == 0
    assert capsys.readouterr().out == f"support: schema 0001, release {head}\n"
    monkeypatch.setenv("SUPPORT_DATABASE_URL", "postgresql://lectern_support:x@127.0.0.1:1/lectern")
    assert main() == 1
    assert "support: " in capsys.readouterr().err


def test_the_clock_of_postgres_is_compared_with_this_one(
    settings: Settings, capsys: pytest.CaptureFixture[str]
):
    assert clock.main(["support"]) == 0
    assert float(capsys.readouterr().out) == 0
    assert clock.main(["nobody"]) == 2
