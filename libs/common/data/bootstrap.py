"""One database, one schema and one login role per service, no rights across.

`python -m libs.common.data.bootstrap` makes them on the server of `LECTERN_DATABASE_ADMIN_URL` (a
superuser's), with the database and the passwords that each `<SERVICE>_DATABASE_URL` names. Run it before the
migrations.

Beside its schema `<service>` a service has `<service>_audit` with one table, `audit_entries`: it belongs to a
role that nobody logs in as, and the service's role may only add to it and read it.

Analysts have two roles that nobody logs in as either, `lectern_analyst` and `lectern_analyst_people`:
analytics lets them read its views, and `lectern analyst create` makes their logins
(services/analytics/analysts.py).
"""

import argparse
import os
import sys
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from libs.common.runtime.settings import SERVICES

EXTENSIONS = ("citext", "pg_trgm", "unaccent")
AUDITOR = "lectern_audit"
ANALYST, ANALYST_PEOPLE = "lectern_analyst", "lectern_analyst_people"
VIEWS = "analytics_views"
# What everybody may call unless told otherwise, and what would let a reader hold up or write to the suite: it
# owns lanes and keys by advisory locks, wakes by notifications, and large objects are a place to write to.
CLOSED_FUNCTIONS = (
    "SELECT oid::regprocedure::text, proname !~ '^lo' FROM pg_proc"
    " WHERE pronamespace = 'pg_catalog'::regnamespace"
    " AND proname ~ '^(pg_advisory_|pg_try_advisory_|pg_notify$|lo_|loread$|lowrite$)'"
)
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


def role_of(service: str) -> str:
    return f"lectern_{service}"


def session_settings(service: str) -> dict[str, str]:
    """What every session of the service's role goes by: where its tables are, and that no statement, lock or
    idle transaction lasts for ever. Set on the role too: a pooler drops what a connection asks for."""
    return {
        "search_path": f"{service}, {service}_audit, public",
        "statement_timeout": "20s",
        "lock_timeout": "8s",
        "idle_in_transaction_session_timeout": "30s",
        "timezone": "UTC",
    }


def bootstrap_database(
    admin_url: str, database: str, passwords: Mapping[str, str], *, connection_limit: int = -1
) -> str:
    """Makes what is missing and sets rights and passwords anew, for the services that `passwords` names;
    returns the superuser's URL of the database.

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
        for service, password in passwords.items():
            role = role_of(service)
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            connection.execute(
                sql.SQL(
                    "{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT {} PASSWORD {}"
                ).format(
                    sql.SQL("ALTER" if exists else "CREATE"),
                    sql.Identifier(role),
                    sql.Literal(connection_limit),
                    sql.Literal(password),
                )
            )
        for closed in (database, "postgres", "template1"):
            connection.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(closed))
            )
        with psycopg.connect(url, autocommit=True) as inside:
            _make_schemas(inside, database, passwords)
    return url


def _make_schemas(connection: psycopg.Connection, database: str, services: Mapping[str, str]) -> None:
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for extension in EXTENSIONS:
        connection.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public").format(sql.Identifier(extension))
        )
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [AUDITOR]).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(AUDITOR)))
    _make_analysts(connection, database)
    for service in services:
        role, schema = sql.Identifier(role_of(service)), sql.Identifier(service)
        name = sql.Identifier(database)
        _make_audit(connection, service, role)
        for statement in (
            "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}",
            "REVOKE ALL ON SCHEMA {schema} FROM PUBLIC",
            "GRANT USAGE ON SCHEMA public TO {role}",
            "GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {role}",
        ):
            connection.execute(sql.SQL(statement).format(role=role, schema=schema, name=name))
        for setting, value in session_settings(service).items():
            # A list of schemas is not one string: each is an identifier of its own.
            values = sql.SQL(", ").join(sql.Literal(part) for part in value.split(", "))
            connection.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                    role, name, sql.Identifier(setting), values
                )
            )
        if service == "analytics":  # a projection is rebuilt side by side, in a schema of its own
            connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(name, role))
    _close_functions(connection, services)


def _make_analysts(connection: psycopg.Connection, database: str) -> None:
    """What analysts' logins are members of. They may connect, and read what analytics grants them."""
    for name in (ANALYST, ANALYST_PEOPLE):
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(database), sql.Identifier(name)
            )
        )


def _close_functions(connection: psycopg.Connection, services: Mapping[str, str]) -> None:
    """Leave some functions to the services alone, and large objects to nobody."""
    roles = sql.SQL(", ").join(sql.Identifier(role_of(service)) for service in services)
    for signature, used in connection.execute(CLOSED_FUNCTIONS).fetchall():
        function = sql.SQL(signature)
        connection.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(function))
        if used:
            connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(function, roles))


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


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the database, its schemas and the services' roles.")
    parser.parse_args()
    names = {service: f"{service.upper()}_DATABASE_URL" for service in SERVICES}
    missing = [n for n in ("LECTERN_DATABASE_ADMIN_URL", *names.values()) if not os.environ.get(n)]
    if missing:
        parser.error(f"set {', '.join(missing)}")
    urls = {service: urlsplit(os.environ[name]) for service, name in names.items()}
    for service, url in urls.items():
        if url.username != role_of(service) or not url.password:
            parser.error(f"{names[service]} must name the user {role_of(service)} and its password")
    databases = {url.path.removeprefix("/") for url in urls.values()}
    if len(databases) != 1:
        parser.error(
            f"the services must share one database, and their URLs name {', '.join(sorted(databases))}"
        )
    (database,) = databases
    passwords = {service: unquote(url.password or "") for service, url in urls.items()}
    try:
        bootstrap_database(os.environ["LECTERN_DATABASE_ADMIN_URL"], database, passwords)
    except psycopg.Error as error:
        print(f"LECTERN_DATABASE_ADMIN_URL: {error}", file=sys.stderr)
        return 1
    print(f"database {database}: {len(passwords)} schemas and roles are as this release declares")
    return 0


if __name__ == "__main__":
    sys.exit(main())
