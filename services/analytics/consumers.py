"""What analytics consumes: all of it goes to the log and is folded there; requests for privacy have handlers.

A class with a handler is one whose major version must be known: another one would be a fact lost silently.
"""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.received import Handler
from libs.common.bus.replicas import replicate
from libs.common.events import EVENTS
from libs.common.events.identity import UserState
from services.analytics.event_log import Batch
from services.analytics.fold import FOLDED
from services.analytics.models import Reader
from services.analytics.privacy import PRIVACY


async def _in_the_log(session: AsyncSession, batch: Batch) -> None:
    """Folded by `append_to_log` already, together with all of the batch."""


async def on_user(session: AsyncSession, batch: Batch) -> None:
    """Who may read reports, and the erasures that waited for a tombstone: a rebuild must not erase again."""
    await PRIVACY.lock(session, batch)
    await PRIVACY.on_tombstones(session, batch)
    names = ("uuid", "role", "is_active", "locale", "time_zone")
    await replicate(session, Reader, batch, lambda user: {name: getattr(user, name) for name in names})


HANDLERS: dict[type[Any], Handler] = {
    **{EVENTS[kind]: _in_the_log for kind in FOLDED},
    UserState: on_user,
    **PRIVACY.handlers,
}
