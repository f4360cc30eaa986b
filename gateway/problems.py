"""The gateway's own errors as problem+json (RFC 9457), with the fields of libs/common/web/problems.py."""

from dataclasses import dataclass
from http import HTTPStatus

import orjson


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that no service was asked for."""

    status: int
    code: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()

    def body(self, request_id: str) -> bytes:
        return orjson.dumps(
            {
                "type": f"urn:lectern:problem:{self.code}",
                "title": REASONS[self.status],
                "status": self.status,
                "code": self.code,
                "detail": self.detail,
                "errors": [],
                "request_id": request_id,
            }
        )


REASONS = {status.value: status.phrase for status in HTTPStatus}

MALFORMED = Problem(400, "malformed_request", "The request is not well-formed HTTP.")
BAD_HOST = Problem(400, "malformed_request", "The request must name exactly one valid host.")
BAD_PATH = Problem(400, "malformed_path", "The path holds dot segments, empty segments or unsafe characters.")
NO_TOKEN = Problem(
    401, "not_authenticated", "This call needs a valid access token.", (("WWW-Authenticate", "Bearer"),)
)
BAD_TOKEN = Problem(
    401,
    "invalid_token",
    "The session has ended, or the access token is not one of ours.",
    (("WWW-Authenticate", 'Bearer error="invalid_token"'),),
)
BAD_ORIGIN = Problem(403, "origin_not_allowed", "Pages of this origin may not call this API.")
NO_METRICS = Problem(
    401, "not_authenticated", "Metrics are for the operator.", (("WWW-Authenticate", "Bearer"),)
)
NOT_FOUND = Problem(404, "not_found", "There is nothing here.")
READ_ONLY = Problem(405, "method_not_allowed", "This address can only be read.", (("Allow", "GET, HEAD"),))
SLOW_HEADER = Problem(408, "request_timeout", "The header of the request took too long.")
SLOW_BODY = Problem(408, "request_timeout", "The body of the request came too slowly.")
TOO_LARGE = Problem(413, "payload_too_large", "The body is larger than this call allows.")
LONG_URL = Problem(414, "url_too_long", "The address is longer than 8 KB.")
BAD_EXPECT = Problem(417, "expectation_failed", "Only 100-continue can be expected.")
NOT_A_SOCKET = Problem(
    426, "upgrade_required", "This address speaks WebSocket only.", (("Upgrade", "websocket"),)
)
LONG_HEADER = Problem(431, "headers_too_large", "One header line, or all of them together, is too long.")
TOO_MANY_CONNECTIONS = Problem(
    429,
    "too_many_connections",
    "This address has too many connections open.",
    (("Retry-After", "5"),),
)
FULL = Problem(
    503, "too_many_connections", "All connections are taken: try again shortly.", (("Retry-After", "5"),)
)
BAD_GATEWAY = Problem(502, "bad_gateway", "The service answered something that is not HTTP.")
BAD_METHOD = Problem(
    405,
    "method_not_allowed",
    "This method is not served here.",
    (("Allow", "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"),),
)
BAD_VERSION = Problem(505, "version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are spoken here.")


def unavailable(service: str, retry_after: int = 1, code: str = "service_unavailable") -> Problem:
    """The service is away; nothing is said of the others."""
    return Problem(
        503,
        code,
        f"The {service} service is away at the moment; everything else works. Try again shortly.",
        (("Retry-After", str(retry_after)),),
    )
