"""One request on its way: decide, ask the service, hand its answer on as it comes.

Everything on the ordinary path is a plain call within one turn of the loop; only a new connection to a
service, or a token of a key not known yet, takes a task.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from gateway import ids, problems
from gateway.headers import without
from gateway.problems import REASONS, Problem
from gateway.routes import Match, UnsafePath
from gateway.sockets import Tunnel
from gateway.upstream import Pool, ServiceAway, UpstreamConnection
from libs.common.tokens import InvalidToken, Principal

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.server import Downstream, Request

READS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
HELD_BODY = 64 * 1024
JOIN_BELOW = 64 * 1024
NEVER = float("inf")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\n".encode()


_STATUS_LINES = {status: status_line(status) for status in REASONS}


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_began",
        "_bytes",
        "_chunk",
        "_deadline_after",
        "_gateway",
        "_held_request",
        "_out",
        "_path",
        "_pool",
        "_principal",
        "_query",
        "_request_id",
        "_retried",
        "_route",
        "_status",
        "_task",
        "_template",
        "_traceparent",
        "_upstream",
        "client",
        "deadline",
        "head_only",
        "request",
        "sent_whole",
    )  # fmt: skip

    def __init__(self, gateway: "Gateway", client: "Downstream", request: "Request") -> None:
        self._gateway = gateway
        self.client = client
        self.request = request
        self._began = gateway.loop_time()
        self._request_id = ids.request_id(request.request_id)
        self._traceparent = ""
        self._template = "none"
        self._path = ""
        self._query = b""
        self._route: Match | None = None
        self._pool: Pool | None = None
        self._principal: Principal | None = None
        self._upstream: UpstreamConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._retried = False
        self._status = 0
        self._out: list[bytes] = []
        self._bytes = 0
        self._chunk = False
        self._held_request = False
        self._deadline_after = gateway.settings.answer_timeout
        self.deadline = NEVER
        self.head_only = request.method == b"HEAD"
        self.sent_whole = False

    # decide

    def begin(self) -> None:
        request, gateway = self.request, self._gateway
        self._traceparent, continued = ids.traceparent(request.traceparent)
        if not continued and request.traceparent is not None:
            request.headers = without(request.headers, {b"tracestate"})
        gateway.metrics.in_flight += 1
        if request.fault is not None:
            self.refuse(request.fault)
            return
        target, _, self._query = request.target.partition(b"?")
        path = self._path = target.decode("latin-1")
        own = gateway.own.get(path)
        if own is not None:
            self._template = path
            own(self)
            return
        if request.preflight and request.method == b"OPTIONS" and request.origin is not None:
            self._preflight(request.origin)
            return
        try:
            match = gateway.table.match(path)
        except UnsafePath:
            self.refuse(problems.BAD_PATH)
            return
        if match is None or b"#" in request.target:
            self.refuse(problems.NOT_FOUND)
            return
        self._route = match
        self._template = match.route.template
        self._authenticate(match)

    def _preflight(self, origin: bytes) -> None:
        self._template = "preflight"
        if self._gateway.cors.allows(origin):
            self.answer(200, b"{}", "application/json", self._gateway.cors.preflight())
        else:
            self.refuse(problems.BAD_ORIGIN)

    def _authenticate(self, match: Match) -> None:
        request, route, gateway = self.request, match.route, self._gateway
        if route.auth == "ignore":
            request.authorization = None
        elif request.authorization is not None:
            scheme, _, token = request.authorization.partition(b" ")
            token = token.strip(b" ")
            if scheme.lower() != b"bearer":
                self.refuse(problems.BAD_TOKEN)
                return
            try:
                principal = gateway.verifier.verify(token)
            except InvalidToken as refused:
                if refused.reason == "unknown_key":
                    self.start(self._authenticate_later(token, match))
                else:
                    self.refuse(problems.BAD_TOKEN)
                return
            self._accept(principal, match)
            return
        elif route.auth == "required" or (route.auth == "write" and request.method not in READS):
            self.refuse(problems.NO_TOKEN)
            return
        self._admit(match)

    async def _authenticate_later(self, token: bytes, match: Match) -> None:
        try:
            principal = await self._gateway.verifier.verify_fetching(token)
        except InvalidToken:
            self.refuse(problems.BAD_TOKEN)
        else:
            self._accept(principal, match)

    def _accept(self, principal: Principal, match: Match) -> None:
        if self._gateway.revocations.is_revoked(principal):
            self.refuse(problems.BAD_TOKEN)
            return
        self._principal = principal
        self._admit(match)

    def _admit(self, match: Match) -> None:
        """The caller is known. Rate limits belong here: after the token, before anything costs."""
        request, route, settings = self.request, match.route, self._gateway.settings
        if route.deadline is not None:
            self._deadline_after = max(route.deadline, settings.answer_timeout)
        if route.socket:
            if not request.websocket:
                self.refuse(problems.NOT_A_SOCKET)
                return
            if not self._gateway.cors.allows_socket(request.origin):
                self.refuse(problems.BAD_ORIGIN)
                return
        elif request.length is not None and request.length > self._body_limit():
            self.refuse(problems.TOO_LARGE)
            return
        if request.expect is not None:
            if request.expect != b"100-continue":
                self.refuse(problems.BAD_EXPECT)
                return
            if not request.complete and not request.body and not request.http10:
                self.client.transport.write(CONTINUE)
        self._pool = self._gateway.pools[route.service]
        self._ask(self._pool)

    def _body_limit(self) -> int:
        assert self._route is not None
        return self._route.route.body or self._gateway.settings.body_limit

    # ask

    def _ask(self, pool: Pool) -> None:
        try:
            pool.admit(self._gateway.loop_time())
        except ServiceAway as away:
            self.refuse(problems.unavailable(pool.service, away.retry_after, away.code))
            return
        # A socket's connection is never given back, and a retry must not meet a second stale one.
        connection = None if self._retried or self._route_is_socket() else pool.take()
        if connection is None:
            self.start(self._connect(pool))
        else:
            self._send(connection)

    def _route_is_socket(self) -> bool:
        return self._route is not None and self._route.route.socket

    async def _connect(self, pool: Pool) -> None:
        try:
            connection = await pool.connect()
        except ServiceAway as away:
            self.refuse(problems.unavailable(pool.service, away.retry_after, away.code))
            return
        self._send(connection)
        self.client.gate()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Go on in a task; it ends with the client's connection."""
        self._task = self._gateway.spawn(work)

    def _send(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        connection.begin(self)
        connection.transport.write(self._head())
        self._deadline()
        self.more_body()

    def _head(self) -> bytes:
        request, match = self.request, self._route
        assert match is not None
        host = request.host or b""
        parts = [
            request.method, b" ", match.path.encode("latin-1"), b"?" if self._query else b"", self._query,
            b" HTTP/1.1\r\nHost: ", host, b"\r\n", *request.headers, self.client.forwarded, host,
            f"\r\nX-Request-ID: {self._request_id}\r\ntraceparent: {self._traceparent}\r\n".encode(),
        ]  # fmt: skip
        if request.authorization is not None:
            parts += (b"Authorization: ", request.authorization, b"\r\n")
        if request.origin is not None:
            parts += (b"Origin: ", request.origin, b"\r\n")
        consistency = request.consistency
        if self._principal is not None:
            consistency = self._gateway.memory.add(self._principal.session, consistency)
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

    def more_body(self) -> None:
        """Pass on what has come of the body; once it is whole, the service's time begins."""
        request, upstream = self.request, self._upstream
        if self.sent_whole:
            return
        if request.chunked and request.body_bytes > self._most_body():
            self.fail(problems.TOO_LARGE)
            return
        if upstream is None:
            return
        if request.body:
            chunks, request.body = request.body, []
            write = upstream.transport.write
            for chunk in chunks:
                write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if request.chunked else chunk)
            self._deadline()
        if request.complete:
            self.sent_whole = True
            if request.chunked:
                upstream.transport.write(LAST_CHUNK)

    def _most_body(self) -> int:
        return self._body_limit() if self._route is not None else 0

    def _deadline(self) -> None:
        self.deadline = self._gateway.loop_time() + self._deadline_after

    def wants_pause(self) -> bool:
        """Whether the client should stop sending: the service does not keep up, or is not there yet."""
        if self._held_request:
            return True
        return self._upstream is None and sum(map(len, self.request.body)) > HELD_BODY

    def hold_request(self, hold: bool) -> None:
        self._held_request = hold
        self._deadline()
        self.client.gate()

    # answer

    def answer_begins(self, upstream: UpstreamConnection, status: int) -> None:
        request, gateway = self.request, self._gateway
        self._status = status
        if self._pool is not None:
            self._pool.worked()
        self._deadline()
        parts = [_STATUS_LINES.get(status) or status_line(status), *upstream.headers]
        if upstream.consistency is not None:
            parts += (b"Consistency-Token: ", upstream.consistency, b"\r\n")
            if self._principal is not None and request.method not in READS and status < 400:
                gateway.memory.remember(self._principal.session, upstream.consistency.decode("latin-1"))
        if not upstream.dated:
            parts.append(gateway.date())
        if status == 101:
            parts.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        elif upstream.length is not None and not upstream.chunked:
            parts += (b"Content-Length: ", upstream.length, b"\r\n")
        elif status not in (204, 304) and not self.head_only:
            if request.http10:
                request.keep_alive = False
            else:
                self._chunk = True
                parts.append(b"Transfer-Encoding: chunked\r\n")
        self._out.append(self._ending(parts))

    def _ending(self, parts: list[bytes]) -> bytes:
        """Close the header with what every answer carries."""
        request, gateway = self.request, self._gateway
        if self._status != 101:
            if not request.complete or gateway.draining:
                request.keep_alive = False
            if not request.keep_alive:
                parts.append(b"Connection: close\r\n")
            elif request.http10:
                parts.append(b"Connection: keep-alive\r\n")
        parts.append(f"X-Request-ID: {self._request_id}\r\n".encode())
        parts.append(gateway.cors.headers(request.origin))
        parts.append(b"\r\n")
        return b"".join(parts)

    def answer_body(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._chunk:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def answer_ends(self) -> None:
        if self._chunk:
            self._out.append(LAST_CHUNK)

    def flush(self) -> None:
        out = self._out
        if not out:
            return
        self._out = []
        if self._bytes > JOIN_BELOW:
            self._deadline()
            self.client.transport.writelines(out)
        else:
            self.client.transport.write(b"".join(out))

    def hold_answer(self, hold: bool) -> None:
        if self._upstream is not None and not self._upstream.closed:
            if hold:
                self._upstream.transport.pause_reading()
                self.deadline = NEVER  # it is the client that is slow now; see stall_timeout
            else:
                self._upstream.transport.resume_reading()
                self._deadline()

    def upgraded(self, upstream: UpstreamConnection, rest: bytes) -> None:
        """The service said 101. If a WebSocket was asked for, the two connections become a tunnel."""
        if self._status != 101 or not self.request.websocket or not self._route_is_socket():
            upstream.close()
            self._upstream = None
            self._out = []
            self._status = 0
            self.refuse(problems.BAD_GATEWAY)
            return
        self.flush()
        self._account()
        upstream.let_go()
        Tunnel(self._gateway, self.client, upstream.transport, self._principal).open(rest)

    # end

    def done(self) -> None:
        """The whole answer is written."""
        self._upstream = None
        self._account()
        self.client.finished(self.request.keep_alive)

    def answer(
        self, status: int, body: bytes, content_type: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """An answer of the gateway's own."""
        self._status = status
        self._bytes = 0 if self.head_only else len(body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        parts = [
            status_line(status), self._gateway.date(),
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{lines}".encode(),
        ]  # fmt: skip
        head = self._ending(parts)
        self.client.transport.write(head if self.head_only else head + body)
        self.done()

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem; what is left of the request is not wanted any more."""
        if problem is self.request.fault:
            self.request.keep_alive = False
        self.answer(
            problem.status, problem.body(self._request_id), "application/problem+json", problem.headers
        )

    def fail(self, problem: Problem) -> None:
        """Give the request up: with a problem while there is no answer yet, else by cutting the connection,
        so that the client cannot take half an answer for a whole one."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._drop_upstream()
        if self._status == 0:
            self.refuse(problem)
        else:
            self._account()
            self.client.transport.abort()

    def overdue(self) -> None:
        if self._pool is not None:
            if self._status == 0:
                self._pool.failed()
            self.fail(problems.unavailable(self._pool.service, 2, "service_timeout"))

    def answer_broken(self) -> None:
        self._upstream = None
        self.fail(problems.BAD_GATEWAY)

    def upstream_lost(self, upstream: UpstreamConnection) -> None:
        """The service closed the connection before its answer was whole."""
        self._upstream = None
        pool = self._pool
        assert pool is not None
        request = self.request
        repeatable = request.method in READS and request.body_bytes == 0 and request.complete
        if repeatable and upstream.used and not upstream.answered and not self._retried:
            # It had idled, and was closed as the request went out: nothing was done with it.
            self._retried = True
            self.sent_whole = False
            self._gateway.metrics.retries += 1
            self._ask(pool)
            return
        if self._status == 0:
            pool.failed()
        self.fail(problems.unavailable(pool.service))

    def client_gone(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._drop_upstream()
        if self._status == 0:
            self._status = 499
        self._account()

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()

    def _account(self) -> None:
        gateway = self._gateway
        seconds = gateway.loop_time() - self._began
        gateway.metrics.in_flight -= 1
        gateway.metrics.observe(self._template, self._status, seconds)
        gateway.access_log.add(
            (
                time.time(), self.request.method.decode("latin-1"), self._path, self._template, self._status,
                seconds, self._bytes, self._request_id, self._traceparent,
                str(self._principal.user) if self._principal is not None else None,
            )
        )  # fmt: skip
