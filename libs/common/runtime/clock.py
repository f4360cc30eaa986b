"""The time, as a parameter: code that depends on time takes a `Clock`; tests pass one that they set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
_moved: ContextVar[datetime | None] = ContextVar("moved", default=None)


def system_clock() -> datetime:
    """The current instant, aware, in UTC; inside `moved_to`, the one that was set."""
    return _moved.get() or datetime.now(UTC)


def moved() -> datetime | None:
    """The instant that `moved_to` has set, if any."""
    return _moved.get()


@contextmanager
def moved_to(now: datetime) -> Iterator[None]:
    """What runs inside happens at `now`. For commands that replay a history; no request can reach it."""
    token = _moved.set(now)
    try:
        yield
    finally:
        _moved.reset(token)


class SettableClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)
