"""Rules for each header on its way through, looked up once per name and remembered."""

# Plain numbers: a member of an Enum costs a look-up through its metaclass, ten times a request.
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
FORWARDED_FOR = 15
CACHE_CONTROL = 16


_HOP_BY_HOP = (
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
)

_REQUEST = {
    b"connection": CONNECTION,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"host": HOST,
    b"authorization": AUTHORIZATION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
    b"x-request-id": REQUEST_ID,
    b"traceparent": TRACEPARENT,
    b"origin": ORIGIN,
    b"consistency-token": CONSISTENCY,
    b"access-control-request-method": PREFLIGHT,
    b"x-forwarded-for": FORWARDED_FOR,
    # Deflate on sockets costs more than it saves, and frames must be readable to be counted.
    b"sec-websocket-extensions": DROP,
    b"http2-settings": DROP,
    b"forwarded": DROP,
    b"x-real-ip": DROP,
    **dict.fromkeys(_HOP_BY_HOP, DROP),
}
_RESPONSE = {
    b"connection": CONNECTION,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"consistency-token": CONSISTENCY,
    b"date": DATE,
    b"cache-control": CACHE_CONTROL,
    b"x-request-id": DROP,
    b"server": DROP,
    **dict.fromkeys(_HOP_BY_HOP, DROP),
}


def _request_kind(name: bytes) -> int:
    name = name.lower()
    # An underscore reads as a dash to some servers: X_User_Id would arrive as X-User-Id.
    # What begins with X-Lectern- only the gateway says.
    if b"_" in name or name.startswith((b"x-user-", b"x-lectern-")):
        return DROP
    return _REQUEST.get(name, DROP if name.startswith(b"x-forwarded-") else PASS)


def _response_kind(name: bytes) -> int:
    name = name.lower()
    # The gateway alone answers CORS; a second answer of a service would break the first.
    if name.startswith(b"access-control-"):
        return DROP
    return _RESPONSE.get(name, PASS)


class Kinds(dict[bytes, int]):
    """Kind by name as spelled on the wire; a bounded memory in front of the rules above."""

    def __init__(self, *, request: bool) -> None:
        super().__init__()
        self._rule = _request_kind if request else _response_kind

    def __missing__(self, name: bytes) -> int:
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
    left: list[bytes] = []
    for at in range(0, len(headers), 4):
        if headers[at].lower() not in names:
            left += headers[at : at + 4]
    return left
