"""`python -m deploy.docker.restore keys | data | epoch`: a backup into the empty suite of docker-compose.yml.

`keys` brings the passwords, from which the job `credentials` makes every other file of secrets; `data` fills
the volume of PostgreSQL and brings the files back; `epoch` waits until PostgreSQL has replayed its log, and
says to all services what did not happen. docs/operators.md has the commands.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import psycopg

from deploy.backup.__main__ import moment
from deploy.backup.database import forget_recovery
from deploy.backup.files import restore_files
from deploy.backup.manifest import all_manifests, choose
from deploy.backup.repository import BackupError, Repository, read_identities
from deploy.backup.restore import WAL, plan, read_secrets, restore_database
from deploy.docker.credentials import PASSWORDS
from libs.common.data.bootstrap import with_database
from libs.common.runtime.settings import SuiteSettings

PATIENCE = 3600.0
"""Seconds in which PostgreSQL must have replayed its log."""


def open_repository() -> Repository:
    """Raises BackupError."""
    identity = Path(os.environ.get("LECTERN_BACKUP_IDENTITY_FILE", "/run/identity"))
    if not identity.is_file():
        raise BackupError("set LECTERN_BACKUP_IDENTITY to the file that 'backup key' made")
    return Repository(os.environ["LECTERN_BACKUP_URL"], identities=read_identities(identity))


def restore_keys(repository: Repository, secrets: Path, name: str | None) -> None:
    """Raises BackupError where other passwords are there."""
    path = secrets / PASSWORDS
    if path.exists():
        raise BackupError(f"{PASSWORDS} is there already, and belongs to other data: move it away first")
    backup = choose(all_manifests(repository), name, None)
    found = read_secrets(repository, backup)
    if PASSWORDS not in found:
        raise BackupError(f"{backup.id} has no {PASSWORDS}: put the file there that belongs to it")
    path.touch(mode=0o600)
    path.write_text(found[PASSWORDS])
    print(f"restore: {PASSWORDS} of {backup.id} is back")


def restore_data(
    repository: Repository, data: Path, note: Path, name: str | None, at: datetime | None
) -> None:
    """Raises BackupError. `note` tells `epoch` what was restored."""
    backup = choose(all_manifests(repository), name, at)
    chosen = plan(repository, backup, at)
    restore_database(repository, chosen, data)
    files = restore_files(repository, chosen.files, SuiteSettings().storage_url)
    note.write_text(json.dumps({"moment": chosen.moment.isoformat(), "offsets": backup.offsets}))
    print(f"restore: {backup.id} is back, to {chosen.moment.isoformat()}, and {files} files with it")


def begin_epoch(data: Path, note: Path) -> None:
    """Raises BackupError."""
    restored = json.loads(note.read_text())
    offsets = note.with_name("offsets.json")
    offsets.write_text(json.dumps(restored["offsets"]))
    url = with_database(os.environ["LECTERN_DATABASE_ADMIN_URL"], "lectern")
    wait_until_recovered(url)
    with psycopg.connect(url, autocommit=True) as connection:
        forget_recovery(connection)
    shutil.rmtree(data / WAL, ignore_errors=True)
    for module, *arguments in (
        ("libs.common.data.bootstrap",),
        ("libs.common.data.migrations", "upgrade"),
        ("libs.common.bus.begin_epoch", f"--restored-to={restored['moment']}", f"--offsets={offsets}"),
        ("services.analytics.republish", "--if-lost"),
    ):
        if subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode:
            raise BackupError(f"{module} has failed: mend what it says, and run this step again")
    note.unlink()
    offsets.unlink()


def wait_until_recovered(url: str) -> None:
    """Raises BackupError."""
    until = time.monotonic() + PATIENCE
    said = "it still replays"
    while time.monotonic() < until:
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                    return
        except psycopg.OperationalError as error:
            said = str(error)
        time.sleep(0.5)
    raise BackupError(f"PostgreSQL has not replayed its log: {said}; its own logs say why")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.docker.restore", description=__doc__)
    parser.add_argument("step", choices=("keys", "data", "epoch"))
    parser.add_argument("--backup", metavar="NAME", help="the newest without it")
    parser.add_argument("--at", type=moment, metavar="TIME", help="any moment since the backup before it")
    parser.add_argument("--secrets", type=Path, default=Path("/secrets"))
    parser.add_argument("--data", type=Path, default=Path("/var/lib/postgresql/18/docker"))
    parser.add_argument("--note", type=Path, default=Path("/scratch/restored.json"))
    options = parser.parse_args()
    try:
        if options.step == "epoch":
            begin_epoch(options.data, options.note)
        elif options.step == "data":
            restore_data(open_repository(), options.data, options.note, options.backup, options.at)
        else:
            restore_keys(open_repository(), options.secrets, options.backup)
    except BackupError as error:
        print(f"restore: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
