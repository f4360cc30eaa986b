"""CORS by a list of origins; the same list guards WebSockets."""

EXPOSED = (
    "ETag, Consistency-Token, Consistency, X-Request-ID, Retry-After, RateLimit, RateLimit-Policy, Location, "
    "Content-Disposition"
)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
ALLOWED = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Accept, Accept-Language, Range, "
    "X-Request-ID, traceparent, tracestate, Consistency-Token, Consistency-Require"
)
VARY = b"Vary: Origin\r\n"


class Cors:
    """Answers CORS requests for the allowed origins."""

    def __init__(self, origins: list[str]) -> None:
        self._any = "*" in origins
        self._origins = {origin.encode() for origin in origins}

    def allows(self, origin: bytes) -> bool:
        return self._any or origin in self._origins

    def allows_socket(self, origin: bytes | None) -> bool:
        """Whether a WebSocket may be opened. Without `Origin` it is not a browser; `null` needs `*`."""
        return origin is None or self.allows(origin)

    def headers(self, origin: bytes | None) -> bytes:
        """Header lines for any answer. `Vary` stands in all of them, so that caches keep them apart."""
        if origin is None or not self.allows(origin):
            return VARY
        return b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: %b\r\n%b" % (
            origin,
            EXPOSED.encode(),
            VARY,
        )

    def preflight(self) -> tuple[tuple[str, str], ...]:
        """Header lines of an allowed preflight besides `headers`."""
        return (
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Allow-Headers", ALLOWED),
            ("Access-Control-Max-Age", "600"),
        )
