"""The objects of all services' storage: into the repository, and back."""

import hashlib
import tempfile
from collections.abc import Mapping
from typing import Any

import obstore
from obstore.exceptions import BaseError, NotFoundError

from deploy.backup.manifest import blob
from deploy.backup.repository import BackupError, Digest, Repository, open_store


def copy_files(
    storage: str, repository: Repository, known: Mapping[str, Digest], stored: set[str]
) -> dict[str, Digest]:
    """Store what is not there yet; returns every object by its path.

    `known` are the objects of earlier passes: an object never changes, so their bytes are not read again.
    `stored` are the names in the repository, which grow.
    """
    source = open_store(storage)
    found: dict[str, Digest] = {}
    for batch in obstore.list(source):
        for entry in batch:
            path = str(entry["path"])
            before = known.get(path)
            if before is not None and before.size == entry["size"] and blob(before) in stored:
                found[path] = before
                continue
            digest = _copy(source, path, repository, stored)
            if digest is not None:
                found[path] = digest
    return found


def _copy(source: Any, path: str, repository: Repository, stored: set[str]) -> Digest | None:
    """None where somebody has deleted it since it was listed."""
    with tempfile.TemporaryFile() as file:
        try:
            for chunk in obstore.get(source, path).stream():
                file.write(bytes(chunk))
        except (NotFoundError, FileNotFoundError):
            return None
        file.seek(0)
        digest = digest_of(file)
        if blob(digest) not in stored:
            file.seek(0)
            repository.seal(blob(digest), file, compress=False)
            stored.add(blob(digest))
    return digest


def restore_files(repository: Repository, files: Mapping[str, Digest], storage: str) -> int:
    """Bring the objects back that are missing or differ; returns how many. Raises BackupError."""
    target = open_store(storage)
    count = 0
    for path, digest in files.items():
        if _is_there(target, path, digest):
            continue
        with repository.unsealed(blob(digest), digest, compressed=False) as file:
            try:
                obstore.put(target, path, file)
            except (BaseError, OSError) as error:
                raise BackupError(f"{storage}: {path} cannot be written: {error}") from error
        count += 1
    return count


def _is_there(store: Any, path: str, digest: Digest) -> bool:
    try:
        if obstore.head(store, path)["size"] != digest.size:
            return False
        with tempfile.TemporaryFile() as file:
            for chunk in obstore.get(store, path).stream():
                file.write(bytes(chunk))
            file.seek(0)
            return digest_of(file) == digest
    except (NotFoundError, FileNotFoundError):
        return False


def digest_of(file: Any) -> Digest:
    """Of a binary file, from where it stands to its end, which is its size."""
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Digest(file.tell(), sha256)
