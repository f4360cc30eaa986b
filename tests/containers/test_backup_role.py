"""The role of backups, on a real PostgreSQL: it can do what a backup does, and change nothing."""

from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors

from deploy.backup.database import Server
from deploy.docker.backup_role import ROLE, make_role
from deploy.local.database import bootstrap_database
from libs.common.data.bootstrap import with_database
from libs.common.runtime.settings import SERVICES

DATABASE = "lectern_backups"
PASSWORD = "copies-and-no-more"


def test_the_role_makes_backups_and_changes_nothing(admin_url: str):
    bootstrap_database(admin_url, DATABASE)
    with psycopg.connect(with_database(admin_url, DATABASE)) as connection:
        for service in SERVICES:
            connection.execute(f"CREATE TABLE {service}.alembic_version AS SELECT 'head' AS version_num")
            connection.execute(f"CREATE TABLE {service}.epochs AS SELECT 3 AS number")
    for _ in range(2):
        make_role(admin_url, PASSWORD, DATABASE)
    url = urlsplit(with_database(admin_url, DATABASE))
    server = Server(url._replace(netloc=f"{ROLE}:{PASSWORD}@{url.netloc.rpartition('@')[2]}").geturl())
    assert server.state().epoch == 3
    with server.keeping_log():
        _, segment = server.mark("a-test")
        assert len(segment) == 24
    with server.connect() as connection:
        assert connection.execute("SELECT count(*) FROM identity_audit.audit_entries").fetchone() == (0,)
        for statement in (
            "DELETE FROM identity.epochs",
            "CREATE TABLE catalog.mine (id int)",
            "ALTER SYSTEM SET summarize_wal = off",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
