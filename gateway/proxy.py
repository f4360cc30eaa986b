"""One request on its way: decide, ask the service, hand its answer on as it comes.

Everything on the ordinary path is a plain call within one turn of the loop; only a new connection to a
service, or a token of a key not known yet, takes a task.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from gateway import ids, problems
from gateway.admission import READS, decide
from gateway.headers import without
from gateway.problems import REASONS, Problem
from gateway.routes import Match
from gateway.sockets import Tunnel
from gateway.upstream import Pool, ServiceAway, UpstreamConnection
from libs.common.tokens import Principal

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.server import Downstream, Request

HELD_BODY = 64 * 1024
JOIN_BELOW = 64 * 1024
NEVER = float("inf")
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
        "_held_request",
        "_out",
        "_pool",
        "_request_id",
        "_retried",
        "_status",
        "_task",
        "_traceparent",
        "_upstream",
        "client",
        "deadline",
        "gateway",
        "head_only",
        "match",
        "path",
        "patience",
        "principal",
        "query",
        "request",
        "sent_whole",
        "template",
    )  # fmt: skip

    def __init__(self, gateway: "Gateway", client: "Downstream", request: "Request") -> None:
        self.gateway = gateway
        self.client = client
        self.request = request
        self._began = gateway.loop_time()
        self._request_id = ids.request_id(request.request_id)
        self._traceparent = ""
        self.template = "none"
        self.path = ""
        self.query = b""
        self.match: Match | None = None
        self._pool: Pool | None = None
        self.principal: Principal | None = None
        self._upstream: UpstreamConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._retried = False
        self._status = 0
        self._out: list[bytes] = []
        self._bytes = 0
        self._chunk = False
        self._held_request = False
        self.patience = gateway.settings.answer_timeout
        self.deadline = NEVER
        self.head_only = request.method == b"HEAD"
        self.sent_whole = False

    def begin(self) -> None:
        request = self.request
        self._traceparent, continued = ids.traceparent(request.traceparent)
        if not continued and request.traceparent is not None:
            request.headers = without(request.headers, {b"tracestate"})
        self.gateway.metrics.in_flight += 1
        if request.fault is not None:
            self.refuse(request.fault)
        else:
            decide(self)

    def body_limit(self) -> int:
        return (self.match and self.match.route.body) or self.gateway.settings.body_limit

    # ask

    def ask(self, pool: Pool) -> None:
        """Send the request to its service, on a pooled connection or a new one."""
        self._pool = pool
        try:
            pool.admit(self.gateway.loop_time())
        except ServiceAway as away:
            self.refuse(problems.unavailable(pool.service, away.retry_after, away.code))
            return
        # A socket's connection is never given back, and a retry must not meet a second stale one.
        connection = None if self._retried or self.is_socket() else pool.take()
        if connection is None:
            self.start(self._connect(pool))
        else:
            self._send(connection)

    def is_socket(self) -> bool:
        return self.match is not None and self.match.route.socket

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
        self._task = self.gateway.spawn(work)

    def _send(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        connection.begin(self)
        self.gateway.write(connection.transport, self._head())
        self._deadline()
        self.more_body()

    def _head(self) -> bytes:
        request, match = self.request, self.match
        assert match is not None
        host = request.host or b""
        parts = [
            request.method, b" ", match.path.encode("latin-1"), b"?" if self.query else b"", self.query,
            b" HTTP/1.1\r\nHost: ", host, b"\r\n", *request.headers, self.client.forwarded, host,
            f"\r\nX-Request-ID: {self._request_id}\r\ntraceparent: {self._traceparent}\r\n".encode(),
        ]  # fmt: skip
        if request.authorization is not None:
            parts += (b"Authorization: ", request.authorization, b"\r\n")
        if request.origin is not None:
            parts += (b"Origin: ", request.origin, b"\r\n")
        consistency = request.consistency
        if self.principal is not None:
            consistency = self.gateway.memory.add(self.principal.session, consistency)
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
        if request.chunked and request.body_bytes > self.body_limit():
            self.fail(problems.TOO_LARGE)
            return
        if upstream is None:
            return
        if request.body:
            chunks, request.body = request.body, []
            for chunk in chunks:
                framed = b"%x\r\n%b\r\n" % (len(chunk), chunk) if request.chunked else chunk
                self.gateway.write(upstream.transport, framed)
            self._deadline()
        if request.complete:
            self.sent_whole = True
            if request.chunked:
                self.gateway.write(upstream.transport, LAST_CHUNK)

    def _deadline(self) -> None:
        self.deadline = self.gateway.loop_time() + self.patience

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
        request, gateway = self.request, self.gateway
        self._status = status
        if self._pool is not None:
            self._pool.worked()
        self._deadline()
        parts = [_STATUS_LINES.get(status) or status_line(status), *upstream.headers]
        if upstream.consistency is not None:
            parts += (b"Consistency-Token: ", upstream.consistency, b"\r\n")
            if self.principal is not None and request.method not in READS and status < 400:
                gateway.memory.remember(self.principal.session, upstream.consistency.decode("latin-1"))
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
        request, gateway = self.request, self.gateway
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
            self.gateway.write_out()
            self.client.transport.writelines(out)
        else:
            self.gateway.write(self.client.transport, b"".join(out))

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
        if self._status != 101 or not self.request.websocket or not self.is_socket():
            upstream.close()
            self._upstream = None
            self._out = []
            self._status = 0
            self.refuse(problems.BAD_GATEWAY)
            return
        self.flush()
        self.gateway.write_out()
        self._account()
        upstream.let_go()
        Tunnel(self.gateway, self.client, upstream.transport, self.principal).open(rest)

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
            status_line(status), self.gateway.date(),
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{lines}".encode(),
        ]  # fmt: skip
        head = self._ending(parts)
        self.gateway.write(self.client.transport, head if self.head_only else head + body)
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
            self.gateway.write_out()
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
            self.gateway.metrics.retries += 1
            self.ask(pool)
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
        gateway = self.gateway
        seconds = gateway.loop_time() - self._began
        gateway.metrics.in_flight -= 1
        gateway.metrics.observe(self.template, self._status, seconds)
        gateway.access_log.add(
            (
                time.time(), self.request.method, self.path, self.template, self._status,
                seconds, self._bytes, self._request_id, self._traceparent,
                self.principal.user if self.principal is not None else None,
            )
        )  # fmt: skip
