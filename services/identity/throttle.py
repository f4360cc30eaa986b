"""Failed tries, counted per account and place: from the fifth on, each costs a delay (`rules.throttle_wait`).

A try is counted as failed before anything is hashed, so that parallel ones cannot slip through, and is
forgotten when it succeeds. Within one process those of one account and place take turns: a burst of right
passwords is not mistaken for an attack.
"""

from asyncio import Lock
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from weakref import WeakValueDictionary

from sqlalchemy import case, delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.runtime.clock import Clock
from services.identity.errors import TooManyAttempts
from services.identity.models import Throttle
from services.identity.rules import throttle_wait

Key = tuple[bytes, str]


class Turns:
    """One at a time per key, within this process."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Key, Lock] = WeakValueDictionary()

    def of(self, key: Key) -> Lock:
        return self._locks.setdefault(key, Lock())


@dataclass(frozen=True)
class Try:
    """One that is counted as failed already."""

    key: Key
    counted_at: datetime
    previous_at: datetime

    async def take_back(self, session: AsyncSession) -> None:
        """It was neither right nor wrong: as if it had not been."""
        last_at = case((Throttle.last_at == self.counted_at, self.previous_at), else_=Throttle.last_at)
        await session.execute(
            update(Throttle)
            .where(Throttle.account == self.key[0], Throttle.place == self.key[1])
            .values(failures=Throttle.failures - 1, last_at=last_at)
        )


@asynccontextmanager
async def throttled(
    db: Database,
    turns: Turns,
    clock: Clock,
    key: Key,
    beside: Callable[[AsyncSession], Awaitable[None]] | None = None,
) -> AsyncIterator[Try]:
    """Count a try, then let it be made; leaving without an error forgets all failures of the key.

    `beside` writes in the transaction that counts. Raises TooManyAttempts within the delay; then nothing is
    written. No connection is held inside.
    """
    async with turns.of(key):
        async with db.session() as session:
            now = clock()
            previous_at = await _count(session, key, now)
            if beside is not None:
                await beside(session)
        yield Try(key, now, previous_at)
        async with db.session() as session:
            await forget_failures(session, key)


async def _count(session: AsyncSession, key: Key, now: datetime) -> datetime:
    """Count one failure; returns when the one before was."""
    account, place = key
    row = (
        await session.scalars(
            insert(Throttle)
            .values(account=account, place=place, failures=0, last_at=now)
            .on_conflict_do_update(index_elements=["account", "place"], set_={"failures": Throttle.failures})
            .returning(Throttle)
        )
    ).one()
    wait = throttle_wait(row.failures, row.last_at, now)
    if wait > 0:
        raise TooManyAttempts(ceil(wait))
    previous_at = row.last_at
    row.failures += 1
    row.last_at = now
    return previous_at


async def forget_failures(session: AsyncSession, key: Key) -> None:
    await session.execute(delete(Throttle).where(Throttle.account == key[0], Throttle.place == key[1]))
