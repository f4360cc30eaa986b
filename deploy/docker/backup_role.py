"""`python -m deploy.docker.backup_role`: the role by which backups read PostgreSQL.

It may copy the server, read all tables, and name a moment of the log; it can change nothing.
"""

import os
import sys

import psycopg
from psycopg import sql

from libs.common.data.bootstrap import with_database

ROLE = "lectern_backup"
DATABASE = "lectern"
FUNCTIONS = ("pg_create_restore_point(text)", "pg_switch_wal()")


def make_role(admin_url: str, password: str, database: str = DATABASE) -> None:
    """Makes the role or gives it this password; rights on functions are those of `database`."""
    role = sql.Identifier(ROLE)
    with psycopg.connect(with_database(admin_url, database)) as connection:
        exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone()
        what = sql.SQL("ALTER" if exists else "CREATE")
        line = sql.SQL("{} ROLE {} LOGIN REPLICATION CONNECTION LIMIT 20 PASSWORD {}")
        connection.execute(line.format(what, role, sql.Literal(password)))
        connection.execute(sql.SQL("GRANT pg_read_all_data, pg_monitor TO {}").format(role))
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), role)
        )
        for function in FUNCTIONS:
            connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), role))


def main() -> int:
    make_role(os.environ["LECTERN_DATABASE_ADMIN_URL"], os.environ["LECTERN_BACKUP_PASSWORD"])
    print(f"backup: {ROLE} may copy the server and change nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
