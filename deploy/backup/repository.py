"""Where backups lie: a directory or a bucket. What is secret is encrypted with age (age-encryption.org/v1).

    backups/<id>/manifest.json    what it consists of; written last: without it there is no backup
    backups/<id>/pg_manifest      PostgreSQL's own list of files, for the next incremental backup
    backups/<id>/base.tar.age     the database
    backups/<id>/secrets.tar.age  keys and passwords
    wal/<system>/<epoch>/<segment>.age
    files/<first two digits>/<sha256>.age
    watched/<system>/<epoch>/<time>.json    what came between two backups

Objects are written once, so a bucket with a lock on its objects will do.
"""

import hashlib
import io
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

import obstore
import orjson
import pyrage
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, S3Store

CHUNK = 1024 * 1024


class BackupError(Exception):
    """Something is in the way; the message says what to do about it."""


@dataclass(frozen=True)
class Digest:
    """Of what was stored, before compression and encryption: bytes and SHA-256 (hex)."""

    size: int
    sha256: str


def open_store(url: str, login: Mapping[str, str] | None = None) -> Any:
    """The store of `file:DIRECTORY` or `s3://BUCKET/PREFIX`; of that `login` comes before the environment, as
    in `{"aws_endpoint_url": …}`. Raises BackupError."""
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        config: Any = dict(login or {})
        return S3Store(bucket, prefix=prefix.strip("/") or None, config=config)
    if "://" in url:
        raise BackupError(f"{url} is neither a directory nor s3://BUCKET/PREFIX")
    directory = Path(url.removeprefix("file:")).expanduser().absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LocalStore(prefix=directory)


def own_login() -> dict[str, str]:
    """How to reach the bucket of backups where it is not with the suite's files: `LECTERN_BACKUP_AWS_…`."""
    prefix = "LECTERN_BACKUP_"
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in os.environ.items()
        if name.startswith(f"{prefix}AWS_")
    }


