"""Make a backup: one moment of the database, and all files and offsets that belong to it.

The order makes it one. The log is taken from before the base backup on; offsets are read before the moment is
named, so that no consumer can be further than they say; files are copied before it, because they take long,
and once more after it, because a row may name a file that came in between.
"""

import asyncio
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.backup.database import Receiver, Server, first_segment, next_segment
from deploy.backup.files import copy_files, digest_of
from deploy.backup.manifest import Manifest, all_manifests, wal_folder
from deploy.backup.repository import BackupError, Digest, Repository
from libs.common.runtime.clock import Clock, system_clock
from libs.common.runtime.connections import kafka_arguments
from libs.common.runtime.release import release as suite_release
from libs.common.runtime.settings import SERVICES, SuiteSettings

Offsets = dict[str, dict[str, dict[str, int]]]


@dataclass(frozen=True)
class Sources:
    """What is backed up: the database server, the storage's URL, Kafka, and files with keys and passwords."""

    server: Server
    settings: SuiteSettings
    secrets: tuple[Path, ...] = ()


def create(
    sources: Sources, repository: Repository, *, incremental: bool = False, clock: Clock = system_clock
) -> Manifest:
    """Make a backup. Raises BackupError; what it has stored by then is not a backup, and `prune` removes it.

    An incremental one builds upon the newest backup of the same history of the database; where there is none,
    it is a full one.
    """
    started = clock()
    before = sources.server.state()
    manifests = all_manifests(repository)
    parent = _parent(manifests, before.system, before.epoch, before.timeline) if incremental else None
    name = f"{started:%Y%m%dT%H%M%S}Z-{'incremental' if parent else 'full'}"
    if any(each.id == name for each in manifests):
        raise BackupError(f"{name} is there already: wait a second")
    sources.server.summarize()
    known = manifests[-1].files if manifests else {}
    stored = set(repository.names("files"))
    folder = f"backups/{name}"
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        with sources.server.keeping_log(), Receiver(sources.server, work / "wal") as receiver:
            base, wal_from = _copy_base(sources.server, repository, folder, work, parent, before.timeline)
            files = copy_files(sources.settings.storage_url, repository, known, stored)
            offsets = asyncio.run(read_offsets(sources.settings))
            point_at, wal_to = sources.server.mark(f"lectern-{name}")
            receiver.wait_for(wal_to)
            wal = _copy_log(repository, receiver, wal_folder(before.system, before.epoch), wal_from, wal_to)
        later = copy_files(sources.settings.storage_url, repository, files, stored)
        secrets = _copy_secrets(repository, f"{folder}/secrets.tar.age", sources.secrets)
        manifest = Manifest(
            id=name,
            parent=parent.id if parent else None,
            started_at=started,
            point=f"lectern-{name}",
            point_at=point_at.astimezone(UTC),
            system=before.system,
            epoch=before.epoch,
            wal_from=wal_from,
            wal_to=wal_to,
            server=before.version,
            release=release(),
            heads=before.heads,
            base=base,
            secrets=secrets,
            wal=wal,
            # What was deleted after the moment is a file of this backup, if a pass has seen it.
            files=files | later,
            offsets=offsets,
        )
        manifest.save(repository)
    return manifest


def _parent(manifests: list[Manifest], system: str, epoch: int, timeline: int) -> Manifest | None:
    same = [
        m for m in manifests if (m.system, m.epoch) == (system, epoch) and int(m.wal_to[:8], 16) == timeline
    ]
    return same[-1] if same else None


def _copy_base(
    server: Server, repository: Repository, folder: str, work: Path, parent: Manifest | None, timeline: int
) -> tuple[Digest, str]:
    earlier = None
    if parent is not None:
        earlier = work / "parent_manifest"
        earlier.write_bytes(repository.read(f"{parent.folder}/pg_manifest"))
    directory = work / "base"
    server.base_backup(directory, earlier)
    own = directory / "backup_manifest"
    repository.write(f"{folder}/pg_manifest", own.read_bytes())
    digest = repository.seal_file(f"{folder}/base.tar.age", directory / "base.tar")
    first = first_segment(own, timeline)
    shutil.rmtree(directory)
    return digest, first


def _copy_log(
    repository: Repository, receiver: Receiver, folder: str, first: str, last: str
) -> dict[str, Digest]:
    """The segments from `first` to `last`. Raises BackupError where one is missing."""
    received = receiver.segments()
    wanted = [name for name in received if name.endswith(".history")]
    name = first
    while name <= last:
        if name not in received:
            raise BackupError(f"segment {name} of the write-ahead log was not received")
        wanted.append(name)
        name = next_segment(name)
    return store_log(repository, folder, {name: received[name] for name in wanted})


def store_log(repository: Repository, folder: str, segments: Mapping[str, Path]) -> dict[str, Digest]:
    """Store those that are not there yet; returns what all of them are."""
    there = set(repository.names(folder))
    wal = {}
    for name, path in segments.items():
        if f"{folder}/{name}.age" in there:
            with path.open("rb") as file:
                wal[name] = digest_of(file)
        else:
            wal[name] = repository.seal_file(f"{folder}/{name}.age", path)
    return wal


def _copy_secrets(repository: Repository, name: str, paths: Iterable[Path]) -> Digest | None:
    chosen = [path for path in paths if path.is_file()]
    if not chosen:
        return None
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path in chosen:
            archive.add(path, arcname=path.name)
    tar.seek(0)
    return repository.seal(name, tar)


async def read_offsets(settings: SuiteSettings) -> Offsets:
    """The committed offsets of every service's consumer: group → topic → partition → next offset; empty where
    Kafka is away: consumers can always read from the beginning, it takes longer."""
    admin = AIOKafkaAdminClient(**kafka_arguments(settings), request_timeout_ms=10_000)
    try:
        await admin.start()
        offsets: Offsets = {}
        for service in SERVICES:
            group = settings.topic_prefix + service
            for tp, committed in (await admin.list_consumer_group_offsets(group)).items():
                offsets.setdefault(group, {}).setdefault(tp.topic, {})[str(tp.partition)] = committed.offset
        return offsets
    except (KafkaError, OSError):
        return {}
    finally:
        await admin.close()


def release() -> str:
    """Version and, in a checkout, commit of this code; an image has neither checkout nor git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return suite_release()
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    commit = f"+{done.stdout.strip()}" if done.returncode == 0 else ""
    return f"{suite_release()}{commit}"


def summary(manifest: Manifest, known: Mapping[str, object]) -> str:
    """One line for people."""
    kind = f"upon {manifest.parent}" if manifest.parent else "full"
    new = len(manifest.files.keys() - known.keys())
    return (
        f"{manifest.id}: {kind}, database {manifest.base.size / 1e6:.0f} MB, {len(manifest.wal)} segments of"
        f" the log, {len(manifest.files)} files ({new} new), to {manifest.point_at:%Y-%m-%d %H:%M:%S}Z"
    )
