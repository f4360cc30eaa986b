"""Writes headers: of requests to services, of answers to clients."""

from gateway.interfaces import ForwardedRequest, ServiceConnection
from gateway.problems import REASONS

_STATUS_LINES = {status: f"HTTP/1.1 {status} {reason}\r\n".encode() for status, reason in REASONS.items()}


def status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n".encode()


def request_head(exchange: ForwardedRequest) -> bytes:
    """The header of a request to a service: framed again, with ids, the client's address and the session's
    last writes."""
    request, match = exchange.request, exchange.match
    assert match is not None
    host, query = request.host or b"", exchange.query
    parts = [
        request.method, b" ", match.path.encode("latin-1"), b"?" if query else b"", query,
        b" HTTP/1.1\r\nHost: ", host, b"\r\n", request.joined(), _forwarded(exchange), host,
        f"\r\nX-Request-ID: {exchange.request_id}\r\ntraceparent: {exchange.traceparent}\r\n".encode(),
    ]  # fmt: skip
    if request.authorization is not None:
        parts += (b"Authorization: ", request.authorization, b"\r\n")
    if request.origin is not None:
        parts += (b"Origin: ", request.origin, b"\r\n")
    if exchange.principal is not None:  # who is not signed in waits for nothing
        consistency = exchange.context.memory.add(exchange.principal.session, request.consistency)
        if consistency is not None:
            parts += (b"Consistency-Token: ", consistency, b"\r\n")
    if request.websocket and match.route.socket:
        parts.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    elif request.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif request.length is not None:
        parts.append(b"Content-Length: %d\r\n" % request.length)
    parts.append(b"\r\n")
    return b"".join(parts)


def _forwarded(exchange: ForwardedRequest) -> bytes:
    client = exchange.client
    if exchange.address is client.address:
        return client.forwarded
    return exchange.context.forwarding.lines(exchange.address)


def public_request_head(exchange: ForwardedRequest, fields: dict[bytes, bytes]) -> bytes:
    """The header of a GET for everybody: it tells nothing about the client but where the request came in."""
    match, host = exchange.match, exchange.request.host or b""
    assert match is not None
    parts = [
        b"GET ", match.path.encode("latin-1"), b"?" if exchange.query else b"", exchange.query,
        b" HTTP/1.1\r\nHost: ", host, b"\r\n",
        _forwarded(exchange), host,
        f"\r\nX-Request-ID: {exchange.request_id}\r\ntraceparent: {exchange.traceparent}\r\n".encode(),
    ]  # fmt: skip
    for name, field in ((b"Accept", b"accept"), (b"Accept-Language", b"accept-language")):
        if field in fields:
            parts += (name, b": ", fields[field], b"\r\n")
    return b"".join([*parts, b"\r\n"])


def cached_head(exchange: ForwardedRequest, status: int, lines: bytes, age: int, length: int | None) -> bytes:
    """The header of an answer from the cache."""
    parts = [status_line(status), lines, b"Age: %d\r\n" % age]
    if length is not None:
        parts.append(b"Content-Length: %d\r\n" % length)
    return _ended(exchange, parts, status)


def fetched_head(exchange: ForwardedRequest, status: int, headers: list[bytes], length: int) -> bytes:
    """The header of an answer that was fetched for several clients and is not cached."""
    parts = [status_line(status), *headers]
    if status not in (204, 304):
        parts.append(b"Content-Length: %d\r\n" % length)
    return _ended(exchange, parts, status)


def answer_head(exchange: ForwardedRequest, upstream: ServiceConnection, status: int, chunk: bool) -> bytes:
    """The header of a service's answer, framed again for its client."""
    parts = [status_line(status), *upstream.headers]
    if upstream.consistency is not None:
        parts += (b"Consistency-Token: ", upstream.consistency, b"\r\n")
    if not upstream.dated:
        parts.append(exchange.context.date())
    if exchange.principal is not None and not upstream.cache_control:
        parts.append(b"Cache-Control: private, no-store\r\n")
    if status == 101:
        parts.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    elif chunk:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif upstream.length is not None and not upstream.chunked:
        parts += (b"Content-Length: ", upstream.length, b"\r\n")
    return _ended(exchange, parts, status)


def own_head(
    exchange: ForwardedRequest, status: int, length: int, kind: str, headers: tuple[tuple[str, str], ...]
) -> bytes:
    """The header of an answer of the gateway's own; a 304 says nothing of a body."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    body = f"Content-Type: {kind}\r\nContent-Length: {length}\r\n" if status != 304 else ""
    parts = [status_line(status), exchange.context.date(), f"{body}{lines}".encode()]
    return _ended(exchange, parts, status)


def _ended(exchange: ForwardedRequest, parts: list[bytes], status: int) -> bytes:
    """Close the header with what every answer carries."""
    request, context = exchange.request, exchange.context
    if status != 101:
        if not request.complete or context.draining:
            request.keep_alive = False
        if not request.keep_alive:
            parts.append(b"Connection: close\r\n")
        elif request.http10:
            parts.append(b"Connection: keep-alive\r\n")
    parts.append(f"X-Request-ID: {exchange.request_id}\r\n".encode())
    parts.append(exchange.limits)
    parts.append(context.cors.headers(request.origin))
    parts.append(b"\r\n")
    return b"".join(parts)
