"""One id through everything: `X-Request-ID` and W3C `traceparent`.

The pair lives in a context variable; logs, outbox headers, tasks and mail read it from there, so one `grep`
for a request id finds the whole story.
"""

import random
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import uuid4

REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}\Z")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


@dataclass(frozen=True, slots=True)
class Trace:
    """The ids of the request that caused what happens now."""

    request_id: str
    traceparent: str
    parent: str = field(default="", compare=False)
    """The traceparent that this one continues; empty where a trace begins."""

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        return self.traceparent[36:52]

    @property
    def kept(self) -> bool:
        """Whether its spans are written down, as was decided where it began."""
        return bool(int(self.traceparent[53:], 16) & 1)

    def child(self) -> "Trace":
        """A span of the same trace, below this one."""
        return Trace(self.request_id, _below(self.traceparent), self.traceparent)

    def headers(self) -> dict[str, str]:
        return {"x-request-id": self.request_id, "traceparent": self.traceparent}


_share = 1.0


def set_share(share: float) -> None:
    """The share of the traces beginning here whose spans are to be kept."""
    global _share
    _share = share


def flags() -> str:
    """Of a trace that begins: `01` where its spans are to be kept."""
    return "01" if _share >= 1 or random.random() < _share else "00"


def _below(traceparent: str) -> str:
    return f"{traceparent[:36]}{secrets.token_hex(8)}{traceparent[52:]}"


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def new_trace(request_id: str | None = None, traceparent: str | None = None) -> Trace:
    """Take over valid ids; make new ones in place of what is missing or malformed."""
    if not request_id or not REQUEST_ID.match(request_id):
        request_id = str(uuid4())
    if traceparent and TRACEPARENT.match(traceparent):
        return Trace(request_id, _below(traceparent), traceparent)
    return Trace(request_id, f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags()}")


def from_headers(headers: Mapping[str, str]) -> Trace:
    """Continue the trace that headers of an event, task or row carry."""
    return new_trace(headers.get("x-request-id"), headers.get("traceparent"))


def resume(request_id: str, traceparent: str) -> Trace:
    """The trace whose ids a row has written down: the current one if it is that, else a new span of it."""
    current = _current.get()
    if current is not None and current.trace_id == traceparent[3:35]:
        return current
    return new_trace(request_id, traceparent)


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
def tracing(trace: Trace | None) -> Iterator[Trace | None]:
    """Make `trace` current inside the block; None begins a block of no trace."""
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)
