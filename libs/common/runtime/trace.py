"""One id through everything: `X-Request-ID` and W3C `traceparent`.

The pair lives in a context variable; logs, outbox headers, tasks and mail read it from there, so one `grep`
for a request id finds the whole story.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import uuid4

REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}\Z")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


@dataclass(frozen=True, slots=True)
class Trace:
    """The ids of the request that caused what happens now."""

    request_id: str
    traceparent: str

    def headers(self) -> dict[str, str]:
        return {"x-request-id": self.request_id, "traceparent": self.traceparent}


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def new_trace(request_id: str | None = None, traceparent: str | None = None) -> Trace:
    """Take over valid ids; make new ones in place of what is missing or malformed."""
    if not request_id or not REQUEST_ID.match(request_id):
        request_id = str(uuid4())
    if traceparent and TRACEPARENT.match(traceparent):
        traceparent = f"{traceparent[:36]}{secrets.token_hex(8)}{traceparent[52:]}"
    else:
        traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    return Trace(request_id, traceparent)


def from_headers(headers: Mapping[str, str]) -> Trace:
    """Continue the trace that headers of an event, task or row carry."""
    return new_trace(headers.get("x-request-id"), headers.get("traceparent"))


def current_trace() -> Trace:
    """The trace of this context; a fresh one where none was begun."""
    trace = _current.get()
    if trace is None:
        trace = new_trace()
        _current.set(trace)
    return trace


def peek_trace() -> Trace | None:
    return _current.get()


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Make `trace` current inside the block."""
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)
