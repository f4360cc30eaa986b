"""Stored files over HTTP: signed and public URLs, conditions and ranges (RFC 9110 §13, §14)."""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.storage import PATH, Link, Meta, Storage
from libs.common.runtime.errors import LecternError, NotFound, PreconditionFailed, ServiceUnavailable
from libs.common.security.revocation import RevocationList
from libs.common.security.tokens import LIFETIME, Principal
from libs.common.web import etags

INLINE = frozenset(
    {"image/jpeg", "image/png", "image/webp", "image/gif", "application/pdf"}
    | {"video/mp4", "video/webm", "audio/mpeg", "audio/ogg", "audio/wav", "audio/mp4"}
)
RANGE = re.compile(r"(?i:bytes)=([0-9]{0,18})-([0-9]{0,18})\Z")
STRONG_TAG = re.compile(r'(W/)?("[^"]*")')

Right = Callable[[AsyncSession, Principal | None, str, str], Awaitable[bool]]
"""Whether somebody may read a path as a part of something (`lesson:<course>:<lesson>`); NotFound is a no."""


class RangeNotSatisfiable(LecternError):
    status, code = 416, "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        detail = f"The file has {size:,} bytes: nothing lies in the range asked for."
        super().__init__(detail, headers={"Content-Range": f"bytes */{size}"})


def media_router(service: str, right: Right | None = None) -> APIRouter:
    """Serves `/media/<service>/…`; needs `app.state.storage`. `right` is asked for URLs with an `of`."""
    router = APIRouter(include_in_schema=False)

    @router.api_route(f"/media/{service}/{{path:path}}", methods=["GET", "HEAD"])
    async def media(request: Request, path: str) -> Response:
        storage: Storage = request.app.state.storage
        if path.startswith("public/") and PATH.match(path):
            name = request.query_params.get("name") or "file"
            return await file_response(request, storage, path, "image/webp", name, public=True)
        link = storage.check(path, dict(request.query_params)) if PATH.match(path) else None
        if link is None or not await _holds(request, link, path, right):
            raise NotFound("The link is not valid, or has expired: ask for a new one.")
        return await file_response(request, storage, path, link.kind, link.name)

    return router


async def _holds(request: Request, link: Link, path: str, right: Right | None) -> bool:
    """Whether the reader's session lives, and the right behind the link holds."""
    if link.reader is not None:
        revocations: RevocationList = request.app.state.revocations
        if revocations.is_revoked(link.reader):
            return False
        if not revocations.complete and link.made_at < time.time() - LIFETIME:
            # Sessions that ended before this process began are not known yet.
            raise ServiceUnavailable("Which sessions have ended is not known yet.", retry_after=5)
    if not link.of:
        return True
    if right is None:
        return False
    async with request.app.state.db.sessions() as session:
        try:
            return await right(session, link.reader, link.of, path)
        except LecternError as refused:
            if refused.status >= 500:
                raise
            return False


async def file_response(
    request: Request, storage: Storage, path: str, kind: str, name: str, *, public: bool = False
) -> Response:
    """The object, or the part that `Range` asks for, under the request's conditions (RFC 9110 §13, §14).

    What asks for several ranges, or is no range at all, is ignored: the answer is the whole object. So it is
    where `If-Range` names another version. Raises NotFound, PreconditionFailed, RangeNotSatisfiable.
    """
    meta = await storage.meta(path)
    headers = {
        "ETag": meta.tag,
        "Last-Modified": format_datetime(meta.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Cache-Control": "public, max-age=86400" if public else "private, no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _frame_policy(request, kind),
    }
    if _is_known(request, meta):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = _disposition(kind, name)
    start, end, status = 0, meta.size, 200
    if request.method == "GET" and _is_same(request.headers.get("if-range"), meta):
        span = _span(request.headers.get("range", ""), meta.size)
        if span is not None:
            start, end = span
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{meta.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(storage.read(path, start, end), status, headers, kind)


def _is_known(request: Request, meta: Meta) -> bool:
    """Whether the reader has the object already. Raises PreconditionFailed where they wanted another one.

    A condition on the time counts only without one on the tag (RFC 9110 §13.2.2).
    """
    match, none = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None:
        if match.strip() != "*" and meta.tag not in _strong_tags(match):
            raise PreconditionFailed
    else:
        before = _moment(request.headers.get("if-unmodified-since"))
        if before is not None and meta.modified > before:
            raise PreconditionFailed
    if none is not None:
        return etags.is_known(none, meta.tag)
    since = _moment(request.headers.get("if-modified-since"))
    return since is not None and meta.modified <= since


def _is_same(if_range: str | None, meta: Meta) -> bool:
    """Whether a part of the object fits to what the reader has. A weak tag never says so."""
    if if_range is None or if_range.strip() == meta.tag:
        return True
    # An object is never written twice, so that its time is as good as its tag.
    return _moment(if_range) == meta.modified


def _strong_tags(header: str) -> list[str]:
    return [tag for weak, tag in STRONG_TAG.findall(header) if not weak]


def _moment(header: str | None) -> datetime | None:
    """An HTTP date; None for what is none."""
    if header is None:
        return None
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


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
