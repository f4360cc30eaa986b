"""Who is in which room, over all processes of the service.

Each process keeps rows for the people whose sockets it holds and says now and then that it lives; rows of a
process that was killed fall silent and go.
"""

import asyncio
import contextlib
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.live.hub import Hub, refresh_room
from libs.common.runtime.errors import is_transient
from libs.common.runtime.logs import get_logger
from services.forum.models import Person, Presence
from services.forum.replies.service import room_of

log = get_logger(__name__)
BEAT_SECONDS = 10.0
ALIVE = text("now() - interval '35 seconds'")


class Attendance:
    """The presence rows of this process."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.process = uuid4()
        self._locks: WeakValueDictionary[tuple[UUID, UUID], asyncio.Lock] = WeakValueDictionary()

    async def update(self, discussion: UUID, user: UUID) -> None:
        """Make the row say whether `user` has a socket here now, and tell the room.

        A join and a leave of the same person may overlap: whichever comes last writes what is true then.
        """
        lock = self._locks.setdefault((discussion, user), asyncio.Lock())
        room = room_of(discussion)
        row = {"discussion": discussion, "process": self.process, "user": user}
        async with lock, self.hub.db.session() as session:
            if any(member.principal.user == user for member in self.hub.members(room)):
                await session.execute(
                    insert(Presence)
                    .values(**row)
                    .on_conflict_do_update(
                        index_elements=["discussion", "process", "user"], set_={"seen_at": func.now()}
                    )
                )
            else:
                await session.execute(delete(Presence).filter_by(**row))
        refresh_room(self.hub, room)

    async def run(self) -> None:
        """Say that this process lives, and let go of those that do not, until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self.beat()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("presence_not_renewed", error=repr(error))

    async def beat(self) -> None:
        async with self.hub.db.session() as session:
            await session.execute(
                update(Presence).where(Presence.process == self.process).values(seen_at=func.now())
            )
            gone = await session.scalars(
                delete(Presence).where(Presence.seen_at < ALIVE).returning(Presence.discussion)
            )
            rooms = set(gone)
        for discussion in rooms:
            refresh_room(self.hub, room_of(discussion))

    async def end(self) -> None:
        """Take this process's rows away when it stops."""
        with contextlib.suppress(Exception):  # the others find it out by themselves
            async with self.hub.db.session() as session:
                await session.execute(delete(Presence).where(Presence.process == self.process))


async def present_users(session: AsyncSession, discussion: UUID) -> list[dict[str, Any]]:
    """Everybody who is in the room, each once, by name."""
    here = (
        select(Presence.user).where(Presence.discussion == discussion, Presence.seen_at >= ALIVE).distinct()
    )
    people = {p.uuid: p for p in await session.scalars(select(Person).where(Person.uuid.in_(here)))}
    users = [
        {
            "uuid": str(user),
            "full_name": people[user].full_name if user in people else "",
            "avatar": people[user].avatar if user in people else None,
        }
        for user in await session.scalars(here)
    ]
    return sorted(users, key=lambda user: (user["full_name"] or "", user["uuid"] or ""))
