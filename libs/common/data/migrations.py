"""Migrations: one Alembic history per service, in the service's own schema.

`python -m libs.common.data.migrations upgrade|check [SERVICE…]` (all without a name),
`python -m libs.common.data.migrations revision SERVICE -m "Add …"`.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import command, context
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, MetaData, create_engine, text

from libs.common.data.db import PoolerRefused, connect_options, refuse_pooler
from libs.common.runtime.connections import postgres_url
from libs.common.runtime.settings import SERVICES, ServiceSettings

ROOT = Path(__file__).resolve().parents[3]


def migrate(settings: ServiceSettings, metadata: MetaData) -> None:
    """Run the command of Alembic's context, under an advisory lock, so that two deployments queue."""
    # The audit log is not the service's own: it is made where the roles are made.
    unmanaged = re.compile("|".join(filter(None, ["audit_entries", metadata.info.get("unmanaged")])))

    def ours(_: Any, name: str | None, kind: str, reflected: bool, __: Any) -> bool:
        return not (kind == "table" and reflected and unmanaged.match(name or ""))

    url = postgres_url(settings, direct=True).set(drivername="postgresql+psycopg")
    engine = create_engine(url, connect_args={"options": connect_options(settings.service)})
    try:
        with engine.connect() as connection:
            _refuse_pooler(settings.service, connection)
            connection.execute(
                text("SELECT pg_advisory_lock(hashtext('migrations'), hashtext(:s))"),
                {"s": settings.service},
            )
            connection.execute(text("SET statement_timeout = 0"))
            connection.commit()
            context.configure(
                connection=connection,
                target_metadata=metadata,
                include_object=ours,
                compare_type=True,
            )
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
    finally:
        engine.dispose()  # a failed one must not keep the lock


def _refuse_pooler(service: str, connection: Connection) -> None:
    """The lock below is the session's: through a pooler it would hold nobody off."""
    told = cast(psycopg.Connection, connection.connection.driver_connection).info.backend_pid
    refuse_pooler(service, told, connection.scalar(text("SELECT pg_backend_pid()")))


def config(service: str) -> Config:
    """Alembic's configuration of one service. Errors of the command go to the log, its output to stdout."""
    return Config(str(ROOT / "alembic.ini"), ini_section=service)


def upgrade(service: str) -> None:
    command.upgrade(config(service), "head")


def main() -> int:
    parser = argparse.ArgumentParser(description="Migrate the services' schemas.")
    parser.add_argument("command", choices=("upgrade", "check", "revision"))
    parser.add_argument("services", nargs="*", help="all without a name")
    parser.add_argument("-m", "--message")
    arguments = parser.parse_args()
    services = [s for s in arguments.services if s != "all"] or list(SERVICES)
    unknown = set(services) - set(SERVICES)
    if unknown:
        parser.error(f"unknown service {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}")
    status = 0
    for service in services:
        try:
            if arguments.command == "upgrade":
                upgrade(service)
            elif arguments.command == "check":
                command.check(config(service))
            else:
                command.revision(config(service), message=arguments.message, autogenerate=True)
        except (CommandError, PoolerRefused) as error:
            print(f"{service}: {error}", file=sys.stderr)
            status = 1
        else:
            print(f"{service}: {arguments.command} done")
    return status


if __name__ == "__main__":
    sys.exit(main())
