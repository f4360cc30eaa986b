"""Cached answers: what is stored of each, for whom, under which entity tag (RFC 9110, RFC 9111)."""

import hashlib
import re

from gateway.fetch import Reply
from gateway.heads import cached_head
from gateway.interfaces import ForwardedRequest
from gateway.request import Request

OVERHEAD = 512
"""Bytes of an entry beside its header and body."""

Fields = dict[bytes, bytes]
"""Header fields of a request by lower-case name."""

_TAG = re.compile(rb'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
# Of an answer: what the gateway says itself, or what was true of one moment only.
_REPLACED = frozenset({b"cache-control", b"etag", b"vary", b"age", b"expires", b"pragma"})
# What an answer may vary by: fields that the service is told, and those that it cannot know here.
_TOLD = frozenset({b"accept", b"accept-language"})
_UNTOLD = frozenset({b"origin", b"authorization", b"accept-encoding"})
_IN_304 = frozenset({b"date", b"content-location"})


def fields_of(request: Request) -> Fields:
    """The client's header fields, without those that the gateway reads itself."""
    found: Fields = {}
    flat = request.headers
    for at in range(0, len(flat), 4):
        name = flat[at].lower()
        found[name] = found[name] + b", " + flat[at + 2] if name in found else flat[at + 2]
    return found


def matches(if_none_match: bytes | None, tag: bytes) -> bool:
    """Whether a reader has this version already; all tags here are strong."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == b"*" or tag in _TAG.findall(if_none_match)


class Entry:
    """An answer for all requests that agree in the fields of its `Vary`."""

    __slots__ = ("_short", "_whole", "at", "body", "size", "tag", "varies")

    def __init__(
        self, at: float, tag: bytes, whole: bytes, short: bytes, body: bytes, varies: Fields
    ) -> None:
        self.at = at
        """When it was fetched, by the loop's clock."""
        self.tag = tag
        self._whole = whole
        self._short = short
        """The header lines of the answer, and of a 304 in its place."""
        self.body = body
        self.varies = varies
        """Request fields that it depends on, as they were; absent ones are empty."""
        self.size = len(whole) + len(short) + len(body) + OVERHEAD

    def fits(self, fields: Fields) -> bool:
        return all(fields.get(name, b"") == value for name, value in self.varies.items())

    def head(self, exchange: ForwardedRequest, status: int, age: int) -> bytes:
        length = len(self.body) if status == 200 else None
        return cached_head(exchange, status, self._whole if status == 200 else self._short, age, length)


def entry_of(reply: Reply, fields: Fields, now: float, date: bytes) -> Entry | None:
    """Make an entry of an answer; None if the answer is not for everybody."""
    if reply.status != 200 or reply.consistency:
        return None
    lines: dict[bytes, list[bytes]] = {}
    flat = reply.headers
    for at in range(0, len(flat), 4):
        lines.setdefault(flat[at].lower(), []).append(b"".join(flat[at : at + 4]))
    vary = b",".join([line.partition(b":")[2].strip() for line in lines.get(b"vary", ())])
    names = {name.strip() for name in vary.lower().split(b",") if name.strip()}
    # `Consistency: stale` is true of one moment, and a cookie of one person.
    if names - _TOLD - _UNTOLD or b"set-cookie" in lines or b"consistency" in lines:
        return None
    [tag] = [line.partition(b":")[2].strip() for line in lines.get(b"etag", [b""])[:1]]
    if not _TAG.fullmatch(tag) or tag.startswith(b"W/"):
        tag = b'"%b"' % hashlib.blake2b(reply.body, digest_size=12).hexdigest().encode()
    said = b"Cache-Control: public, no-cache\r\nETag: %b\r\nVary: %b\r\n" % (
        tag, b", ".join(sorted(names | {b"Authorization"})),
    )  # fmt: skip
    whole = [line for name, found in lines.items() if name not in _REPLACED for line in found]
    short = [line for name, found in lines.items() if name in _IN_304 for line in found]
    if b"date" not in lines:
        whole.append(date)
        short.append(date)
    return Entry(
        now, tag, b"".join([*whole, said]), b"".join([*short, said]), reply.body,
        {name: fields.get(name, b"") for name in names & _TOLD},
    )  # fmt: skip
