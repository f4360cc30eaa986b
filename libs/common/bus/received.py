"""What a service receives: records of Kafka, read as events, and what it subscribes to."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.base import REGISTRY, Event
from libs.common.runtime.trace import Trace, from_headers

E = TypeVar("E", bound=Event)


class MalformedEvent(ValueError):
    """The message is not an event that this consumer can read."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it stands in a topic (without the topic prefix). `value` None is a tombstone."""

    topic: str
    key: str | None
    value: bytes | None
    headers: dict[str, str]
    partition: int | None = None
    offset: int | None = None


@dataclass(slots=True)
class Received(Generic[E]):
    """An event as a handler gets it; `event` is None when a state topic deletes the aggregate."""

    record: Record
    topic: str
    key: str
    seq: int
    type: str
    event: E | None = None
    error: Exception | None = None
    _trace: Trace | None = field(default=None, repr=False, compare=False)

    @property
    def id(self) -> str:
        return self.record.headers["ce_id"]

    @property
    def occurred_at(self) -> datetime:
        return datetime.fromisoformat(self.record.headers["ce_time"])

    @property
    def trace(self) -> Trace:
        """The span of its application here, below that of its delivery."""
        if self._trace is None:
            self._trace = from_headers(self.record.headers)
        return self._trace


Handler = Callable[[AsyncSession, Sequence[Any]], Awaitable[None]]


@dataclass
class Subscription:
    """What one service consumes: a handler per event class, each given all events of its class in a batch.

    Events of one key keep their order; of a state topic only the newest state per key of a batch is given.
    `observe` gets everything that is applied, of every type; `also` names topics without a handler.
    """

    consumer: str
    handlers: dict[type[Any], Handler]
    observe: Handler | None = None
    also: tuple[str, ...] = ()
    by_type: dict[str, tuple[type[Event], Handler]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_type = {cls.type: (cls, handler) for cls, handler in self.handlers.items()}
        self.names = {kind.rpartition(".v")[0] for kind in self.by_type}

    @property
    def topics(self) -> list[str]:
        return sorted({cls.topic for cls in self.handlers} | set(self.also))


@dataclass
class Outcome:
    """What became of a batch."""

    applied: int = 0
    duplicates: int = 0
    parked: int = 0
    failures: int = 0

    def add(self, other: "Outcome") -> None:
        self.applied += other.applied
        self.duplicates += other.duplicates
        self.parked += other.parked
        self.failures += other.failures


def decode(subscription: Subscription, record: Record) -> Received[Any]:
    """Read the envelope, or raise MalformedEvent; a payload that cannot be read is kept as `error`."""
    try:
        kind = record.headers["ce_type"]
        seq = int(record.headers["ce_sequence"])
        datetime.fromisoformat(record.headers["ce_time"])
        record.headers["ce_id"]
    except (KeyError, ValueError) as error:
        raise MalformedEvent(f"envelope: {error!r}") from error
    if not record.key or seq < 1:
        raise MalformedEvent("envelope: no key, or a sequence below 1")
    received: Received[Any] = Received(record, record.topic, record.key, seq, kind)
    known = subscription.by_type.get(kind)
    name, _, version = kind.rpartition(".v")
    if record.headers.get("ce_specversion") != "1.0":
        received.error = MalformedEvent("specversion is not 1.0")
    elif known is not None and known[0].topic != record.topic:
        received.error = MalformedEvent(f"{kind} does not belong on {record.topic}")
    elif known is None and name in subscription.names:
        # Skipping a version that we cannot read would lose the fact silently.
        received.error = MalformedEvent(f"major version {version} of {name} is unknown here")
    elif known is not None and record.value is not None:
        try:
            received.event = known[0].model_validate_json(record.value)
            if received.event.key != record.key:
                received.error = MalformedEvent(f"key {received.event.key} inside, {record.key} outside")
        except ValidationError as error:
            received.error = MalformedEvent(str(error))
    elif known is not None and not known[0].state:
        received.error = MalformedEvent("an empty value on a log topic")
    elif known is None and subscription.observe is not None and record.value is not None:
        received.error = _unreadable(kind, record.value)
    return received


def _unreadable(kind: str, value: bytes) -> Exception | None:
    cls = REGISTRY.get(kind)
    if cls is None:
        return None
    try:
        cls.model_validate_json(value)
    except ValidationError as error:
        return MalformedEvent(str(error))
    return None
