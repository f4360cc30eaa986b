"""What happens to each header on its way through, decided once per name and remembered."""

from enum import IntEnum


class Kind(IntEnum):
    PASS = 0
    DROP = 1
    CONNECTION = 2
    CONTENT_LENGTH = 3
    TRANSFER_ENCODING = 4
    HOST = 5
    AUTHORIZATION = 6
    EXPECT = 7
    UPGRADE = 8
    REQUEST_ID = 9
    TRACEPARENT = 10
    ORIGIN = 11
    CONSISTENCY = 12
    PREFLIGHT = 13
    DATE = 14


_HOP_BY_HOP = (
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
)

_REQUEST = {
    b"connection": Kind.CONNECTION,
    b"content-length": Kind.CONTENT_LENGTH,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"host": Kind.HOST,
    b"authorization": Kind.AUTHORIZATION,
    b"expect": Kind.EXPECT,
    b"upgrade": Kind.UPGRADE,
    b"x-request-id": Kind.REQUEST_ID,
    b"traceparent": Kind.TRACEPARENT,
    b"origin": Kind.ORIGIN,
    b"consistency-token": Kind.CONSISTENCY,
    b"access-control-request-method": Kind.PREFLIGHT,
    # Deflate on sockets costs more than it saves, and frames must be readable to be counted.
    b"sec-websocket-extensions": Kind.DROP,
    b"http2-settings": Kind.DROP,
    b"forwarded": Kind.DROP,
    b"x-real-ip": Kind.DROP,
    **dict.fromkeys(_HOP_BY_HOP, Kind.DROP),
}
_RESPONSE = {
    b"connection": Kind.CONNECTION,
    b"content-length": Kind.CONTENT_LENGTH,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"upgrade": Kind.UPGRADE,
    b"consistency-token": Kind.CONSISTENCY,
    b"date": Kind.DATE,
    b"x-request-id": Kind.DROP,
    b"server": Kind.DROP,
    **dict.fromkeys(_HOP_BY_HOP, Kind.DROP),
}


def _request_kind(name: bytes) -> Kind:
    name = name.lower()
    # An underscore reads as a dash to some servers: X_User_Id would arrive as X-User-Id.
    if b"_" in name or name.startswith((b"x-user-", b"x-forwarded-")):
        return Kind.DROP
    return _REQUEST.get(name, Kind.PASS)


def _response_kind(name: bytes) -> Kind:
    name = name.lower()
    # The gateway alone answers CORS; a second answer of a service would break the first.
    if name.startswith(b"access-control-"):
        return Kind.DROP
    return _RESPONSE.get(name, Kind.PASS)


class Kinds(dict[bytes, Kind]):
    """Kind by name as spelled on the wire; a bounded memory in front of the rules above."""

    def __init__(self, *, request: bool) -> None:
        super().__init__()
        self._rule = _request_kind if request else _response_kind

    def __missing__(self, name: bytes) -> Kind:
        kind = self._rule(name)
        if len(self) < 2048:
            self[name] = kind
        return kind


REQUEST_KINDS = Kinds(request=True)
RESPONSE_KINDS = Kinds(request=False)


def named_in(connection: bytes) -> set[bytes]:
    """Lower-case names in a `Connection` header."""
    return {name for part in connection.lower().split(b",") if (name := part.strip(b" \t"))}


def without(headers: list[bytes], names: set[bytes]) -> list[bytes]:
    """`headers` as a flat list (name, colon, value, line end) without those called `names`."""
    kept: list[bytes] = []
    for at in range(0, len(headers), 4):
        if headers[at].lower() not in names:
            kept += headers[at : at + 4]
    return kept
