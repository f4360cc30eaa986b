"""What a backup consists of."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from deploy.backup.repository import BackupError, Digest, Repository

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """A backup: the database to `point`, the files that its rows name, keys, and the offsets of consumers.

    An incremental one holds the pages that changed since its `parent`. `wal_from` and `wal_to` are the first
    and the last segment of the write-ahead log that restoring to `point` takes.
    """

    id: str
    parent: str | None
    started_at: datetime
    point: str
    point_at: datetime
    system: str
    epoch: int
    wal_from: str
    wal_to: str
    server: str
    release: str
    heads: dict[str, str]
    """The newest migration of each service's schema."""
    base: Digest
    secrets: Digest | None = None
    wal: dict[str, Digest] = field(default_factory=dict)
    files: dict[str, Digest] = field(default_factory=dict)
    offsets: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return f"backups/{self.id}"

    @property
    def wal_folder(self) -> str:
        """Of this history of this server: each restore begins another."""
        return wal_folder(self.system, self.epoch)

    def save(self, repository: Repository) -> None:
        repository.write_json(f"{self.folder}/manifest.json", {"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, repository: Repository, name: str) -> Self:
        """Raises BackupError."""
        values: dict[str, Any] = repository.read_json(f"backups/{name}/manifest.json")
        if (version := values.pop("format", None)) != FORMAT:
            raise BackupError(
                f"{name} has format {version}: take the release that made it, {values.get('release')}"
            )
        for moment in ("started_at", "point_at"):
            values[moment] = datetime.fromisoformat(values[moment])
        values["base"] = Digest(**values["base"])
        values["secrets"] = Digest(**values["secrets"]) if values["secrets"] else None
        for table in ("wal", "files"):
            values[table] = {each: Digest(**digest) for each, digest in values[table].items()}
        return cls(**values)


def wal_folder(system: str, epoch: int) -> str:
    """Where the log of one history of a server lies."""
    return f"wal/{system}/{epoch}"


def watched_folder(system: str, epoch: int) -> str:
    """Where it says what came between the backups of that history."""
    return f"watched/{system}/{epoch}"


def blob(digest: Digest) -> str:
    """Where a file's bytes lie: equal files are stored once."""
    return f"files/{digest.sha256[:2]}/{digest.sha256}.age"


def all_manifests(repository: Repository) -> list[Manifest]:
    """Every finished backup, oldest first."""
    names = [name.split("/")[1] for name in repository.names("backups") if name.endswith("/manifest.json")]
    return sorted((Manifest.load(repository, name) for name in names), key=lambda each: each.point_at)


def chain_of(manifest: Manifest, manifests: list[Manifest]) -> list[Manifest]:
    """The full backup that this one builds upon, and what lies between; itself last. Raises BackupError."""
    by_id = {each.id: each for each in manifests}
    chain = [manifest]
    while (parent := chain[0].parent) is not None:
        if parent not in by_id:
            raise BackupError(f"{chain[0].id} builds upon {parent}, which is gone")
        chain.insert(0, by_id[parent])
    return chain


def choose(manifests: list[Manifest], name: str | None, at: datetime | None) -> Manifest:
    """The backup of that name, or the newest whose point is not after `at`. Raises BackupError."""
    if not manifests:
        raise BackupError("there is no finished backup")
    if name is not None:
        found = [each for each in manifests if each.id == name]
    else:
        found = [each for each in manifests if at is None or each.point_at <= at]
    if not found:
        have = ", ".join(each.id for each in manifests)
        raise BackupError(f"there is no backup {name or f'from before {at}'}; there are {have}")
    return found[-1]
