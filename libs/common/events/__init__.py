"""Every event of the suite, by service and noun; importing this package fills `REGISTRY` and `EVENTS`."""

from libs.common.events import analytics, catalog, forum, identity, learning, notify, quizzes, support
from libs.common.events.base import REGISTRY, Event, Payload, State

EVENTS: dict[str, type[Event]] = dict(REGISTRY)
"""Every published event by its type; unlike `REGISTRY` without those that a test declares for itself."""

__all__ = [
    "EVENTS",
    "REGISTRY",
    "Event",
    "Payload",
    "State",
    "analytics",
    "catalog",
    "forum",
    "identity",
    "learning",
    "notify",
    "quizzes",
    "support",
]
