"""Between backups: take the write-ahead log and new files as they come, so that any moment can be restored.

The server keeps what this has not taken (a replication slot). Where nobody watches any more, drop the slot by
`backup unwatch`, or the server's disk fills up.
"""

import os
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.backup.create import Sources, store_log
from deploy.backup.database import Receiver
from deploy.backup.files import copy_files
from deploy.backup.manifest import Manifest, all_manifests, wal_folder, watched_folder
from deploy.backup.repository import Digest, Repository
from libs.common.runtime.clock import Clock, system_clock

SLOT = "lectern_backup"
EVERY = 30.0
"""Seconds between two looks: so much may be lost with the server."""


def watch(
    sources: Sources,
    repository: Repository,
    spool: Path,
    *,
    every: float = EVERY,
    clock: Clock = system_clock,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Runs until it is interrupted. Raises BackupError where the server or the repository is away; `spool`
    keeps what was taken and not stored yet, so start it again."""
    state = sources.server.state()
    folder = watched_folder(state.system, state.epoch)
    known: dict[str, Digest] = dict(manifests[-1].files) if (manifests := all_manifests(repository)) else {}
    stored = set(repository.names("files"))
    with Receiver(sources.server, spool, SLOT) as receiver:
        while True:
            receiver.check()
            at = clock()
            receiver.wait_past(_end_segment(sources))
            wal = store_log(repository, wal_folder(state.system, state.epoch), receiver.segments())
            files = copy_files(sources.settings.storage_url, repository, known, stored)
            new = {path: digest for path, digest in files.items() if path not in known}
            if wal or new:
                repository.write_json(
                    f"{folder}/{at:%Y%m%dT%H%M%S%f}Z.json",
                    {"at": at, "wal": wal, "files": new},
                )
            for name in wal:
                (spool / name).unlink()
            known = files
            _say_alive()
            wait(every)


def _say_alive() -> None:
    """Supervisors and probes look at the age of this file."""
    if path := os.environ.get("LECTERN_READY_FILE"):
        Path(path).touch()


def _end_segment(sources: Sources) -> str:
    """A segment that has something in it is ended, so that it can be stored; returns the last that is."""
    with sources.server.connect() as connection:
        row = connection.execute("SELECT pg_walfile_name(pg_switch_wal() - 1)").fetchone()
        assert row is not None
    return str(row[0])


def unwatch(sources: Sources, spool: Path) -> None:
    """Let the server forget that the log was taken."""
    with sources.server.connect() as connection:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
            [SLOT],
        )
    shutil.rmtree(spool, ignore_errors=True)


def _looks(repository: Repository, backup: Manifest) -> list[dict[str, Any]]:
    names = repository.names(watched_folder(backup.system, backup.epoch))
    return [repository.read_json(name) for name in names]


def watched_wal(repository: Repository, backup: Manifest) -> dict[str, Digest]:
    """The segments that were taken since."""
    return {
        name: Digest(**digest)
        for look in _looks(repository, backup)
        for name, digest in look["wal"].items()
        if name >= backup.wal_from or name.endswith(".history")
    }


def watched_files(repository: Repository, backup: Manifest, at: datetime) -> dict[str, Digest]:
    """The files that came between the backup and `at`, with those of the look after it."""
    found: dict[str, Digest] = {}
    for look in _looks(repository, backup):
        moment = datetime.fromisoformat(look["at"])
        if moment >= backup.point_at:
            found |= {path: Digest(**digest) for path, digest in look["files"].items()}
        if moment > at:
            break
    return found
