"""`ETag`, `If-None-Match` and `If-Match` of single resources (RFC 9110 §8.8, §13).

The entity tag names the aggregate's version and, where the answer differs between readers, whose view it is.
"""

import hashlib
import re

from fastapi import Request
from fastapi.responses import Response

from libs.common.runtime.errors import PreconditionFailed

TAG = re.compile(r'"[^"]*"|\*')


def etag(version: int, *view: object) -> str:
    """`"<version>"`, or `"<version>-<digest>"` where the view depends on more than the version."""
    if not view:
        return f'"{version}"'
    digest = hashlib.blake2s(repr(view).encode(), digest_size=6).hexdigest()
    return f'"{version}-{digest}"'


def check_if_match(request: Request, version: int) -> None:
    """Refuse a change that was made from an older version. The caller holds the row lock."""
    header = request.headers.get("if-match")
    if header is None:
        return
    tags = TAG.findall(header)
    versions = {tag.strip('"').partition("-")[0] for tag in tags}
    if "*" not in tags and str(version) not in versions:
        raise PreconditionFailed


def answer(request: Request, response: Response, tag: str) -> Response | None:
    """Set the `ETag`; returns a 304 to send instead when the reader has this version already."""
    if request.method in ("GET", "HEAD") and is_known(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return None


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Whether a reader names this tag, by the weak comparison (RFC 9110 §13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag.removeprefix("W/") in TAG.findall(if_none_match)
