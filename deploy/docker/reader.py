"""`python -m deploy.docker.reader`: the role by which a tool for reports reads the tables of analytics.

It may read the views of the schema `bi`, which are the live projection's tables (ids and figures, no names or
addresses), and nothing else. Run it again after a rebuild: that makes another projection the live one.
"""

import os
import sys
from collections.abc import Mapping

import psycopg
from psycopg import sql

from libs.common.data.bootstrap import with_database

ROLE, SCHEMA = "lectern_reader", "bi"
DATABASE = "lectern"
LIMITS: Mapping[str, str] = {
    "default_transaction_read_only": "on",
    "statement_timeout": "60s",
    "search_path": SCHEMA,
}


def make_reader(admin_url: str, password: str, database: str = DATABASE) -> int | None:
    """Makes role and views; returns how many views, or None where analytics has no projection yet."""
    names = {"role": sql.Identifier(ROLE), "bi": sql.Identifier(SCHEMA), "database": sql.Identifier(database)}
    with psycopg.connect(with_database(admin_url, database)) as connection:

        def do(statement: str, **more: sql.Composable) -> None:
            connection.execute(sql.SQL(statement).format(**names, **more))

        exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone()
        what = sql.SQL("ALTER" if exists else "CREATE")
        do(
            "{what} ROLE {role} LOGIN CONNECTION LIMIT 10 PASSWORD {word}",
            what=what,
            word=sql.Literal(password),
        )
        for name, value in LIMITS.items():
            do("ALTER ROLE {role} SET {name} = {value}", name=sql.Identifier(name), value=sql.Literal(value))
        live = connection.execute("SELECT number FROM analytics.live_projection").fetchone()
        if live is None:
            return None
        projection = f"projection_{live[0]}"
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [projection])
        tables = [row[0] for row in rows]
        do("GRANT CONNECT ON DATABASE {database} TO {role}")
        do("DROP SCHEMA IF EXISTS {bi} CASCADE")
        do("CREATE SCHEMA {bi}")
        for table in tables:
            source = sql.Identifier(projection, table)
            do(
                "CREATE VIEW {bi}.{table} AS SELECT * FROM {source}",
                table=sql.Identifier(table),
                source=source,
            )
        do("GRANT USAGE ON SCHEMA {bi} TO {role}")
        do("GRANT SELECT ON ALL TABLES IN SCHEMA {bi} TO {role}")
    return len(tables)


def main() -> int:
    made = make_reader(os.environ["LECTERN_DATABASE_ADMIN_URL"], os.environ["LECTERN_READER_PASSWORD"])
    if made is None:
        print("reader: analytics has heard of nothing yet: run this again later")
    else:
        print(f"reader: {ROLE} reads {made} views in the schema {SCHEMA}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
