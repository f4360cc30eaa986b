"""Migrations: one Alembic history per service, in the service's own schema.

`python -m libs.common.data.migrations upgrade|check [SERVICE…]` (all without a name),
`python -m libs.common.data.migrations revision SERVICE -m "Add …"`, and for a cluster, where a release is
rolled out and back while others serve: `upgrade --newer-is-fine` leaves the schema of a newer release as it
is, `wait` ends when the schema is that of this release or of a newer one. `status` tells the revisions of
both.
"""

import argparse
import re
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import psycopg
from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, MetaData, create_engine, text
from sqlalchemy.exc import OperationalError

from libs.common.data.db import PoolerRefused, connect_options, refuse_pooler, refuse_poolers_complaint
from libs.common.runtime.connections import postgres_url
from libs.common.runtime.settings import SERVICES, ServiceSettings

ROOT = Path(__file__).resolve().parents[3]
WAIT_EVERY = 1.0
WAIT_AT_MOST = 900.0


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
    except OperationalError as error:
        refuse_poolers_complaint(settings.service, error)
        raise
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


def schema_revision(service: str, settings: ServiceSettings) -> str | None:
    """Where the schema is; None before its first migration, and OperationalError without PostgreSQL."""
    url = postgres_url(settings, direct=True).render_as_string(hide_password=False)
    with psycopg.connect(url, connect_timeout=5, options=connect_options(service)) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def standing(service: str, settings: ServiceSettings) -> Literal["behind", "current", "newer"]:
    """Where the schema is, seen from this release; psycopg.OperationalError while PostgreSQL is away."""
    script = ScriptDirectory.from_config(config(service))
    revision = schema_revision(service, settings)
    if revision is None:
        return "behind"
    if revision == script.get_current_head():
        return "current"
    return "behind" if any(each.revision == revision for each in script.walk_revisions()) else "newer"


def wait(service: str, settings: ServiceSettings, at_most: float = WAIT_AT_MOST) -> str:
    """Returns `current` or `newer` as soon as it is so; raises CommandError after `at_most` seconds."""
    deadline = time.monotonic() + at_most
    while True:
        try:
            where = standing(service, settings)
        except psycopg.OperationalError as error:
            where = "behind"
            reason = f"PostgreSQL does not answer: {error}"
        else:
            reason = "its migrations have not run"
        if where != "behind":
            return where
        if time.monotonic() > deadline:
            raise CommandError(f"not ready after {at_most:.0f} s: {reason}")
        time.sleep(WAIT_EVERY)


def _run(name: str, service: str, arguments: argparse.Namespace) -> str:
    """One command for one service; answers what was done."""
    if name == "check":
        command.check(config(service))
    elif name == "revision":
        command.revision(config(service), message=arguments.message, autogenerate=True)
    else:
        settings = import_module(f"services.{service}.settings").Settings()
        if name == "wait":
            return f"schema is {wait(service, settings)}"
        if name == "status":
            head = ScriptDirectory.from_config(config(service)).get_current_head()
            return f"schema {schema_revision(service, settings) or 'none'}, release {head}"
        if arguments.newer_is_fine and standing(service, settings) == "newer":
            return "schema is newer, left as it is"
        upgrade(service)
    return f"{name} done"


def main() -> int:
    parser = argparse.ArgumentParser(description="Migrate the services' schemas.")
    parser.add_argument("command", choices=("upgrade", "check", "revision", "wait", "status"))
    parser.add_argument("services", nargs="*", help="all without a name")
    parser.add_argument("-m", "--message")
    parser.add_argument("--newer-is-fine", action="store_true", help="leave the schema of a newer release")
    arguments = parser.parse_intermixed_args()
    services = [s for s in arguments.services if s != "all"] or list(SERVICES)
    unknown = set(services) - set(SERVICES)
    if unknown:
        parser.error(f"unknown service {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}")
    status = 0
    for service in services:
        try:
            done = _run(arguments.command, service, arguments)
        except (CommandError, PoolerRefused, psycopg.OperationalError) as error:
            print(f"{service}: {error}", file=sys.stderr)
            status = 1
        else:
            print(f"{service}: {done}")
    return status


if __name__ == "__main__":
    sys.exit(main())
