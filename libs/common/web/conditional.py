"""Entity tags for reads that have no version of their own: computed, per-person answers and lists.

The tag is weak (RFC 9110 §8.8.1): a digest of the answer, for `If-None-Match` alone. A resource that can be
changed names its version (etags.py), and that is left as it is.
"""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope, Send

from libs.common.web.etags import is_known


def tag_reads(scope: Scope, send: Send) -> Send:
    """A `send` that gives JSON of one piece an ETag, and 304 in its place when the reader has it already."""
    held: Message | None = None

    async def forward(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start" and _wants_tag(message):
            held = message
            return
        if held is not None:
            start, held = held, None
            if not message.get("more_body"):
                start, message = _tagged(scope, start, message)
            await send(start)
        await send(message)

    return forward


def _wants_tag(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "")
    return start["status"] == 200 and kind == "application/json" and "etag" not in headers


def _tagged(scope: Scope, start: Message, message: Message) -> tuple[Message, Message]:
    digest = hashlib.blake2b(message.get("body", b""), digest_size=12).hexdigest()
    tag = f'W/"{digest}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["ETag"] = tag
    start = {**start, "headers": headers.raw}
    if not is_known(Headers(scope=scope).get("if-none-match"), tag):
        return start, message
    del headers["content-length"], headers["content-type"]
    return {**start, "status": 304, "headers": headers.raw}, {**message, "body": b""}
