"""Bring the running suite to the release of this checkout while it serves: `lectern upgrade`.

First what could go wrong is looked at, then the schemas are widened (old code works with the next release's
schema), then one process after the other is replaced; each takes over the port of its predecessor. The way
back is the same with the earlier checkout: it works with the schema that stays.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from alembic.script import ScriptDirectory

from deploy.backup.manifest import all_manifests
from deploy.backup.repository import BackupError, Repository
from deploy.local import control
from deploy.local.checks import Finding
from deploy.local.database import bootstrap_database
from deploy.local.project import CHECKOUT, DATABASE, SUPERVISOR, Project, SetupError, environment
from deploy.local.suite import process_names
from libs.common.data.bootstrap import with_database
from libs.common.data.migrations import config

YOUNG = timedelta(days=1)
"""A backup older than this is no way back."""
LEAST_DISK = 2 * 1024**3
MOST_BEHIND = 10_000


def preflight(
    project: Project, backups: str, *, without_backup: bool = False, back: bool = False
) -> list[Finding]:
    """What speaks for and against an upgrade now."""
    checks: dict[str, Callable[[], str]] = {
        "migrations": lambda: _migrations(project, back=back),
        "disk": lambda: _disk(project),
        "consumers": lambda: _consumers(project),
        "dead letters": lambda: _dead_letters(project),
        "backup": lambda: "left out, as you asked" if without_backup else _backup(backups),
    }
    findings = []
    for name, check in checks.items():
        try:
            findings.append(Finding(name, True, check()))
        except (SetupError, BackupError, psycopg.Error) as error:
            findings.append(Finding(name, False, str(error)))
    return findings


def upgrade(project: Project, say: Callable[[str], None], *, back: bool = False) -> None:
    """Widen the schemas, then replace one process after the other. Raises SetupError where one does not come
    up: then its predecessor goes on, and what was replaced before stays replaced."""
    if not back:
        say("schemas and topics")
        bootstrap_database(project.postgres_url)
        _run(project, "libs.common.data.migrations", "upgrade")
        _run(project, "deploy.local.kafka.set_up", process=SUPERVISOR)
    running = {row["name"] for row in control.status(project)["processes"]}
    for name in process_names(project):
        if name in running and name != "mail":
            say(name)
            control.Process(project, name).restart()


def release_notes(changelog: Path = CHECKOUT / "CHANGELOG.md") -> list[str]:
    """What the newest release asks of operators, a sentence each."""
    found = re.search(r"^### Upgrading\n(.*?)(?=^##|\Z)", changelog.read_text(), re.MULTILINE | re.DOTALL)
    items = re.split(r"^- ", found[1], flags=re.MULTILINE) if found else []
    return [" ".join(item.split()) for item in items if item.strip()]


def _migrations(project: Project, *, back: bool) -> str:
    """Those that are to run. Refuses a database that is newer than this code, unless the way is back."""
    pending: list[str] = []
    newer: list[str] = []
    with psycopg.connect(with_database(project.postgres_url, DATABASE)) as connection:
        for service in project.services:
            scripts = ScriptDirectory.from_config(config(service))
            row = connection.execute(f"SELECT version_num FROM {service}.alembic_version").fetchone()
            known = {script.revision for script in scripts.walk_revisions()}
            if row is not None and row[0] not in known:
                if back:
                    newer.append(service)
                    continue
                raise SetupError(
                    f"{service}'s schema is at {row[0]}, which this release does not know: say --back if"
                    " this is the one before, which works with it"
                )
            steps = list(
                scripts.iterate_revisions(scripts.get_current_head() or "", row[0] if row else "base")
            )
            pending += [f"{service} {step.revision}" for step in reversed(steps)]
    if newer:
        return f"the newer schema of {', '.join(newer)} stays"
    return f"{len(pending)} to run: {', '.join(pending)}" if pending else "none to run"


def _disk(project: Project) -> str:
    with psycopg.connect(with_database(project.postgres_url, DATABASE)) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    size = row[0] if row else 0
    free = shutil.disk_usage(project.directory).free
    if free < max(LEAST_DISK, size):
        raise SetupError(
            f"{free / 1e9:.1f} GB are free beside a database of {size / 1e9:.1f} GB, and a migration may"
            " write as much again: make room first"
        )
    return f"{free / 1e9:.0f} GB free, database {size / 1e9:.2f} GB"


def _consumers(project: Project) -> str:
    behind = 0
    for row in control.status(project)["processes"]:
        for consumer in control.consumers(row):
            if consumer["halted"]:
                raise SetupError(f"the consumer of {row['name']} has halted: see 'lectern dlq list'")
            behind += consumer["lag"] or 0
    if behind > MOST_BEHIND:
        raise SetupError(f"{behind} events wait to be applied: let the consumers catch up first")
    return f"{behind} events behind"


def _dead_letters(project: Project) -> str:
    with psycopg.connect(with_database(project.postgres_url, DATABASE)) as connection:
        counts = {}
        for service in project.services:
            row = connection.execute(
                f"SELECT count(*) FROM {service}.dead_letter WHERE resolved_at IS NULL"
            ).fetchone()
            if row and row[0]:
                counts[service] = row[0]
    if counts:
        said = ", ".join(f"{count} of {service}" for service, count in counts.items())
        raise SetupError(f"events are parked ({said}): redrive them first, 'lectern dlq list'")
    return "none"


def _backup(url: str) -> str:
    if not url:
        raise SetupError("LECTERN_BACKUP_URL is not set: make a backup, or say --without-backup")
    manifests = all_manifests(Repository(url))
    age = datetime.now(UTC) - manifests[-1].point_at if manifests else None
    if age is None or age > YOUNG:
        said = f"is {age.total_seconds() / 3600:.0f} hours old" if age else "is not there"
        raise SetupError(
            f"the newest backup {said}: make one by 'lectern backup create', or say --without-backup"
        )
    return f"{manifests[-1].id}, {age.total_seconds() / 3600:.1f} hours old"


def _run(project: Project, module: str, *arguments: str, process: str = "") -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=CHECKOUT,
        env=environment(project, process),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SetupError(f"{module} failed: {(done.stderr or done.stdout).strip()[-1500:]}")
