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
from psycopg import sql

from deploy.backup.database import Server, find_tools, forget_recovery, run_tool
from deploy.backup.files import restore_files
from deploy.backup.manifest import all_manifests, choose
from deploy.backup.repository import BackupError, Repository, read_identities
from deploy.backup.restore import WAL, Plan, plan, read_secrets, restore_database
from deploy.local.children import end_orphans
from deploy.local.control import is_locked
from deploy.local.database import bootstrap_database
from deploy.local.postgres import data_home, delete_data, unprivileged_user
from deploy.local.process import group_of, tail
from deploy.local.project import (
    CHECKOUT,
    DATABASE,
    SUPERVISOR,
    Project,
    SetupError,
    environment,
    free_ports,
    write_private,
)
from deploy.local.servers import start_servers, stop_servers
from libs.common.data.bootstrap import with_database
from libs.common.runtime.settings import SERVICES

SECRETS = ("credentials", "postgres.password")
"""What the passwords of all servers come from, in the project's directory."""
PATIENCE = 600.0
"""Seconds in which PostgreSQL must have replayed its log."""


def operator_environment(project: Project) -> dict[str, str]:
    """For commands that look at everything: all databases as superuser, and all of Kafka."""
    values = environment(project) | project.kafka_login(SUPERVISOR)
    return values | {"LECTERN_DATABASE_ADMIN_URL": with_database(project.postgres_url, DATABASE)}


def restore(
    project: Project,
    url: str,
    identity: Path,
    backup: str | None = None,
    at: str | None = None,
    *,
    only: str = "",
    aside: bool = False,
) -> list[str]:
    """Returns what was done, a sentence each. Raises SetupError.

    With `only` one service's schema is taken from the backup, and everything else stays as it is.
    """
    _refuse_running(project)
    moment = datetime.fromisoformat(at) if at else None
    if moment is not None and moment.tzinfo is None:
        raise SetupError("--at needs a zone, as in 2026-01-31T12:00:00Z.")
    try:
        repository = _open(url, identity)
        chosen = plan(repository, choose(all_manifests(repository), backup, moment), moment)
        if only:
            said = _put_schema_back(project, repository, chosen, only)
        else:
            said = _put_back(project, repository, chosen, aside=aside)
    except BackupError as error:
        raise SetupError(f"restore: {error}") from error
    return [*said, *_begin_epoch(project, chosen)]


def _refuse_running(project: Project) -> None:
    if is_locked(project):
        raise SetupError("The suite runs: stop it with 'make down' first.")
    end_orphans(project)


def restore_storage(project: Project, url: str, identity: Path) -> list[str]:
    """Bring back what is missing of the newest backup's files; the suite may run. Raises SetupError."""
    try:
        repository = _open(url, identity)
        backup = choose(all_manifests(repository), None, None)
        count = restore_files(repository, backup.files, environment(project)["LECTERN_STORAGE_URL"])
    except BackupError as error:
        raise SetupError(f"restore: {error}") from error
    return [f"{count} of {len(backup.files)} files of {backup.id} were missing and are back."]


def rebuild_log(project: Project) -> list[str]:
    """Write Kafka's log anew, where it is lost. Raises SetupError."""
    _refuse_running(project)
    servers = start_servers(project, ("postgres", "kafka"))
    try:
        _run(project, "deploy.local.kafka.set_up")
        return _run(project, "services.analytics.republish").splitlines()
    finally:
        stop_servers(servers)


def _open(url: str, identity: Path) -> Repository:
    if not url:
        raise SetupError("Name a repository: --repository or LECTERN_BACKUP_URL.")
    return Repository(url, identities=read_identities(identity))


def _put_schema_back(project: Project, repository: Repository, chosen: Plan, service: str) -> list[str]:
    """Restore the backup beside the suite and copy the schema over. Its roles and rights are made anew."""
    if service not in SERVICES:
        raise SetupError(f"There is no service {service}: choose one of {', '.join(SERVICES)}.")
    user = unprivileged_user()
    ports = dict(zip(project.ports, free_ports(len(project.ports)), strict=True))
    beside = Project(project.directory / "restored", ports, owner=os.getpid(), with_seed=False)
    delete_data(beside.directory)
    secrets = read_secrets(repository, chosen.backup)
    beside.directory.mkdir(exist_ok=True)
    write_private(beside.directory / "postgres.password", secrets["postgres.password"])
    home = data_home(beside.directory, user, create=True)
    try:
        _restore_data(repository, chosen, home / "data", user)
        servers = [start_servers(each, ("postgres",)) for each in (beside, project)]
        try:
            _wait_until_recovered(beside)
            _copy_schema(beside, project, service)
        finally:
            for each in servers:
                stop_servers(each)
    finally:
        delete_data(beside.directory)
        shutil.rmtree(beside.directory, ignore_errors=True)
    return [f"The schema of {service} is that of {chosen.moment.isoformat()}; all others stayed."]


def _copy_schema(source: Project, target: Project, service: str) -> None:
    tools = find_tools()
    dumped = source.directory / "schema.dump"
    urls = [with_database(each.postgres_url, DATABASE) for each in (source, target)]
    with psycopg.connect(urls[1], autocommit=True) as connection:
        for schema in (service, f"{service}_audit"):
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
    schemas = [f"--schema={service}", f"--schema={service}_audit"]
    run_tool(tools / "pg_dump", "--format=custom", *schemas, f"--file={dumped}", environment=_login(urls[0]))
    run_tool(
        tools / "pg_restore", "--exit-on-error", f"--dbname={DATABASE}", dumped, environment=_login(urls[1])
    )


def _login(url: str) -> dict[str, str]:
    return Server(url).environment() | {"PGDATABASE": DATABASE}


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
    _restore_data(repository, chosen, data, user)
    files = restore_files(repository, chosen.files, environment(project)["LECTERN_STORAGE_URL"])
    return [f"{chosen.backup.id} is back, to {chosen.moment.isoformat()}, and {files} files with it."]


def _restore_data(repository: Repository, chosen: Plan, data: Path, user: str | None) -> None:
    restore_database(repository, chosen, data)
    if user is not None:
        for path in (data, *data.rglob("*")):
            shutil.chown(path, user, group_of(user))


def _begin_epoch(project: Project, chosen: Plan) -> list[str]:
    """Start PostgreSQL and Kafka alone, and let nobody see the log before it says what is undone."""
    servers = start_servers(project, ("postgres", "kafka"))
    try:
        _wait_until_recovered(project)
        with psycopg.connect(project.postgres_url, autocommit=True) as connection:
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


def _wait_until_recovered(project: Project) -> None:
    """Raises SetupError where the log does not reach to the moment: PostgreSQL ends then."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            with psycopg.connect(project.postgres_url, autocommit=True) as connection:
                if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                    return
        except psycopg.OperationalError as error:
            said = tail(project.logs / "postgres.log")
            if "recovery ended before" in said:
                raise SetupError(
                    "The log in the repository ends before this moment: choose an earlier one, or that of the"
                    f" backup itself by leaving --at out.\n{said}"
                ) from error
            raise SetupError(f"PostgreSQL ended while it replayed its log: {error}\n{said}") from error
        time.sleep(0.1)
    raise SetupError(f"PostgreSQL has not replayed its log within {PATIENCE:.0f} s.")


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
        raise SetupError(f"{module} failed: {(done.stderr or done.stdout).strip()[-4000:]}")
    return done.stdout.strip()
