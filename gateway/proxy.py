"""One request on its way: sends it to the service and streams the answer back.

Everything on the ordinary path is a plain call within one turn of the loop; only a new connection to a
service, or a token of a key not known yet, takes a task.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine

from gateway import ids, problems, spans
from gateway.breaker import PROBE_PATIENCE
from gateway.heads import answer_head, own_head, request_head
from gateway.interfaces import Client, Context, ServiceConnection
from gateway.pool import Pool, ServiceAway
from gateway.problems import Problem
from gateway.repeats import HELD_BODY, connect, is_repeatable
from gateway.request import READS, Request
from gateway.routes import Match
from gateway.sockets import Tunnel
from gateway.unread import DeliveryCheck, delivery_check
from gateway.upstream import UpstreamConnection
from libs.common.security.tokens import Principal

JOIN_BELOW = 64 * 1024
NEVER = float("inf")
LAST_CHUNK = b"0\r\n\r\n"


class Exchange:
    """One request and its answer."""

    # What most requests never touch stands here, not in `__init__`.
    match: Match | None = None
    principal: Principal | None = None
    template = "none"
    path = ""
    query = b""
    limits = b""
    """Header lines that tell the client what is left to it."""
    then: "Callable[[Exchange], None]"
    """What happens once the limits let it through."""
    may_go_ahead = False
    """Whether it may be asked before that."""
    unsure = False
    """Whether it was, and is not decided yet."""
    over = False
    awaited = False
    """Whether it counts among those that wait for the service."""
    deadline = NEVER
    sent_whole = False
    _pool: Pool | None = None
    _upstream: UpstreamConnection | None = None
    _task: asyncio.Task[None] | None = None
    _retried = False
    _status = 0
    _bytes = 0
    _chunk = False
    _held_request = False
    _sent_body: tuple[bytes, ...] = ()  # of a short body, in case that nobody has read it

    def __init__(self, context: Context, client: Client, request: Request) -> None:
        self.context = context
        self.client = client
        self.request = request
        self.address = client.address
        if request.forwarded_for is not None and client.behind_proxy:
            self.address = context.addresses.behind(client.address, request.forwarded_for)
        self._began = context.now()
        self.request_id = ids.request_id(request.request_id)
        self.traceparent, continued = ids.traceparent(request.traceparent)
        if not continued and request.traceparent is not None:
            request.leave_out({b"tracestate"})
        if context.spans is not None:
            self.traceparent = spans.decided(self.traceparent)
        self._out: list[bytes] = []
        self.patience = context.settings.answer_timeout
        self.head_only = request.method == b"HEAD"

    def begin(self) -> None:
        """Count the request as in flight, until it is answered or its client has gone."""
        self.context.metrics.in_flight += 1

    def body_limit(self) -> int:
        return (self.match and self.match.route.body) or self.context.settings.body_limit

    def go_ahead(self) -> None:
        """Ask before the limits have decided: the answer is held back until they have."""
        self.unsure = True
        self.then(self)

    def pass_limits(self) -> None:
        """Go on after the limits let it through; the client may have gone meanwhile."""
        if self.over:
            return
        if not self.unsure:
            self.then(self)
            if self.request.body_bytes:
                self.client.gate()
            return
        self.unsure = False
        if self._upstream is not None:
            self._upstream.hand_on()

    def refuse_if_there(self, problem: Problem) -> None:
        if not self.over:
            self.unsure = False
            self.fail(problem)

    # ask

    def ask(self, pool: Pool) -> None:
        """Send the request to its service, on a pooled connection or a new one."""
        self._pool = pool
        now = self.context.now()
        try:
            if pool.admit(now, self):
                self.patience = min(self.patience, PROBE_PATIENCE)
        except ServiceAway as away:
            self.refuse(problems.unavailable(pool.service, away.retry_after, away.code))
            return
        self.deadline = now + self.patience
        if self.request.complete:
            pool.await_answer(self)
        # A socket's connection is never given back.
        connection = None if self.is_socket() else pool.take()
        if connection is None:
            self.start(self._connect(pool))
        else:
            self._send(connection)

    def is_socket(self) -> bool:
        return self.match is not None and self.match.route.socket

    async def _connect(self, pool: Pool) -> None:
        try:
            connection = await connect(pool, self)
        except ServiceAway as away:
            self.refuse(problems.unavailable(pool.service, away.retry_after, away.code))
        except (OSError, TimeoutError):
            self.refuse(problems.unavailable(pool.service))
        else:
            self._send(connection)
            self.client.gate()

    def _retry(self, pool: Pool) -> bool:
        """Send it once more on a new connection, within the same deadline; False if that is not allowed."""
        breaker = pool.breaker
        if self._retried or not is_repeatable(self) or breaker.is_open or not breaker.may_retry():
            return False
        self.start(self._repeat(pool))
        return True

    async def _repeat(self, pool: Pool) -> None:
        self._retried = True
        self.sent_whole = False
        self.request.body = list(self._sent_body)
        pool.retrying()
        await self._connect(pool)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Continue in a task that ends with the client's connection."""
        self._task = self.context.tasks.spawn(work)

    def _send(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        connection.begin(self)
        connection.send(self.context.output, request_head(self))
        self.more_body()

    def more_body(self) -> None:
        """Forward what has come of the body; the service's deadline begins when it is complete."""
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
            if request.body_bytes <= HELD_BODY:
                self._sent_body += tuple(chunks)
            for chunk in chunks:
                framed = b"%x\r\n%b\r\n" % (len(chunk), chunk) if request.chunked else chunk
                upstream.send(self.context.output, framed)
            self._deadline()
        if request.complete:
            self.sent_whole = True
            if self._pool is not None and self._status == 0:
                self._pool.await_answer(self)
            if request.chunked:
                upstream.send(self.context.output, LAST_CHUNK)

    def _deadline(self) -> None:
        self.deadline = self.context.now() + self.patience

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

    def answer_begins(self, upstream: ServiceConnection, status: int) -> None:
        request = self.request
        self._status = status
        if self._pool is not None:
            self._pool.answered(self)
        self._deadline()
        if request.method not in READS:
            self._written(upstream, status)
        bodiless = status in (101, 204, 304) or self.head_only
        if not bodiless and (upstream.length is None or upstream.chunked):
            if request.http10:
                request.keep_alive = False
            else:
                self._chunk = True
        self._out.append(answer_head(self, upstream, status, self._chunk))

    def _written(self, upstream: ServiceConnection, status: int) -> None:
        assert self._pool is not None
        self._pool.written()
        if upstream.consistency is not None and self.principal is not None and status < 400:
            token = upstream.consistency.decode("latin-1")
            self.context.memory.remember(self.principal.session, token)

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
            self.context.output.flush()
            self.client.transport.writelines(out)
        else:
            self.context.output.write(self.client.transport, b"".join(out))

    def hold_answer(self, hold: bool) -> None:
        if self._upstream is not None and not self._upstream.closed:
            if hold:
                self._upstream.transport.pause_reading()
                self.deadline = NEVER  # it is the client that is slow now; see stall_timeout
            else:
                self._upstream.transport.resume_reading()
                self._deadline()

    def upgraded(self, upstream: ServiceConnection, rest: bytes) -> None:
        """Join the two connections after a 101, if a WebSocket was asked for."""
        if self._status != 101 or not self.request.websocket or not self.is_socket():
            upstream.close()
            self._upstream, self._out, self._status = None, [], 0
            self.refuse(problems.BAD_GATEWAY)
            return
        self.flush()
        self._account()
        Tunnel(self.context, self.client, upstream, self.principal).open(rest)

    # end

    def done(self) -> None:
        """Finish: the whole answer is written."""
        self._upstream = None
        self._account()
        self.client.finished(self.request.keep_alive)

    def answer(
        self, status: int, body: bytes, content_type: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Send an answer of the gateway's own."""
        self.give(status, own_head(self, status, len(body), content_type, headers), body)

    def give(self, status: int, head: bytes, body: bytes) -> None:
        """Send a whole answer that is in memory."""
        self._status = status
        body = b"" if self.head_only else body
        self._bytes = len(body)
        self.context.output.write(self.client.transport, head + body)
        if self._bytes > JOIN_BELOW:
            self.context.output.flush()  # so that a client which does not read is noticed at once
        self.done()

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem; the rest of the request is ignored."""
        if problem is self.request.fault:
            self.request.keep_alive = False
        self.answer(
            problem.status, problem.body(self.request_id), "application/problem+json",
            (*problem.headers, ("Cache-Control", "no-store")),
        )  # fmt: skip

    def abort(self) -> None:
        """Cut the client's connection after a defect of our own."""
        self.client.transport.abort()

    def fail(self, problem: Problem) -> None:
        """Give the request up: with a problem while there is no answer yet, else by cutting the connection,
        so that the client cannot take half an answer for a whole one."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._give_up()
        if self._status == 0:
            self.refuse(problem)
        else:
            self._account()
            self.context.output.flush()
            self.client.transport.abort()

    def overdue(self) -> None:
        if self._pool is not None:
            if self._status == 0:
                self._pool.failed(self)
            self.fail(problems.unavailable(self._pool.service, 2, "service_timeout"))

    def answer_broken(self) -> None:
        self._upstream = None
        self.fail(problems.BAD_GATEWAY)

    def upstream_lost(self, upstream: ServiceConnection, error: Exception | None) -> None:
        """The service closed the connection before its answer was whole."""
        self._upstream = None
        pool = self._pool
        assert pool is not None
        # A connection that had idled was closed as the request went out: that says nothing of the service.
        stale = upstream.used and not upstream.answered
        if self._status == 0 and not stale:
            pool.failed(self)
        if not upstream.answered:
            if self._retry(pool):
                return
            whole = self.request.complete and self.request.body_bytes <= HELD_BODY
            if whole and not self._retried and not self.is_socket():
                check = delivery_check(upstream.transport, upstream.sent_before, error)
                if check is not None:
                    self.start(self._repeat_unread(pool, check))
                    return
        self.fail(problems.unavailable(pool.service))

    async def _repeat_unread(self, pool: Pool, check: DeliveryCheck) -> None:
        """Send a write again, on a new connection, if surely nobody has read it."""
        if not await check.surely_unread():
            return self.fail(problems.unavailable(pool.service))
        await self._repeat(pool)

    def client_gone(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._give_up()
        if self._status == 0:
            self._status = 499
        self._account()

    def _give_up(self) -> None:
        """Without an answer, a write may have had its effect all the same."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        if self._pool is not None and self.request.method not in READS:
            self._pool.written()

    def _account(self) -> None:
        context = self.context
        self.over = True
        if self._pool is not None:
            self._pool.leave(self)
        seconds = context.now() - self._began
        context.metrics.in_flight -= 1
        context.metrics.observe(self.template, self._status, seconds)
        if context.spans is not None:
            spans.emit(context.spans, self, self.template, self._status, seconds)
        context.access_log.add(
            (
                time.time(), self.request.method, self.path, self.template, self._status,
                seconds, self._bytes, self.request_id, self.traceparent,
                self.principal.user if self.principal is not None else None,
            )
        )  # fmt: skip
