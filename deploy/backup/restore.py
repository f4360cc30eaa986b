"""Put a backup back into an empty place.

`restore_database` makes a data directory that PostgreSQL recovers when it starts; the rest are files and
keys. What follows once it runs (an epoch, the log) is the caller's: see deploy/local/recovery.py.
"""

import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy.backup.database import next_segment, put_together, recover_to, unpack
from deploy.backup.manifest import Manifest, all_manifests, blob, chain_of
from deploy.backup.repository import BackupError, Digest, Repository
from deploy.backup.watch import watched_files, watched_wal

WAL = "restored_wal"


@dataclass(frozen=True)
class Plan:
    """What restoring to a moment takes; `at` None is the moment of the backup itself."""

    chain: list[Manifest]
    at: datetime | None
    wal: dict[str, Digest]
    files: dict[str, Digest]

    @property
    def backup(self) -> Manifest:
        return self.chain[-1]

    @property
    def moment(self) -> datetime:
        return self.at or self.backup.point_at


def plan(repository: Repository, backup: Manifest, at: datetime | None) -> Plan:
    """Raises BackupError where the log that the backup itself needs is not whole; whether it reaches to `at`,
    PostgreSQL finds out."""
    manifests = all_manifests(repository)
    chain = chain_of(backup, manifests)
    wal = dict(backup.wal)
    files = dict(backup.files)
    if at is not None:
        wal |= watched_wal(repository, backup)
        for each in manifests:
            if (each.system, each.epoch) == (backup.system, backup.epoch):
                wal |= each.wal
        files |= watched_files(repository, backup, at)
        # Files that were stored after the backup stand in the next one.
        files |= next((m.files for m in manifests if m.point_at >= at), {})
    name = backup.wal_from
    while name <= backup.wal_to:
        if name not in wal:
            raise BackupError(f"segment {name} of the write-ahead log is missing: choose another backup")
        name = next_segment(name)
    return Plan(chain, at, wal, files)


def restore_database(repository: Repository, plan: Plan, data: Path) -> None:
    """Make the data directory. Raises BackupError, and then has made nothing."""
    if data.exists() and any(data.iterdir()):
        raise BackupError(f"{data} is not empty: move it away first, nothing is overwritten")
    data.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.parent, prefix=".restore-") as scratch:
        bases = []
        for manifest in plan.chain:
            base = Path(scratch) / manifest.id
            with repository.unsealed(f"{manifest.folder}/base.tar.age", manifest.base) as tar:
                unpack(tar, base)
            (base / "backup_manifest").write_bytes(repository.read(f"{manifest.folder}/pg_manifest"))
            bases.append(base)
        made = Path(scratch) / "data"
        put_together(bases, made)
        log = made / WAL
        log.mkdir(mode=0o700)
        for name, digest in plan.wal.items():
            with repository.unsealed(f"{plan.backup.wal_folder}/{name}.age", digest) as segment:
                shutil.copyfile(segment, log / name)
        recover_to(made, WAL, _target(plan))
        if data.exists():
            data.rmdir()
        made.rename(data)


def _target(plan: Plan) -> str:
    if plan.at is None:
        return f"recovery_target_name = '{plan.backup.point}'"
    return f"recovery_target_time = '{plan.at.isoformat()}'"


def read_secrets(repository: Repository, manifest: Manifest) -> dict[str, str]:
    """Keys and passwords by the name of their file; empty where the backup has none."""
    if manifest.secrets is None:
        return {}
    found = {}
    with (
        repository.unsealed(f"{manifest.folder}/secrets.tar.age", manifest.secrets) as tar,
        tarfile.open(tar) as archive,
    ):
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is not None:
                found[member.name] = file.read().decode()
    return found


def verify(repository: Repository, manifest: Manifest) -> int:
    """Read all that a backup consists of and compare it with what was stored; returns how many objects.

    Raises BackupError. The database's own checksums are compared, too: it is put together once.
    """
    chosen = plan(repository, manifest, None)
    with tempfile.TemporaryDirectory() as scratch:
        restore_database(repository, chosen, Path(scratch) / "data")
    read_secrets(repository, manifest)
    blobs = {blob(digest): digest for digest in manifest.files.values()}
    for name, digest in blobs.items():
        repository.check(name, digest, compressed=False)
    return len(chosen.chain) + len(chosen.wal) + len(blobs)
