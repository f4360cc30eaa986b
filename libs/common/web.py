"""What stands between uvicorn and the routes: ids, metrics, consistency, bodies that are really multipart."""

import asyncio
import re
import time
from collections.abc import Iterable

from sqlalchemy import text
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common import metrics
from libs.common.db import Database
from libs.common.errors import (
    BadRequest,
    LecternError,
    PayloadTooLarge,
    ServiceUnavailable,
    is_transient,
    problem,
)
from libs.common.logs import get_logger
from libs.common.trace import new_trace, tracing

log = get_logger(__name__)

CONSISTENCY_WAIT = 2.0
MOST_TOKENS = 32
TOKEN = re.compile(r"([a-z_.]{1,64}):([A-Za-z0-9-]{1,64}):([0-9]{1,15})\Z")
BOUNDARY = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})\r\n")

Places = dict[tuple[str, str], int]


def parse_token(value: str) -> Places:
    """`topic:key:seq`, comma separated → newest sequence number per place. Raises BadRequest."""
    places: Places = {}
    for part in filter(None, (piece.strip() for piece in value.split(","))):
        match = TOKEN.match(part)
        if match is None or len(places) >= MOST_TOKENS:
            raise BadRequest("Consistency-Token is not one that a write has answered.")
        place = (match[1], match[2])
        places[place] = max(int(match[3]), places.get(place, 0))
    return places


class Backbone:
    """The outermost middleware: trace, log line, metrics, and read-your-writes on both sides."""

    def __init__(self, app: ASGIApp, db: Database | None, consumer: str, topics: Iterable[str]) -> None:
        self.app = app
        self.db = db
        self.consumer = consumer
        self.topics = frozenset(topics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        trace = new_trace(headers.get("x-request-id"), headers.get("traceparent"))
        with tracing(trace):
            if scope["type"] == "websocket":
                await self.app(scope, receive, send)
                return
            await self._request(scope, receive, send, headers, trace.request_id)

    async def _request(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, request_id: str
    ) -> None:
        started = time.perf_counter()
        status = 500
        # Who is not signed in reads nothing of their own; and a token on the answer to a registration would
        # tell that the address was new.
        signed_in = "authorization" in headers
        stale = started_sending = replaced = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, started_sending, replaced
            started_sending = True
            if replaced:
                return
            if (
                message["type"] == "http.response.start"
                and message["status"] == 413
                and not _is_problem(message)
            ):
                # The framework's body limit answers in plain text before any of our handlers is asked.
                error = PayloadTooLarge()
                await problem(413, error.code, error.detail)(scope, receive, send_with_headers)
                replaced = True
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                out["X-Request-ID"] = request_id
                token = scope.get("lectern.token")
                if token and status < 400 and signed_in:
                    out["Consistency-Token"] = token
                if stale:
                    out["Consistency"] = "stale"
                out.setdefault("Cache-Control", "private, no-store")
                out.setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        try:
            wanted = headers.get("consistency-token")
            if wanted and self.topics:
                stale = await self._wait(wanted, headers.get("consistency-require") == "strict")
            await self.app(scope, await _sniff_multipart(scope, receive, headers), send_with_headers)
        except LecternError as error:
            answer = problem(error.status, error.code, error.detail, error.errors, error.headers)
            await answer(scope, receive, send_with_headers)
        except Exception as error:
            if started_sending or not is_transient(error):
                raise
            log.warning("dependency_away", error=repr(error)[:300])
            away = ServiceUnavailable()
            answer = problem(away.status, away.code, away.detail, headers=away.headers)
            await answer(scope, receive, send_with_headers)
        finally:
            elapsed = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            if not scope["path"].startswith(("/livez", "/readyz", "/metrics")):
                metrics.REQUESTS.labels(scope["method"], route, f"{status // 100}xx").observe(elapsed)
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round(elapsed * 1000, 1),
                )

    async def _wait(self, value: str, strict: bool) -> bool:
        """Wait until this service has applied what the token names; true when time ran out first."""
        places = {place: seq for place, seq in parse_token(value).items() if place[0] in self.topics}
        if not places or self.db is None:
            return False
        deadline = time.monotonic() + CONSISTENCY_WAIT
        pause = 0.005
        while not await self._reached(self.db, places):
            left = deadline - time.monotonic()
            if left <= 0:
                metrics.STALE_READS.inc()
                if strict:
                    raise ServiceUnavailable(
                        "The write that this read must see has not arrived yet.", retry_after=1
                    )
                return True
            await _progress_or(self.db, min(pause, left))
            pause = min(pause * 1.5, 0.05)
        return False

    async def _reached(self, db: Database, places: Places) -> bool:
        async with db.sessions() as session:
            result = await session.execute(
                text(
                    "SELECT count(*) FROM key_progress p JOIN"
                    " unnest(CAST(:t AS text[]), CAST(:k AS text[]), CAST(:s AS bigint[]))"
                    " AS w(topic, key, seq)"
                    " ON p.topic = w.topic AND p.key = w.key AND p.last_seq >= w.seq WHERE p.consumer = :c"
                ),
                {
                    "c": self.consumer,
                    "t": [topic for topic, _ in places],
                    "k": [key for _, key in places],
                    "s": list(places.values()),
                },
            )
            return int(result.scalar_one()) == len(places)


def _is_problem(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type") == "application/problem+json"


async def _progress_or(db: Database, seconds: float) -> None:
    """Sleep, or less when the consumer in this process has just applied something."""

    async def progress() -> None:
        async with db.progressed:
            await db.progressed.wait()

    try:
        await asyncio.wait_for(progress(), seconds)
    except TimeoutError:
        return


async def _sniff_multipart(scope: Scope, receive: Receive, headers: Headers) -> Receive:
    """A body that begins with `--` is multipart, whatever its Content-Type says (clients mislabel it)."""
    kind = headers.get("content-type", "")
    if scope["method"] not in ("POST", "PUT", "PATCH") or (
        kind.startswith("multipart/form-data") and "boundary=" in kind
    ):
        return receive
    first = await receive()
    match = BOUNDARY.match(first.get("body", b"")) if first["type"] == "http.request" else None
    if match:
        label = b'multipart/form-data; boundary="' + match[1] + b'"'
        scope["headers"] = [(n, v) for n, v in scope["headers"] if n != b"content-type"]
        scope["headers"].append((b"content-type", label))
    return again(first, receive)


def again(first: Message, receive: Receive) -> Receive:
    """Receives what was received already, then goes on."""
    unread = [first]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay
