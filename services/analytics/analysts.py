"""Logins of analysts: `python -m services.analytics.analysts create NAME [--people] | list | drop NAME`.

A login reads the views of `analytics_views` (views.py) and nothing else; with `--people` also the view
`people`. It is made on the server of `LECTERN_DATABASE_ADMIN_URL` (a superuser's), with a random password
that is shown once. analytics may end what a login does, because it is a member of it:
`end_long_statements`.
"""

import argparse
import getpass
import os
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.types.json import Json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.bootstrap import ANALYST, ANALYST_PEOPLE, VIEWS, role_of

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
PREFIX = "analyst_"
SECONDS, IDLE_SECONDS = 30, 300
CONNECTIONS = 5
# What a session begins with. It may change all but the last; `end_long_statements` does not ask.
SETTINGS: Mapping[str, str] = {
    "search_path": VIEWS,
    "default_transaction_read_only": "on",
    "statement_timeout": f"{SECONDS}s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    "timezone": "UTC",
    "temp_file_limit": "2GB",
}
LIST = (
    "SELECT r.rolname, EXISTS"
    " (SELECT FROM pg_auth_members p WHERE p.member = r.oid AND p.roleid = to_regrole(%s))"
    " FROM pg_roles r JOIN pg_auth_members m ON m.member = r.oid AND m.roleid = to_regrole(%s)"
    " WHERE r.rolcanlogin ORDER BY 1"
)
LONG = text(
    "SELECT a.pid, a.state LIKE 'idle in transaction%' AS idle FROM pg_stat_activity a"
    " JOIN pg_auth_members m ON m.member = a.usesysid AND m.roleid = to_regrole(:analyst)"
    " WHERE (a.state = 'active' AND a.query_start < clock_timestamp() - make_interval(secs => :seconds))"
    " OR (a.state LIKE 'idle in transaction%'"
    "  AND a.state_change < clock_timestamp() - make_interval(secs => :idle))"
)


class AnalystError(Exception):
    """What keeps a login from being made or dropped."""


def login_of(name: str) -> str:
    """Raises AnalystError."""
    if not NAME.fullmatch(name):
        raise AnalystError("a name is a small letter, then small letters, digits and _, 41 in all at most")
    return PREFIX + name


def create(admin_url: str, name: str, *, people: bool = False, password: str = "") -> str:
    """Make a login, with a random password where none is given; returns its URL, which holds the password.
    Raises AnalystError when it is there."""
    login = login_of(name)
    password = password or secrets.token_urlsafe(24)
    role = sql.Identifier(login)
    with psycopg.connect(admin_url) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [login]).fetchone():
            raise AnalystError(f"{login} is there already: drop it first")
        if not connection.execute("SELECT to_regrole(%s)", [ANALYST]).fetchone() == (ANALYST,):
            raise AnalystError("run 'python -m libs.common.data.bootstrap' first: it makes the roles")
        connection.execute(
            sql.SQL(
                "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT {} PASSWORD {}"
            ).format(role, sql.Literal(CONNECTIONS), sql.Literal(password))
        )
        for group in [ANALYST, ANALYST_PEOPLE] if people else [ANALYST]:
            connection.execute(
                sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE").format(sql.Identifier(group), role)
            )
        connection.execute(
            sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET FALSE").format(
                role, sql.Identifier(role_of("analytics"))
            )
        )
        for setting, value in SETTINGS.items():
            connection.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(setting), sql.Literal(value))
            )
        _note(connection, "analyst_login_created", login, {"people": people})
    parts = urlsplit(admin_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(scheme="postgresql", netloc=f"{login}:{password}@{host}"))


def logins(admin_url: str) -> list[tuple[str, bool]]:
    """`(login, may read people)` of every analyst."""
    with psycopg.connect(admin_url) as connection:
        rows = connection.execute(LIST, [ANALYST_PEOPLE, ANALYST]).fetchall()
    return [(login, people) for login, people in rows if login.startswith(PREFIX)]


def drop(admin_url: str, name: str) -> None:
    """End the login's sessions and drop it. Raises AnalystError when there is none."""
    login = login_of(name)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        if login not in [known for known, _ in logins(admin_url)]:
            raise AnalystError(f"there is no login {login}")
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(login)))
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [login]
        )
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))
        _note(connection, "analyst_login_dropped", login, {})


def _note(connection: psycopg.Connection, action: str, login: str, details: Mapping[str, Any]) -> None:
    """In the audit log of analytics, as an act of who is at the command line."""
    connection.execute(
        "INSERT INTO analytics_audit.audit_entries (operator, action, target, details)"
        " VALUES (%s, %s, %s, %s)",
        (getpass.getuser(), action, login, Json(details)),
    )


async def end_long_statements(
    session: AsyncSession, seconds: float = SECONDS, idle_seconds: float = IDLE_SECONDS
) -> int:
    """Cancel analysts' statements that last longer, and end transactions that wait idle; says how many.

    PostgreSQL lets every session set its own `statement_timeout`: this holds whatever one has set.
    """
    found = await session.execute(LONG, {"analyst": ANALYST, "seconds": seconds, "idle": idle_seconds})
    rows = found.all()
    for row in rows:
        how = "pg_terminate_backend" if row.idle else "pg_cancel_backend"
        await session.execute(text(f"SELECT {how}(:pid)"), {"pid": row.pid})
    return len(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description="Logins of analysts.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("create")
    making.add_argument("name")
    making.add_argument("--people", action="store_true", help="may read the view people, too")
    commands.add_parser("list")
    commands.add_parser("drop").add_argument("name")
    arguments = parser.parse_args()
    admin_url = os.environ.get("LECTERN_DATABASE_ADMIN_URL")
    if not admin_url:
        parser.error("set LECTERN_DATABASE_ADMIN_URL")
    try:
        if arguments.command == "create":
            print(create(admin_url, arguments.name, people=arguments.people))
            print("The password is shown this once.", file=sys.stderr)
        elif arguments.command == "drop":
            drop(admin_url, arguments.name)
            print(f"{login_of(arguments.name)} is gone.")
        else:
            for login, people in logins(admin_url):
                print(f"{login}  {'views and people' if people else 'views'}")
    except (AnalystError, psycopg.Error) as error:
        print(f"analyst: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
