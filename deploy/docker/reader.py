"""`python -m deploy.docker.reader`: the login by which a tool for reports reads the views of analytics.

An analyst's like any other (`services/analytics/analysts.py`), with the password of `secrets/bi/`: made once,
and again where the password has changed.
"""

import os
import sys

import psycopg
from psycopg import sql

from libs.common.data.bootstrap import with_database
from services.analytics.analysts import create, drop, login_of, logins

NAME = "metabase"
DATABASE = "lectern"
BEFORE = ("lectern_reader", "bi")
"""Role and schema of earlier releases."""


def make_reader(admin_url: str, password: str, database: str = DATABASE) -> str:
    """Returns the login's name."""
    url = with_database(admin_url, database)
    if login_of(NAME) in dict(logins(url)):
        drop(url, NAME)
    create(url, NAME, password=password)
    role, schema = map(sql.Identifier, BEFORE)
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [BEFORE[0]]).fetchone():
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
    return login_of(NAME)


def main() -> int:
    login = make_reader(os.environ["LECTERN_DATABASE_ADMIN_URL"], os.environ["LECTERN_READER_PASSWORD"])
    print(f"reader: {login} reads the views of analytics")
    return 0


if __name__ == "__main__":
    sys.exit(main())
