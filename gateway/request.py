"""Parses a request's header, field by field: what is forwarded, what steers, what is refused."""

import re

from gateway import headers, problems
from gateway.headers import DROP, PASS, REQUEST_KINDS, named_in, without
from gateway.problems import Problem

READS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_HOST_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]%")
_OWN_FIELDS = {
    b"authorization": "authorization",
    b"origin": "origin",
    b"traceparent": "traceparent",
    b"consistency-token": "consistency",
}


MOST_REMEMBERED = 4096
# Narrower than what the parser takes: anything else is left to it.
_GET = re.compile(rb"GET (/[A-Za-z0-9/_.,~!$&'()*+;=:@%?-]{0,2000}) HTTP/1\.1")


class Refused(Exception):
    """Raised out of a parser callback; the problem is in the request's `fault`."""


class Request:
    """A client's request, as far as it has arrived."""

    method = b""
    target = b""
    http10 = False
    keep_alive = True
    host: bytes | None = None
    authorization: bytes | None = None
    origin: bytes | None = None
    request_id: bytes | None = None
    traceparent: bytes | None = None
    consistency: bytes | None = None
    forwarded_for: bytes | None = None
    connection: bytes | None = None
    upgrade: bytes | None = None
    expect: bytes | None = None
    preflight = False
    websocket = False
    length: int | None = None
    chunked = False
    body: list[bytes] = []
    """What has come and is not passed on yet."""
    body_bytes = 0
    wire = 0
    """Bytes of a chunked body with all that is around them."""
    complete = False
    lines: bytes | None = None
    fault: Problem | None = None

    def __init__(self) -> None:
        self.headers: list[bytes] = []
        """Name, colon, value, line end; and so on."""

    def joined(self) -> bytes:
        """All headers as they are passed on."""
        if self.lines is None:
            self.lines = b"".join(self.headers)
        return self.lines

    def leave_out(self, names: set[bytes]) -> None:
        """Remove headers by their (lower-case) names."""
        self.headers = without(self.headers, names)
        self.lines = None

    def refused(self, problem: Problem) -> Refused:
        """Set the fault; returns the exception to raise."""
        self.fault = problem
        return Refused()

    def take(self, name: bytes, value: bytes) -> None:
        """Take in one header line. Raises `Refused`."""
        kind = REQUEST_KINDS[name]
        if kind == PASS:
            self.headers += (name, b": ", value, b"\r\n")
        elif kind != DROP:
            self._take_special(kind, value)

    def _take_special(self, kind: int, value: bytes) -> None:
        if kind == headers.HOST:
            if self.host is not None or not _HOST_CHARACTERS.issuperset(value):
                raise self.refused(problems.BAD_HOST)
            self.host = value
        elif kind == headers.AUTHORIZATION:
            # Two of them are no token at all.
            self.authorization = value if self.authorization is None else b""
        elif kind == headers.CONNECTION:
            self.connection = value if self.connection is None else self.connection + b"," + value
        elif kind == headers.CONTENT_LENGTH:
            if self.length is not None or not value.isdigit() or len(value) > 15:
                raise self.refused(problems.MALFORMED)
            self.length = int(value)
        elif kind == headers.TRANSFER_ENCODING:
            if self.chunked or value.lower() != b"chunked":
                raise self.refused(problems.MALFORMED)
            self.chunked = True
        elif kind == headers.ORIGIN:
            self.origin = value if self.origin is None else self.origin + b"," + value
        elif kind == headers.REQUEST_ID:
            self.request_id = value
        elif kind == headers.TRACEPARENT:
            self.traceparent = value if self.traceparent is None else b""
        elif kind == headers.CONSISTENCY:
            self.consistency = value if self.consistency is None else self.consistency + b"," + value
        elif kind == headers.FORWARDED_FOR:
            self.forwarded_for = value if self.forwarded_for is None else self.forwarded_for + b"," + value
        elif kind == headers.EXPECT:
            self.expect = value.lower()
        elif kind == headers.UPGRADE:
            self.upgrade = value.lower()
        elif kind == headers.PREFLIGHT:
            self.preflight = True
            self.headers += (b"Access-Control-Request-Method", b": ", value, b"\r\n")

    def head_is_whole(self, method: bytes, version: str) -> None:
        """Check the whole header. Raises `Refused`."""
        self.method = method
        if version == "1.1":
            if self.host is None:
                raise self.refused(problems.BAD_HOST)
        elif version == "1.0":
            self.http10 = True
            self.keep_alive = False
        else:
            raise self.refused(problems.BAD_VERSION)
        if method not in METHODS:
            raise self.refused(problems.BAD_METHOD)
        if self.chunked and (self.length is not None or self.http10):
            raise self.refused(problems.MALFORMED)
        if self.connection is not None:
            self._read_connection(named_in(self.connection))

    def _read_connection(self, names: set[bytes]) -> None:
        if b"close" in names:
            self.keep_alive = False
        elif self.http10 and b"keep-alive" in names:
            self.keep_alive = True
        if b"upgrade" in names and self.upgrade is not None:
            if self.length or self.chunked:
                raise self.refused(problems.MALFORMED)  # the parser would not look at the body
            self.websocket = self.upgrade == b"websocket" and self.method == b"GET" and not self.http10
        names -= {b"close", b"keep-alive", b"upgrade"}
        if names:
            self.leave_out(names)
            for name, field in _OWN_FIELDS.items():
                if name in names:
                    setattr(self, field, None)


class Pattern:
    """A GET whose header lines were read before: a browser sends the same ones again and again.

    The same bytes mean the same: what was read of them is taken over, and only the first line is looked at.
    """

    def __init__(self, block: bytes, request: Request) -> None:
        self.block = block
        """Everything from the end of the first line on."""
        # A request may be changed on its way (a route can drop the token), so it is not kept itself.
        self.headers = request.headers
        self.lines = request.joined()
        self.host = request.host
        self.authorization = request.authorization
        self.origin = request.origin
        self.consistency = request.consistency
        self.forwarded_for = request.forwarded_for

    @classmethod
    def of(cls, data: bytes, request: Request) -> "Pattern | None":
        """The pattern of an ordinary request that came whole in `data`; None for any other."""
        if (
            not request.complete or request.method != b"GET" or request.http10 or not request.keep_alive
            or request.fault is not None or request.length is not None or request.chunked
            or request.upgrade is not None or request.expect is not None or request.connection is not None
            or request.request_id is not None or request.traceparent is not None or request.preflight
            or len(data) > MOST_REMEMBERED or data.find(b"\r\n\r\n") != len(data) - 4
        ):  # fmt: skip
            return None
        return cls(data[data.index(b"\r\n") :], request)

    def again(self, data: bytes) -> Request | None:
        """The request in `data`, if it is one whole GET with these header lines."""
        if not data.endswith(self.block):
            return None
        line = _GET.fullmatch(data, 0, len(data) - len(self.block))
        if line is None:
            return None
        request = Request()
        request.method = b"GET"
        request.target = line[1]
        request.headers = self.headers
        request.lines = self.lines
        request.host = self.host
        request.authorization = self.authorization
        request.origin = self.origin
        request.consistency = self.consistency
        request.forwarded_for = self.forwarded_for
        request.complete = True
        return request
