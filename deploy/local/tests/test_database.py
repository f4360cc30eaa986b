import psycopg
import pytest
from psycopg import errors

from deploy.local.database import bootstrap_database, service_url
from deploy.local.servers import Server
from libs.common.data import bootstrap
from libs.common.data.bootstrap import with_database
from libs.common.runtime.settings import SERVICES


@pytest.fixture(scope="module")
def admin(postgres: Server) -> str:
    bootstrap_database(postgres.url)
    return postgres.url


@pytest.mark.promise("database")
@pytest.mark.parametrize("service", SERVICES)
def test_each_role_works_in_its_own_schema_and_reaches_no_other(admin: str, service: str):
    with psycopg.connect(service_url(admin, service), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE mine_{service} (id int PRIMARY KEY)")
        where = connection.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename = %s", [f"mine_{service}"]
        ).fetchone()
        assert where == (service,)
        for other in set(SERVICES) - {service}:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"CREATE TABLE {other}.theirs (id int)")
            with pytest.raises((errors.InsufficientPrivilege, errors.UndefinedTable)):
                connection.execute(f"SELECT * FROM {other}.mine_{other}")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.shared (id int)")
        connection.execute(f"DROP TABLE mine_{service}")


@pytest.mark.promise("audit")
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_adds_to_its_audit_log_and_can_do_nothing_else_to_it(admin: str, service: str):
    with psycopg.connect(service_url(admin, service), autocommit=True) as connection:
        connection.execute("INSERT INTO audit_entries (operator, action, target) VALUES ('me', 'try', 'it')")
        assert connection.execute("SELECT count(*) FROM audit_entries").fetchone() != (0,)
        for tampering in (
            "UPDATE audit_entries SET action = 'nothing'",
            "DELETE FROM audit_entries",
            "TRUNCATE audit_entries",
            "DROP TABLE audit_entries",
            "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
            f"DROP SCHEMA {service}_audit CASCADE",
            "SET ROLE lectern_audit",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(tampering)
        with pytest.raises(errors.CheckViolation):
            connection.execute("INSERT INTO audit_entries (action, target) VALUES ('by', 'nobody')")


def test_extensions_are_used_unqualified(admin: str):
    with psycopg.connect(service_url(admin, "catalog")) as connection:
        row = connection.execute(
            "SELECT similarity('lectern', 'lecturn') > 0.3, unaccent('é'), 'A'::citext = 'a'"
        )
        assert row.fetchone() == (True, "e", True)


def test_bootstrapping_twice_changes_nothing(admin: str):
    bootstrap_database(admin)
    with psycopg.connect(with_database(admin, "lectern")) as connection:
        roles = connection.execute(
            "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'lectern\\_%' AND NOT rolsuper"
        ).fetchone()
    assert roles == (len(SERVICES) + 3,)  # and the auditor, and two of analysts


def test_a_service_cannot_connect_to_another_database(admin: str):
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(service_url(admin, "forum", "postgres"))


def test_a_wrong_password_is_refused(admin: str):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(admin.replace("postgres:", "postgres:x", 1))


def test_only_analytics_may_make_schemas(admin: str):
    with psycopg.connect(service_url(admin, "analytics"), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA analytics_v2")
        connection.execute("DROP SCHEMA analytics_v2")
    with (
        psycopg.connect(service_url(admin, "support")) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE SCHEMA support_v2")


@pytest.fixture
def named(admin: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment that an operator gives the command, for a database that is not there yet."""
    monkeypatch.setattr("sys.argv", ["bootstrap"])
    monkeypatch.setenv("LECTERN_DATABASE_ADMIN_URL", admin)
    for service in SERVICES:
        monkeypatch.setenv(f"{service.upper()}_DATABASE_URL", service_url(admin, service, "commanded"))
    return admin


def test_the_command_makes_what_the_urls_name(named: str, capsys: pytest.CaptureFixture):
    assert bootstrap.main() == 0
    assert bootstrap.main() == 0
    assert "database commanded: 7 schemas and roles" in capsys.readouterr().out
    with psycopg.connect(service_url(named, "learning", "commanded")) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("learning, learning_audit, public",)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("20s",)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LECTERN_DATABASE_ADMIN_URL", "", "set LECTERN_DATABASE_ADMIN_URL"),
        (
            "FORUM_DATABASE_URL",
            "postgresql://else:pw@127.0.0.1/commanded",
            "the user lectern_forum",
        ),
        ("FORUM_DATABASE_URL", "postgresql://lectern_forum@127.0.0.1/commanded", "and its password"),
        ("FORUM_DATABASE_URL", "postgresql://lectern_forum:pw@127.0.0.1/two", "share one database"),
    ],
)
def test_the_command_says_what_is_wrong(
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    variable: str,
    value: str,
    said: str,
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit):
        bootstrap.main()
    assert said in capsys.readouterr().err