def new_identity() -> tuple[str, str]:
    """A key pair: the identity, which opens backups, and the recipient, which makes them."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def read_identities(path: Path) -> list[str]:
    """The identities in the file that `backup key` made. Raises BackupError."""
    if not path.is_file():
        raise BackupError(f"{path} is not there: it is the file that 'backup key' made")
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


class Repository:
    """A store of backups. To write takes recipients (`age1…`), to read sealed things identities."""

    def __init__(self, url: str, recipients: Sequence[str] = (), identities: Sequence[str] = ()) -> None:
        self.url = url
        self._store = open_store(url, own_login())
        try:
            self._recipients = [pyrage.x25519.Recipient.from_str(each) for each in recipients]
            self._identities = [pyrage.x25519.Identity.from_str(each) for each in identities]
        except (pyrage.RecipientError, pyrage.IdentityError) as error:
            raise BackupError(f"not a key of age: {error}; 'lectern backup key' makes a pair") from error

    def seal(self, name: str, source: BinaryIO, *, compress: bool = True) -> Digest:
        """Encrypt a stream into an object."""
        if not self._recipients:
            raise BackupError("no recipient is named: 'lectern backup key' makes a pair")
        reader = _Reader(source, compress)
        with tempfile.TemporaryFile() as sealed:
            pyrage.encrypt_io(reader, sealed, self._recipients)
            sealed.seek(0)
            self._put(name, sealed)
        return reader.digest()

    def seal_file(self, name: str, path: Path, *, compress: bool = True) -> Digest:
        with path.open("rb") as source:
            return self.seal(name, source, compress=compress)

    def unseal(self, name: str, target: IO[bytes], *, compressed: bool = True) -> Digest:
        """Decrypt an object into a stream. Raises BackupError."""
        if not self._identities:
            raise BackupError("no identity is named: reading a backup takes the file that 'backup key' made")
        writer = _Writer(target, compressed)
        with tempfile.TemporaryFile() as sealed:
            for chunk in self._get(name).stream():
                sealed.write(bytes(chunk))
            sealed.seek(0)
            try:
                pyrage.decrypt_io(sealed, writer, self._identities)
                return writer.digest()
            except (pyrage.DecryptError, OSError, zlib.error) as error:
                raise BackupError(f"{name} cannot be opened: {error}") from error

    @contextmanager
    def unsealed(self, name: str, expected: Digest, *, compressed: bool = True) -> Iterator[Path]:
        """An object in a temporary file, compared with what was stored. Raises BackupError."""
        with tempfile.NamedTemporaryFile() as file:
            self._compare(name, self.unseal(name, file.file, compressed=compressed), expected)
            file.flush()
            yield Path(file.name)

    def check(self, name: str, expected: Digest, *, compressed: bool = True) -> None:
        """Read an object whole and compare it with what was stored. Raises BackupError."""
        with open(os.devnull, "wb") as nowhere:
            self._compare(name, self.unseal(name, nowhere, compressed=compressed), expected)

    def write(self, name: str, data: bytes) -> None:
        self._put(name, io.BytesIO(data))

    def read(self, name: str) -> bytes:
        """Raises BackupError."""
        return bytes(self._get(name).bytes())

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, orjson.dumps(value, option=orjson.OPT_INDENT_2))

    def read_json(self, name: str) -> Any:
        return orjson.loads(self.read(name))

    def names(self, folder: str, *, before: datetime | None = None) -> list[str]:
        """Names of all objects in a folder, however deep, in order; of those stored `before` a moment."""
        return sorted(
            str(each["path"])
            for batch in obstore.list(self._store, folder)
            for each in batch
            if before is None or each["last_modified"] < before
        )

    def delete(self, name: str) -> None:
        obstore.delete(self._store, name)

    def _put(self, name: str, source: Any) -> None:
        try:
            obstore.put(self._store, name, source)
        except (BaseError, OSError) as error:
            raise BackupError(f"{self.url}/{name} cannot be written: {error}") from error

    def _get(self, name: str) -> Any:
        try:
            return obstore.get(self._store, name)
        except (NotFoundError, FileNotFoundError) as error:
            raise BackupError(f"{self.url} has no {name}: the backup is not whole") from error

    @staticmethod
    def _compare(name: str, found: Digest, expected: Digest) -> None:
        if found != expected:
            raise BackupError(f"{name} is not what was stored: {found.size} of {expected.size} bytes")


class _Reader(io.RawIOBase):
    """A stream as it is stored, measured on its way."""

    def __init__(self, source: BinaryIO, compress: bool) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self._size = 0
        self._packer = zlib.compressobj(1, wbits=31) if compress else None
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while not self._ready and not self._ended:
            chunk = self._source.read(CHUNK)
            self._hash.update(chunk)
            self._size += len(chunk)
            self._ended = not chunk
            if self._packer is None:
                self._ready = chunk
            else:
                self._ready = self._packer.compress(chunk) if chunk else self._packer.flush()
        taken = self._ready if size < 0 else self._ready[:size]
        self._ready = self._ready[len(taken) :]
        return taken

    def digest(self) -> Digest:
        return Digest(self._size, self._hash.hexdigest())


class _Writer(io.RawIOBase):
    """The other way round."""

    def __init__(self, target: IO[bytes], compressed: bool) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self._size = 0
        self._unpacker = zlib.decompressobj(wbits=31) if compressed else None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        chunk = bytes(data)
        plain = self._unpacker.decompress(chunk) if self._unpacker else chunk
        self._hash.update(plain)
        self._size += len(plain)
        self._target.write(plain)
        return len(chunk)

    def digest(self) -> Digest:
        """Raises OSError where the stream ends too early."""
        if self._unpacker and not self._unpacker.eof:
            raise OSError("it ends in the middle")
        return Digest(self._size, self._hash.hexdigest())
