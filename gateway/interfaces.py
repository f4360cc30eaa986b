"""Shared values, and Protocols for calls to a higher layer.

Imports go down only (`layers` in pyproject.toml). A module that calls one above it knows it by a Protocol of
this module.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.access_log import AccessLog
from gateway.addresses import Address, Addresses
from gateway.consistency import ConsistencyMemory
from gateway.cors import Cors
from gateway.forwarding import Forwarding
from gateway.metrics import Metrics
from gateway.output import Output
from gateway.problems import Problem
from gateway.request import Request
from gateway.routes import Match
from gateway.settings import GatewaySettings
from gateway.tasks import Tasks
from libs.common.runtime.telemetry import Telemetry
from libs.common.security.tokens import Principal


class OpenTunnel(Protocol):
    """A WebSocket that is open, for those who may have to close it."""

    principal: Principal | None

    def close(self, code: int, reason: str) -> None: ...


@dataclass(slots=True)
class Context:
    """What every exchange of this process shares."""

    settings: GatewaySettings
    now: Callable[[], float]
    """The loop's clock, in seconds."""
    date: Callable[[], bytes]
    """A `Date` header line."""
    output: Output
    tasks: Tasks
    metrics: Metrics
    access_log: AccessLog
    memory: ConsistencyMemory
    addresses: Addresses
    forwarding: Forwarding
    cors: Cors
    spans: Telemetry | None = None
    """Where spans go; None where nobody wants any."""
    tunnels: set[OpenTunnel] = field(default_factory=set)
    draining: bool = False
    """Whether the process is about to stop: every answer closes its connection."""


class Client(Protocol):
    """A client's connection, as the exchange and the tunnel on it see it."""

    transport: asyncio.Transport
    address: Address
    behind_proxy: bool
    """Whether the peer is a proxy whose `X-Forwarded-For` counts."""
    forwarded: bytes
    """`Forwarding.lines` of the address."""

    def gate(self) -> None:
        """Read from the client only what can be passed on."""

    def finished(self, keep_alive: bool) -> None:
        """The answer to the present request is written."""

    def take_over(self) -> bytes:
        """Stop parsing HTTP for a tunnel; returns what the client sent too early."""
        ...

    def leave(self) -> None:
        """The connection is over, or the socket that it became; once."""


class ServiceConnection(Protocol):
    """A service's connection and the header of the answer on it."""

    transport: asyncio.Transport
    headers: list[bytes]
    """Name, colon, value, line end; and so on."""
    length: bytes | None
    chunked: bool
    consistency: bytes | None
    dated: bool
    cache_control: bool
    used: bool
    """Whether an earlier request was answered here."""
    answered: bool
    """Whether any byte of an answer to the present request came."""
    sent_before: int
    """Bytes written before the present request."""

    def close(self) -> None: ...

    def let_go(self) -> None:
        """Leave the pool: a tunnel has the socket."""


class AnswerReceiver(Protocol):
    """Receives a service's answer: a client's exchange, or a fetch for the cache."""

    head_only: bool
    sent_whole: bool
    unsure: bool
    """Whether it is not decided yet that there may be an answer."""

    def answer_begins(self, upstream: ServiceConnection, status: int) -> None: ...
    def answer_body(self, data: bytes) -> None: ...
    def answer_ends(self) -> None: ...
    def flush(self) -> None: ...
    def done(self) -> None: ...
    def answer_broken(self) -> None: ...
    def upgraded(self, upstream: ServiceConnection, rest: bytes) -> None: ...
    def upstream_lost(self, upstream: ServiceConnection, error: Exception | None) -> None: ...
    def hold_request(self, hold: bool) -> None: ...


class PooledRequest(Protocol):
    """A request to a service, as its pool counts it."""

    awaited: bool
    """Whether it counts among those that wait for an answer."""


class ForwardedRequest(Protocol):
    """A request on its way, as header lines are written from it."""

    request: Request
    match: Match | None
    client: Client
    context: Context
    principal: Principal | None
    address: Address
    query: bytes
    limits: bytes
    """Header lines that tell the client what is left to it."""
    request_id: str
    traceparent: str


class LimitedRequest(Protocol):
    """A request that waits for the limits to decide."""

    may_go_ahead: bool
    """Whether its service may be asked meanwhile."""
    limits: bytes

    def go_ahead(self) -> None: ...
    def pass_limits(self) -> None: ...
    def refuse_if_there(self, problem: Problem) -> None: ...
    def abort(self) -> None: ...
