"""One database, one schema and one login role per service, no rights across.

Beside its schema `<service>` a service has `<service>_audit` with one table, `audit_entries`: it belongs to a
role that nobody logs in as, and the service's role may only add to it and read it.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from deploy.local.project import DATABASE, role_of, role_password
from libs.common.runtime.settings import SERVICES

EXTENSIONS = ("citext", "pg_trgm", "unaccent")
AUDITOR = "lectern_audit"
AUDIT_TABLE = """
CREATE TABLE IF NOT EXISTS {schema}.audit_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor uuid,
    operator text NOT NULL DEFAULT '',
    action text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL DEFAULT '',
    details jsonb NOT NULL DEFAULT '{{}}',
    request_id text NOT NULL DEFAULT '',
    CHECK (actor IS NOT NULL OR operator <> '')
)
"""


def bootstrap_database(
    admin_url: str,
    database: str = DATABASE,
    services: Iterable[str] = SERVICES,
    *,
    connection_limit: int = -1,
) -> str:
    """Makes what is missing and sets rights and passwords anew; returns the superuser's URL of the database.

    Idempotent. A service's role owns its schema and reaches no other: neither may it make objects in
    `public`, nor connect to another database of the server.
    """
    url = with_database(admin_url, database)
    name = sql.Identifier(database)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        # Two bootstraps at once (parallel test runs on one server) take turns.
        connection.execute("SELECT pg_advisory_lock(hashtext('lectern.bootstrap'))")
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if not found:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))
        for service in services:
            role = role_of(service)
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            connection.execute(
                sql.SQL(
                    "{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT {} PASSWORD {}"
                ).format(
                    sql.SQL("ALTER" if exists else "CREATE"),
                    sql.Identifier(role),
                    sql.Literal(connection_limit),
                    sql.Literal(role_password(admin_url, service)),
                )
            )
        for closed in (database, "postgres", "template1"):
            connection.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(closed))
            )
        with psycopg.connect(url, autocommit=True) as inside:
            _make_schemas(inside, database, services)
    return url


def _make_schemas(connection: psycopg.Connection, database: str, services: Iterable[str]) -> None:
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for extension in EXTENSIONS:
        connection.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public").format(sql.Identifier(extension))
        )
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [AUDITOR]).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(AUDITOR)))
    for service in services:
        role, schema = sql.Identifier(role_of(service)), sql.Identifier(service)
        name = sql.Identifier(database)
        _make_audit(connection, service, role)
        for statement in (
            "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}",
            "REVOKE ALL ON SCHEMA {schema} FROM PUBLIC",
            "GRANT USAGE ON SCHEMA public TO {role}",
            "GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {role}",
            "ALTER ROLE {role} IN DATABASE {name} SET search_path = {schema}, {audit}, public",
        ):
            audit = sql.Identifier(f"{service}_audit")
            connection.execute(sql.SQL(statement).format(role=role, schema=schema, name=name, audit=audit))
        if service == "analytics":  # a projection is rebuilt side by side, in a schema of its own
            connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(name, role))


def _make_audit(connection: psycopg.Connection, service: str, role: sql.Identifier) -> None:
    """What the service's role writes here it can neither change nor take away."""
    schema, auditor = sql.Identifier(f"{service}_audit"), sql.Identifier(AUDITOR)
    for statement in (
        "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {auditor}",
        AUDIT_TABLE,
        "ALTER TABLE {schema}.audit_entries OWNER TO {auditor}",
        "REVOKE ALL ON SCHEMA {schema} FROM PUBLIC",
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "GRANT SELECT, INSERT ON {schema}.audit_entries TO {role}",
    ):
        connection.execute(sql.SQL(statement).format(schema=schema, auditor=auditor, role=role))


def with_database(url: str, database: str) -> str:
    """The same server, user and options; another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{database}"))


def service_url(admin_url: str, service: str, database: str = DATABASE) -> str:
    """URL by which the service's own role connects."""
    parts = urlsplit(with_database(admin_url, database))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role_of(service)}:{role_password(admin_url, service)}@{host}"))
