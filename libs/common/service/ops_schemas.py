"""Bodies and answers of the operators' routes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from libs.common.web.schemas import Answer, Body, Identifier, Moment, PlainText, Uri

Name = Annotated[Identifier, StringConstraints(max_length=200)]


class ConsumerRead(Answer):
    """A consumer in one process: `lag` in events, null where it is not known, and the age of the oldest."""

    consumer: Identifier
    assigned: int
    lag: int | None
    lag_seconds: float
    last_applied: Moment | None
    halted: bool


class ErrorRead(Answer):
    """An error that a process has logged: `lectern logs | grep REQUEST_ID` finds its whole story."""

    at: Moment | None
    event: PlainText
    error: Identifier | None
    logger: Identifier | None
    request_id: Identifier | None


class ConnectionsRead(Answer):
    """Database connections of a process: taken by transactions, and the most there may be."""

    taken: int
    most: int


class ProcessRead(Answer):
    """A process as it said of itself at `seen_at`. `silent`: it has said nothing for half a minute."""

    instance: Identifier
    kind: Literal["api", "worker", "api and worker", "tasks"]
    status: Literal["running", "halted", "silent"]
    release: Identifier
    started_at: Moment
    seen_at: Moment
    memory_peak_bytes: int
    connections: ConnectionsRead | None
    sockets: int | None
    consumers: list[ConsumerRead]
    errors: list[ErrorRead]


class OutboxRead(Answer):
    """Events that Kafka has not acknowledged; counted up to 100,000."""

    pending: int
    oldest_seconds: float


class DeadLettersCount(Answer):
    """What could not be applied: events that wait, and the keys that they belong to."""

    waiting: int
    parked_keys: int


class WaitingTask(Answer):
    """A kind of job, and the age of the oldest that waits for its task; 0 where none does."""

    task: Identifier
    oldest_seconds: float


class OperationsRead(Answer):
    """How a service is, at a glance. `links` are pages that this suite's operators have besides."""

    service: Identifier
    as_of: Moment
    release: Identifier
    publishes: list[Identifier]
    subscribes: list[Identifier]
    processes: list[ProcessRead]
    outbox: OutboxRead
    dead_letters: DeadLettersCount
    waiting: list[WaitingTask]
    links: dict[str, Uri]


class ParkedKeyRead(Answer):
    """Events that wait, of one key; without a `key`, a message that had no readable envelope.

    `letter` is the first of them: the one to look at.
    """

    letter: int | None
    topic: Identifier
    key: Identifier | None
    reason: Identifier
    waiting: int
    since: Moment | None
    error: PlainText | None


class DeadLetterRead(Answer):
    """One event that could not be applied, or waits behind such a one. `payload` is its JSON as it came."""

    id: int
    consumer: Identifier
    topic: Identifier
    partition: int | None
    offset: int | None
    key: Identifier | None
    sequence: int | None
    type: Identifier | None
    reason: Identifier
    error: PlainText | None
    headers: dict[str, Any]
    payload: PlainText | None
    parked_at: Moment
    resolved_at: Moment | None
    resolution: PlainText | None


class RedriveRequest(Body):
    """What to apply again: everything, a topic, or one key. With `dry_run` nothing is changed."""

    topic: Name | None = None
    key: Name | None = None
    dry_run: bool = False


class RedrivenKey(Answer):
    """What became of a key."""

    topic: Identifier
    key: Identifier
    waiting: int
    result: Literal["applied", "would apply", "failed"]
    applied: int | None = None
    error: PlainText | None = None


class Redriven(Answer):
    """`more`: there are keys that were not tried; ask again."""

    results: list[RedrivenKey]
    more: bool


class AuditEntryRead(Answer):
    """An act of power: by an administrator (`actor`) or at the command line (`operator`)."""

    id: int
    at: Moment
    actor: UUID | None
    operator: Identifier
    action: Identifier
    target: PlainText
    reason: PlainText
    details: dict[str, Any]
    request_id: Identifier


class AggregateVersion(Body):
    """How many events have been published of one aggregate."""

    key: Name
    version: Annotated[int, Field(ge=0, le=2**53 - 1)]


class VersionsRead(Answer):
    """Aggregates of a topic with the number of events published of each, by key. `next` is the last key."""

    topic: Identifier
    versions: list[AggregateVersion]
    next: Identifier | None


class BalanceRequest(Body):
    """What the producer says it has published."""

    topic: Name
    versions: Annotated[list[AggregateVersion], Field(max_length=5000)]


class MissingKey(Answer):
    """A key that does not balance."""

    key: Identifier
    published: int
    applied: int
    parked: int


class BalanceRead(Answer):
    """published = applied + parked, summed over the keys that were asked for."""

    topic: Identifier
    published: int
    applied: int
    parked: int
    missing: list[MissingKey]
