"""This machine's suite from a backup: data, files and keys back in their places, and a new epoch begun.

Kafka may have survived or not. What it has beyond the moment is marked as undone; an empty one gets the log
written anew. See docs/runbooks/restore.md.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from deploy.backup.database import forget_recovery
from deploy.backup.files import restore_files
from deploy.backup.manifest import all_manifests, choose
from deploy.backup.repository import BackupError, Repository
from deploy.backup.restore import WAL, Plan, plan, read_secrets, restore_database
from deploy.local.children import end_orphans
from deploy.local.control import is_locked
from deploy.local.database import bootstrap_database
from deploy.local.postgres import data_home, unprivileged_user
from deploy.local.process import group_of
from deploy.local.project import (
    CHECKOUT,
    DATABASE,
    SUPERVISOR,
    Project,
    SetupError,
    environment,
    write_private,
)
from deploy.local.servers import start_servers, stop_servers
from libs.common.data.bootstrap import with_database

SECRETS = ("credentials", "postgres.password")
"""What the passwords of all servers come from, in the project's directory."""
PATIENCE = 600.0
"""Seconds in which PostgreSQL must have replayed its log."""


def operator_environment(project: Project) -> dict[str, str]:
    """For commands that look at everything: all databases as superuser, and all of Kafka."""
    values = environment(project) | project.kafka_login(SUPERVISOR)
    return values | {"LECTERN_DATABASE_ADMIN_URL": with_database(project.postgres_url, DATABASE)}


def restore(
    project: Project, url: str, identity: Path, backup: str | None, at: str | None, *, aside: bool
) -> list[str]:
    """Returns what was done, a sentence each. Raises SetupError."""
    if is_locked(project):
        raise SetupError("The suite runs: stop it with 'make down' first.")
    end_orphans(project)
    moment = datetime.fromisoformat(at) if at else None
    if moment is not None and moment.tzinfo is None:
        raise SetupError("--at needs a zone, as in 2026-01-31T12:00:00Z.")
    lines = identity.read_text().splitlines() if identity.is_file() else []
    try:
        repository = Repository(url, identities=[line for line in lines if line and not line.startswith("#")])
        chosen = plan(repository, choose(all_manifests(repository), backup, moment), moment)
        said = _put_back(project, repository, chosen, aside=aside)
    except BackupError as error:
        raise SetupError(f"restore: {error}") from error
    return [*said, *_begin_epoch(project, chosen)]


def _put_back(project: Project, repository: Repository, chosen: Plan, *, aside: bool) -> list[str]:
    user = unprivileged_user()
    data = data_home(project.directory, user, create=True) / "data"
    if data.exists():
        if not aside:
            raise SetupError(
                f"{data} holds a database: 'lectern restore --aside' moves it aside, 'make reset' deletes it."
            )
        data.rename(data.with_name(f"data.before-{datetime.now(UTC):%Y%m%dT%H%M%S}"))
    for name, value in read_secrets(repository, chosen.backup).items():
        if not (project.directory / name).exists():
            write_private(project.directory / name, value)
    restore_database(repository, chosen, data)
    if user is not None:
        for path in (data, *data.rglob("*")):
            shutil.chown(path, user, group_of(user))
    files = restore_files(repository, chosen.files, environment(project)["LECTERN_STORAGE_URL"])
    return [f"{chosen.backup.id} is back, to {chosen.moment.isoformat()}, and {files} files with it."]


def _begin_epoch(project: Project, chosen: Plan) -> list[str]:
    """Start PostgreSQL and Kafka alone, and let nobody see the log before it says what is undone."""
    servers = start_servers(project, ("postgres", "kafka"))
    try:
        with psycopg.connect(project.postgres_url, autocommit=True) as connection:
            _wait_until_recovered(connection)
            forget_recovery(connection)
        home = data_home(project.directory, unprivileged_user(), create=False)
        shutil.rmtree(home / "data" / WAL, ignore_errors=True)
        bootstrap_database(project.postgres_url)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as offsets:
            json.dump(chosen.backup.offsets, offsets)
            offsets.flush()
            steps = (
                ("libs.common.data.migrations", "upgrade"),
                ("deploy.local.kafka.set_up",),
                (
                    "libs.common.bus.begin_epoch",
                    f"--restored-to={chosen.moment.isoformat()}",
                    f"--offsets={offsets.name}",
                ),
                ("services.analytics.republish", "--if-lost"),
            )
            said = [_run(project, *each) for each in steps]
        return [line for output in said[2:] for line in output.splitlines()]
    finally:
        stop_servers(servers)


def _wait_until_recovered(connection: psycopg.Connection[tuple[bool]]) -> None:
    until = time.monotonic() + PATIENCE
    while connection.execute("SELECT pg_is_in_recovery()").fetchone() != (False,):
        if time.monotonic() > until:
            raise SetupError(f"PostgreSQL has not replayed its log within {PATIENCE:.0f} s.")
        time.sleep(0.1)


def _run(project: Project, module: str, *arguments: str) -> str:
    values = environment(project, SUPERVISOR) | operator_environment(project)
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **values},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SetupError(f"{module} failed: {(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout.strip()
