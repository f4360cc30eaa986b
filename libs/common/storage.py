"""Files: one client over a local directory or S3, signed URLs of our own, range requests.

Names are generated, never taken from a client. What is not an avatar or a thumbnail is read through a
URL that lives at most five minutes and is bound to the object.
"""

import hashlib
import hmac
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import obstore
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from libs.common.errors import LecternError, NotFound, PayloadTooLarge
from libs.common.settings import ServiceSettings

URL_SECONDS = 300
CHUNK = 256 * 1024
INLINE = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/gif", "application/pdf"}
    | {"video/mp4", "video/webm", "audio/mpeg", "audio/ogg", "audio/wav", "audio/mp4"}
)
# What our own paths are made of; storage has opinions about everything else.
PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){0,7}\Z")
RANGE = re.compile(r"(?i:bytes)=([0-9]{0,18})-([0-9]{0,18})\Z")
OS_ERROR = re.compile(r"\(os error (\d{1,5})\)")
MOST_STAGED = 9
"""Uploads of one path at one time that are looked for after they were killed."""


class RangeNotSatisfiable(LecternError):
    status, code = 416, "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        detail = f"The file has {size:,} bytes: nothing lies in the range asked for."
        super().__init__(detail, headers={"Content-Range": f"bytes */{size}"})


@dataclass(frozen=True, slots=True)
class Stored:
    """What a finished upload is: bytes and SHA-256 (hex)."""

    size: int
    sha256: str


EXCHANGE = "exchange"
"""The area through which services hand each other what must not travel in events; nothing of it is served."""


class Storage:
    """The objects of one service, or of another `area`; paths are relative, such as `lessons/<uuid>`."""

    def __init__(self, settings: ServiceSettings, area: str | None = None) -> None:
        self._service = area or settings.service
        self._secret = settings.secret.get_secret_value().encode()
        self._public = settings.public_url.rstrip("/")
        self._root: Path | None = None
        url = settings.storage_url
        if url.startswith("file:"):
            self._root = root = Path(url.removeprefix("file:")).resolve() / self._service
            root.mkdir(parents=True, exist_ok=True)
            self._store: Any = LocalStore(prefix=root)
        else:
            bucket, _, prefix = url.removeprefix("s3://").partition("/")
            self._store = S3Store(bucket, prefix=f"{prefix}/{self._service}".strip("/"))

    async def put(self, path: str, chunks: AsyncIterator[bytes], limit: int) -> Stored:
        """Store a stream. Raises PayloadTooLarge as soon as it passes `limit` bytes; then nothing is kept."""
        digest = hashlib.sha256()
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

    async def size(self, path: str) -> int:
        """Bytes of an object. Raises NotFound."""
        with _found():
            return int((await obstore.head_async(self._store, path))["size"])

    async def read(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes `start` to `end` (exclusive) in chunks. Raises NotFound."""
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

    def url(self, path: str, kind: str, name: str, seconds: int = URL_SECONDS) -> str:
        """A signed absolute URL of the object, served with type `kind` and file name `name`."""
        query = {"expires": str(int(time.time()) + min(seconds, URL_SECONDS)), "type": kind, "name": name}
        query["signature"] = self._sign(path, query)
        return f"{self._public}/media/{self._service}/{quote(path)}?{urlencode(query)}"

    def public_url(self, path: str) -> str:
        """The lasting URL of an avatar or thumbnail; `path` begins with `public/`."""
        return f"{self._public}/media/{self._service}/{quote(path)}"

    def check(self, path: str, query: dict[str, str]) -> bool:
        """Whether a signed URL is ours and still valid."""
        expires = query.get("expires", "")
        signature = query.get("signature", "")
        fresh = expires.isascii() and expires.isdigit() and len(expires) < 12 and int(expires) >= time.time()
        return hmac.compare_digest(signature.encode(), self._sign(path, query).encode()) and fresh

    def _sign(self, path: str, query: dict[str, str]) -> str:
        parts = [self._service, path, *(query.get(name, "") for name in ("expires", "type", "name"))]
        return hmac.new(self._secret, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


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


def media_router(service: str) -> APIRouter:
    """Serves `/media/<service>/…`; needs `app.state.storage`."""
    router = APIRouter(include_in_schema=False)

    @router.api_route(f"/media/{service}/{{path:path}}", methods=["GET", "HEAD"])
    async def media(request: Request, path: str) -> Response:
        storage: Storage = request.app.state.storage
        query = dict(request.query_params)
        public = path.startswith("public/")
        if not PATH.match(path) or (not public and not storage.check(path, query)):
            raise NotFound("The link is not valid, or has expired: ask for a new one.")
        kind = "image/webp" if public else query["type"]
        return await file_response(request, storage, path, kind, query.get("name") or "file", public=public)

    return router


async def file_response(
    request: Request, storage: Storage, path: str, kind: str, name: str, *, public: bool = False
) -> Response:
    """The object, or the part that `Range` asks for (RFC 9110 §14).

    What asks for several ranges, or is no range at all, is ignored: the answer is the whole object. So it is
    with `If-Range`: our answers name no version that it could be about. Raises NotFound, RangeNotSatisfiable.
    """
    size = await storage.size(path)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": _disposition(kind, name),
        "Cache-Control": "public, max-age=86400" if public else "private, no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _frame_policy(request, kind),
    }
    start, end, status = 0, size, 200
    if request.method == "GET" and "if-range" not in request.headers:
        span = _span(request.headers.get("range", ""), size)
        if span is not None:
            start, end = span
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(storage.read(path, start, end), status, headers, kind)


def _span(wanted: str, size: int) -> tuple[int, int] | None:
    """The part that a `Range` means, None where it is to be ignored. Raises RangeNotSatisfiable."""
    match = RANGE.match(wanted.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(size)
    return start, end


def _disposition(kind: str, name: str) -> str:
    """Types that a browser shows safely are inline; everything else is a download."""
    place = "inline" if kind in INLINE else "attachment"
    return f"{place}; filename*=UTF-8''{quote(name, safe='')}"


def _frame_policy(request: Request, kind: str) -> str:
    if kind != "application/pdf":
        return "sandbox; default-src 'none'"
    return f"default-src 'none'; frame-ancestors 'self' {' '.join(request.app.state.settings.cors_origins)}"
