"""Files: one client over a local directory or S3, and signed URLs of our own.

Names are generated, never taken from a client, and an object is never written twice. What is not an avatar
or a thumbnail is read through a signed URL that is bound to the object: one for nobody in particular lives
five minutes; one that names its reader lives for hours, and only while their session does. Whether the right
behind a URL still holds is asked at each use.
"""

import copy
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from uuid import UUID

import obstore
import orjson
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from libs.common.runtime.clock import system_clock
from libs.common.runtime.errors import NotFound, PayloadTooLarge
from libs.common.runtime.settings import ServiceSettings
from libs.common.security.revocation import LINK_SECONDS
from libs.common.security.tokens import Principal

URL_SECONDS = 300
"""Life of a URL that names nobody."""
MAIL_SECONDS = 7 * 24 * 3600
"""Most of a URL that names what the object is a part of, but no session: the right is asked at each use."""
STEP = 300
"""Seconds for which the URL of one object for one reader stays the same."""
CHUNK = 256 * 1024
JOINED = ".parts"
"""How the path of an object ends that is made of others."""
MOST_JOINED = 16
"""Joined objects whose parts are remembered."""
# What our own paths are made of; storage has opinions about everything else.
PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){0,7}\Z")
OS_ERROR = re.compile(r"\(os error (\d{1,5})\)")
MOST_STAGED = 9
"""Uploads of one path at one time that are looked for after they were killed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a finished upload is: bytes and SHA-256 (hex)."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Meta:
    """Of a stored object: its bytes, its strong entity tag, and when it was stored (whole seconds)."""

    size: int
    tag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """What a signed URL that was checked says: who reads, when it ends, and of what the object is a part."""

    kind: str
    name: str
    of: str
    reader: Principal | None
    made_at: float


NO_LIMIT = 2**63
"""Bytes, for what has been measured before."""
EXCHANGE = "exchange"
"""The area through which services hand each other what must not travel in events; nothing of it is served."""


def open_area(url: str, area: str) -> tuple[Any, Path | None, str]:
    """The store of an area of `LECTERN_STORAGE_URL`, its directory where that is local, and its URL."""
    if url.startswith("file:"):
        root = Path(url.removeprefix("file:")).resolve() / area
        root.mkdir(parents=True, exist_ok=True)
        return LocalStore(prefix=root), root, root.as_uri()
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = f"{prefix}/{area}".strip("/")
    return S3Store(bucket, prefix=prefix), None, f"s3://{bucket}/{prefix}"


class Storage:
    """The objects of one service, or of another `area`; paths are relative, such as `lessons/<uuid>`."""

    def __init__(self, settings: ServiceSettings, area: str | None = None) -> None:
        self._service = area or settings.service
        self._secret = settings.secret.get_secret_value().encode()
        self._public = settings.public_url.rstrip("/")
        self._reader: Principal | None = None
        self._joined: dict[str, list[tuple[str, int]]] = {}
        self._store, self._root, _ = open_area(settings.storage_url, self._service)

    async def put(
        self, path: str, chunks: AsyncIterator[bytes], limit: int, digest: "hashlib._Hash | None" = None
    ) -> Stored:
        """Store a stream. Raises PayloadTooLarge as soon as it passes `limit` bytes; then nothing is kept.

        `digest` has taken in what comes before the stream, where it is a part of something.
        """
        digest = digest or hashlib.sha256()
        size = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise PayloadTooLarge(f"The file is larger than {limit:,} bytes.")
                digest.update(chunk)
                yield chunk

        try:
            with _os_errors():
                await obstore.put_async(self._store, path, counted())
        except Exception as error:
            if size > limit:
                raise PayloadTooLarge(f"The file is larger than {limit:,} bytes.") from error
            raise
        return Stored(size, digest.hexdigest())

    async def put_bytes(self, path: str, data: bytes) -> Stored:
        with _os_errors():
            await obstore.put_async(self._store, path, data)
        return Stored(len(data), hashlib.sha256(data).hexdigest())

    async def join(self, path: str, parts: Sequence[tuple[str, int]]) -> None:
        """Make one object of others (path and bytes of each, in order) without copying them.

        `path` ends in `JOINED`. The parts must stay for as long as it does; deleting it leaves them.
        """
        if not path.endswith(JOINED):
            raise ValueError(f"{path} does not end in {JOINED}")
        await self.put_bytes(path, orjson.dumps(parts))

    async def _parts(self, path: str) -> list[tuple[str, int]]:
        """What a joined object is made of. Raises NotFound."""
        known = self._joined.get(path)
        if known is None:
            with _found():
                found = await obstore.get_async(self._store, path)
                known = [(part, size) for part, size in orjson.loads(bytes(await found.bytes_async()))]
            if len(self._joined) >= MOST_JOINED:
                self._joined.pop(next(iter(self._joined)))
            self._joined[path] = known
        return known

    async def size(self, path: str) -> int:
        """Bytes of an object. Raises NotFound."""
        return (await self.meta(path)).size

    async def meta(self, path: str) -> Meta:
        """What an object is, without its bytes. Raises NotFound."""
        with _found():
            head = await obstore.head_async(self._store, path)
        size, modified = int(head["size"]), head["last_modified"].astimezone(UTC)
        if path.endswith(JOINED):
            size = sum(bytes_of for _, bytes_of in await self._parts(path))
        # The store's own tag changes with the object; its form is the store's, such as `W/` or no quotes.
        facts = f"{path}\n{head['e_tag']}\n{size}\n{modified.timestamp()}"
        tag = f'"{hashlib.sha256(facts.encode()).hexdigest()[:32]}"'
        return Meta(size, tag, modified.replace(microsecond=0))

    async def read(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes `start` to `end` (exclusive) in chunks. Raises NotFound."""
        if path.endswith(JOINED):
            begin = 0
            for part, size in await self._parts(path):
                if begin + size > start and begin < end:
                    async for piece in self.read(part, max(start - begin, 0), min(end - begin, size)):
                        yield piece
                begin += size
            return
        while start < end:
            stop = min(start + CHUNK, end)
            with _found():
                chunk = await obstore.get_range_async(self._store, path, start=start, end=stop)
            yield bytes(chunk)
            start = stop

    async def read_all(self, path: str) -> bytes:
        return b"".join([chunk async for chunk in self.read(path, 0, await self.size(path))])

    async def delete(self, path: str) -> None:
        """Twice is once. Takes what uploads that were killed have left of it, too."""
        with suppress(NotFound), _found():
            await obstore.delete_async(self._store, path)
        if self._root is None:
            return
        # A local upload is written beside its place, to the first number that is free.
        for number in count(1):
            try:
                (self._root / f"{path}#{number}").unlink()
            except (FileNotFoundError, NotADirectoryError):
                if number >= MOST_STAGED:
                    return

    async def list_folder(self, folder: str) -> list[str]:
        """Paths of all objects in a folder, however deep."""
        batches = obstore.list(self._store, folder.rstrip("/"))
        return [str(each["path"]) async for batch in batches for each in batch]

    def seen_by(self, reader: Principal | None) -> Self:
        """The same storage, whose URLs name `reader`."""
        mine = copy.copy(self)
        mine._reader = reader
        return mine

    def url(self, path: str, kind: str, name: str, of: str = "", seconds: int = URL_SECONDS) -> str:
        """A signed absolute URL of the object, served with type `kind` and file name `name`.

        `of` is what the object is a part of: what the service asks for the right at each use. A URL without
        it lives `seconds`, at most five minutes; one with it and without a reader, such as for a mail, a
        week.
        """
        now = int(system_clock().timestamp())
        most = MAIL_SECONDS if of else URL_SECONDS
        query = {"expires": str(now + min(seconds, most)), "type": kind, "name": name}
        if of:
            query["of"] = of
        reader = self._reader
        if of and reader is not None:
            query["expires"] = str(now // STEP * STEP + LINK_SECONDS)
            query["reader"] = f"{reader.user}.{reader.session}.{reader.version}.{reader.role}"
        query["signature"] = self._sign(path, query)
        return f"{self._public}/media/{self._service}/{quote(path)}?{urlencode(query)}"

    def public_url(self, path: str) -> str:
        """The lasting URL of an avatar or thumbnail; `path` begins with `public/`."""
        return f"{self._public}/media/{self._service}/{quote(path)}"

    def check(self, path: str, query: dict[str, str]) -> Link | None:
        """What a signed URL says, when it is ours and still valid."""
        expires = query.get("expires", "")
        signature = query.get("signature", "")
        fresh = (
            expires.isascii()
            and expires.isdigit()
            and len(expires) < 12
            and int(expires) >= system_clock().timestamp()
        )
        if not hmac.compare_digest(signature.encode(), self._sign(path, query).encode()) or not fresh:
            return None
        reader, ends = None, int(expires)
        if "reader" in query:
            user, session, version, role = query["reader"].split(".")
            reader = Principal(UUID(user), UUID(session), role, int(version), ends)
        made_at = ends - (LINK_SECONDS if reader else URL_SECONDS)
        return Link(query["type"], query.get("name") or "file", query.get("of", ""), reader, made_at)

    def _sign(self, path: str, query: dict[str, str]) -> str:
        # Only the name may hold a line break; what follows it is made of other signs.
        names = ("expires", "type", "name", *(name for name in ("of", "reader") if name in query))
        parts = [self._service, path, *(query.get(name, "") for name in names)]
        if len(names) > 3:
            parts = [",".join(names), *parts]
        return hmac.new(self._secret, "\n".join(parts).encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def end_of(url: str) -> datetime:
    """When a signed URL ends."""
    return datetime.fromtimestamp(int(parse_qs(urlsplit(url).query)["expires"][0]), UTC)


@contextmanager
def _os_errors() -> Iterator[None]:
    """Failures of storage as what they are to the rest of the code: of the infrastructure."""
    try:
        yield
    except BaseError as error:
        what = str(error).partition("\n")[0]
        number = OS_ERROR.search(what)
        raise OSError(int(number[1]) if number else 0, what[:300]) from error


@contextmanager
def _found() -> Iterator[None]:
    """NotFound where nothing lies at a path, or nothing can."""
    try:
        with _os_errors():
            yield
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NotFound from error
