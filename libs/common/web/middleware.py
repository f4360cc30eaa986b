"""What stands between uvicorn and the routes: trust, ids, metrics, consistency, HEAD, strict bodies."""

import re
import time
from collections.abc import Iterable

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.data.db import Database
from libs.common.runtime import metrics
from libs.common.runtime.errors import BadRequest, NotAuthenticated, NotFound, PayloadTooLarge
from libs.common.runtime.logs import get_logger
from libs.common.runtime.settings import ServiceSettings
from libs.common.runtime.telemetry import telemetry
from libs.common.runtime.trace import new_trace, peek_trace, tracing
from libs.common.security.auth import check_token
from libs.common.web import strict
from libs.common.web.border import drop_untrusted, gateway_key
from libs.common.web.consistency import ConsistencyTokens, wait_for
from libs.common.web.problems import render

log = get_logger(__name__)

BOUNDARY = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})\r\n")
_LABEL = re.compile(r'boundary=("[^"]{1,70}"|[^\s";,]{1,70})', re.IGNORECASE)


class _NoMoreWanted(Exception):
    """Ends a route that is being asked for its headers alone, and streams."""


class RequestMiddleware:
    """The outermost middleware: trace, log line, metrics, and read-your-writes on both sides.

    Nothing leaves it as an exception while the answer can still be one: the server would close the
    connection, and with it the next request that is already on its way there.
    """

    def __init__(
        self, app: ASGIApp, settings: ServiceSettings, db: Database | None, topics: Iterable[str]
    ) -> None:
        self.app = app
        self.db = db
        self.consumer = settings.service
        self.topics = frozenset(topics)
        self.limit = settings.body_limit
        self.tokens = ConsistencyTokens(settings.secret)
        self.key = gateway_key(settings.secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        drop_untrusted(scope, self.key)
        headers = Headers(scope=scope)
        trace = new_trace(headers.get("x-request-id"), headers.get("traceparent"))
        with tracing(trace):
            if scope["type"] == "websocket":
                if scope["path"].isprintable():
                    await self.app(scope, receive, send)
                else:
                    await send({"type": "websocket.close", "code": 1008})
            elif scope["method"] == "HEAD":
                # As a GET in everything but the body; the server looks at its own scope.
                inner = {**scope, "method": "GET"}
                await self._request(inner, receive, _headers_only(send), headers, trace.request_id)
            else:
                await self._request(scope, receive, send, headers, trace.request_id)

    async def _request(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, request_id: str
    ) -> None:
        started = time.perf_counter()
        status = 500
        stale = begun = ended = replaced = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, begun, ended, replaced
            if replaced:
                return
            if (
                message["type"] == "http.response.start"
                and message["status"] == 413
                and not _is_problem(message)
            ):
                # The framework's body limit answers in plain text before any of our handlers is asked.
                await render(PayloadTooLarge())(scope, receive, send_with_headers)
                replaced = True
                return
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                out = MutableHeaders(scope=message)
                out["X-Request-ID"] = request_id
                token, who = scope.get("lectern.token"), scope.get("lectern.principal")
                # Who is not signed in reads nothing of their own; and a token on the answer to a
                # registration would tell that the address was new.
                if token and status < 400 and who is not None:
                    out["Consistency-Token"] = self.tokens.seal(who.user, token)
                if stale:
                    out["Consistency"] = "stale"
                out.setdefault("Cache-Control", "private, no-store")
                out.setdefault("X-Content-Type-Options", "nosniff")
            else:
                ended = not message.get("more_body", False)
            await send(message)

        try:
            if not scope["path"].isprintable():  # a line break at its end is none to the routes' patterns
                raise NotFound
            strict.check_query(scope["query_string"])
            if "consistency-token" in headers and self.topics and self.db is not None:
                stale = await self._wait(scope, headers, self.db)
            receive = await _read_ahead(scope, receive, headers, self.limit)
            await self.app(scope, receive, send_with_headers)
        except _NoMoreWanted:
            await send_with_headers({"type": "http.response.body", "body": b""})
        except Exception as error:
            if begun and not ended:
                raise  # half an answer: only the end of the connection tells so
            answer = render(error)
            if not begun:
                await answer(scope, receive, send_with_headers)
        finally:
            _report(scope, status, time.perf_counter() - started)

    async def _wait(self, scope: Scope, headers: Headers, db: Database) -> bool:
        """Whether what the caller must see has not come in time."""
        try:
            who = await check_token(Request(scope))
        except NotAuthenticated:
            return False  # the route says so
        if who is None:
            return False
        places = self.tokens.read(who.user, headers["consistency-token"], self.topics)
        if not places:
            return False
        strictly = headers.get("consistency-require") == "strict"
        return await wait_for(db, self.consumer, places, strict=strictly)


def _report(scope: Scope, status: int, seconds: float) -> None:
    """Count a request that is answered, and log it; what asks for health all day is neither."""
    method, path = scope["method"], scope["path"]
    if path.startswith(("/livez", "/readyz", "/metrics")):
        return
    route = getattr(scope.get("route"), "path", "unmatched")
    metrics.REQUESTS.labels(method, route, f"{status // 100}xx").observe(seconds)
    log.info("request", method=method, path=path, status=status, ms=round(seconds * 1000, 1))
    kept, trace = telemetry(), peek_trace()
    if kept is not None and trace is not None:
        ended = time.time_ns()
        told = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        began = ended - int(seconds * 1e9)
        kept.emit(trace, f"{method} {route}", "server", began, ended, told, failed=status >= 500)


def _is_problem(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type") == "application/problem+json"


def _headers_only(send: Send) -> Send:
    """The header of an answer, and the end of it; what is streamed is ended at its first piece."""

    async def forward(message: Message) -> None:
        if message["type"] == "http.response.body":
            if message.get("more_body", False):
                raise _NoMoreWanted
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    return forward


def _is_json(kind: str) -> bool:
    """As the framework reads a Content-Type."""
    kind = kind.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


async def _read_ahead(scope: Scope, receive: Receive, headers: Headers, limit: int) -> Receive:
    """Look at a body before its route: JSON is read whole and checked, multipart is labelled as it is.

    A body that begins with `--` is multipart, whatever its Content-Type says (clients mislabel it). The value
    of JSON is left in the scope for hot paths; what is no JSON is the route's to refuse."""
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data") and "boundary=" in kind:
        if "charset" in kind.lower():  # a form has none (RFC 7578 §5.1.2), and some make other text of bytes
            _relabel(scope, _LABEL.search(kind))
        return receive
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return receive
    json = _is_json(kind)
    if scope["method"] == "DELETE" and not json:
        return receive
    first = await receive()
    match = BOUNDARY.match(first.get("body", b"")) if first["type"] == "http.request" else None
    if match:
        _label(scope, match[1])
    elif json:
        first = await _rest(first, receive, limit)
        scope["lectern.json"] = None
        if first["body"]:
            try:
                scope["lectern.json"] = strict.parse(first["body"])
            except ValueError:
                del scope["lectern.json"]
    return again(first, receive)


async def _rest(first: Message, receive: Receive, limit: int) -> Message:
    """A body of at most `limit` bytes as one message. Raises PayloadTooLarge, BadRequest."""
    message, body = first, bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise BadRequest("The body ended early.")
        body += message.get("body", b"")
        if len(body) > limit:
            raise PayloadTooLarge
        if not message.get("more_body"):
            return {"type": "http.request", "body": bytes(body), "more_body": False}
        message = await receive()


def _relabel(scope: Scope, boundary: re.Match[str] | None) -> None:
    if boundary is not None:
        _label(scope, boundary[1].strip('"').encode("latin-1"))


def _label(scope: Scope, boundary: bytes) -> None:
    kind = b'multipart/form-data; boundary="' + boundary + b'"'
    scope["headers"] = [(n, v) for n, v in scope["headers"] if n != b"content-type"]
    scope["headers"].append((b"content-type", kind))


def again(first: Message, receive: Receive) -> Receive:
    """Receives what was received already, then goes on."""
    unread = [first]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay
