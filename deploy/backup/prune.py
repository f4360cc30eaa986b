"""Deleting backups that are too old, and what only they need."""

from datetime import timedelta

from deploy.backup.manifest import Manifest, all_manifests, blob
from deploy.backup.repository import BackupError, Digest, Repository
from libs.common.runtime.clock import Clock, system_clock

UNFINISHED = timedelta(days=1)
"""What is younger may belong to a backup that is being made."""


def prune(repository: Repository, keep: timedelta, *, clock: Clock = system_clock) -> list[str]:
    """Delete backups older than `keep`, and what only they need; returns the names of what is gone.

    A full backup goes with its incremental ones, once the newest of them is too old. The newest chain always
    stays. Raises BackupError where there is no backup.
    """
    manifests = all_manifests(repository)
    if not manifests:
        raise BackupError("there is no finished backup, so nothing is deleted")
    now = clock()
    chains = _chains(manifests)
    kept = [chain for chain in chains[:-1] if chain[-1].point_at >= now - keep] + chains[-1:]
    staying = [manifest for chain in kept for manifest in chain]
    before = now - UNFINISHED
    ids = {manifest.id for manifest in staying}
    gone = [name for name in repository.names("backups", before=before) if name.split("/")[1] not in ids]
    gone += _log(repository, staying)
    looks = repository.names("watched")
    old_looks = _looks(looks, staying)
    gone += old_looks
    needed = {blob(digest) for manifest in staying for digest in manifest.files.values()}
    for name in set(looks) - set(old_looks):
        needed |= {blob(Digest(**digest)) for digest in repository.read_json(name)["files"].values()}
    gone += [name for name in repository.names("files", before=before) if name not in needed]
    for name in gone:
        repository.delete(name)
    return gone


def _chains(manifests: list[Manifest]) -> list[list[Manifest]]:
    """Full backups with the incremental ones upon them, oldest first."""
    chains: list[list[Manifest]] = []
    of: dict[str | None, list[Manifest]] = {}
    for manifest in manifests:
        chain = of.get(manifest.parent)
        if manifest.parent is None or chain is None:
            chain = []
            chains.append(chain)
        chain.append(manifest)
        of[manifest.id] = chain
    return chains


def _log(repository: Repository, staying: list[Manifest]) -> list[str]:
    """Segments before the first that a backup of their history needs, and histories without a backup."""
    first: dict[str, str] = {}
    for manifest in staying:
        folder = manifest.wal_folder
        first[folder] = min(manifest.wal_from, first.get(folder, manifest.wal_from))
    return [
        name
        for name in repository.names("wal")
        if (folder := name.rpartition("/")[0]) not in first
        or (not name.endswith(".history.age") and name.rpartition("/")[2] < first[folder])
    ]


def _looks(names: list[str], staying: list[Manifest]) -> list[str]:
    """What was watched before the first backup that stays."""
    first = min(manifest.started_at for manifest in staying)
    return [name for name in names if name.rpartition("/")[2] < f"{first:%Y%m%dT%H%M%S%f}Z.json"]
