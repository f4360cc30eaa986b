"""`ETag`, `If-None-Match` and `If-Match` of single resources (RFC 9110 §8.8, §13).

The entity tag names the aggregate's version and, where the answer differs between readers, whose view it is.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from libs.common.runtime.errors import PreconditionFailed

TAG = re.compile(r'"[^"]*"|\*')


def etag(version: int, *view: object) -> str:
    """`"<version>"`, or `"<version>-<digest>"` where the view depends on more than the version."""
    if not view:
        return f'"{version}"'
    digest = hashlib.blake2s(repr(view).encode(), digest_size=6).hexdigest()
    return f'"{version}-{digest}"'


@dataclass(frozen=True, slots=True)
class Precondition:
    """What `If-Match` says of the version that a change was made from; without a header, nothing."""

    header: str | None = None

    def check(self, version: int) -> None:
        """Refuse a change of another version. The caller holds the row's lock. Raises PreconditionFailed."""
        if self.header is None:
            return
        tags = TAG.findall(self.header)
        versions = {tag.strip('"').partition("-")[0] for tag in tags}
        if "*" not in tags and str(version) not in versions:
            raise PreconditionFailed


async def if_match(request: Request) -> Precondition:
    return Precondition(request.headers.get("if-match"))


IfMatch = Annotated[Precondition, Depends(if_match)]


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
