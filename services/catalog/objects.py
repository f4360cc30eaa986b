"""Stored objects: written down before they are stored, swept away an hour after nothing is them any more."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from libs.common.data.db import Database
from libs.common.files.storage import Storage
from services.catalog.errors import ObjectExpired
from services.catalog.models import Course, StoredObject

Stored = TypeVar("Stored", bound=StoredObject)

LEFT_ALONE = timedelta(hours=1)
"""Time from the end of an object's use, or from its upload, to its end: who reads it may finish."""
COURSE_KEPT = timedelta(days=30)
"""Time in which a deleted course keeps its files: an enrolment that is on its way brings it back."""


async def note_object(db: Database, row: StoredObject) -> None:
    """Write an object down before it is stored, so that the sweep finds it."""
    async with db.session() as ledger:
        ledger.add(row)


async def claim_object(session: AsyncSession, table: type[Stored], key: Any) -> Stored:
    """Hold the object's row while something becomes it. Raises ObjectExpired where the sweep was first."""
    row = await session.get(table, key, with_for_update=True, populate_existing=True)
    if row is None or row.condemned_at is not None:
        raise ObjectExpired
    row.unused_since = None
    return row


def keeps_files(now: datetime) -> ColumnElement[bool]:
    """Whether the files of a course are kept."""
    return or_(Course.deleted_at.is_(None), Course.deleted_at > now - COURSE_KEPT)


async def delete_unused(
    db: Database,
    storage: Storage,
    key: InstrumentedAttribute[Any],
    used: ColumnElement[bool],
    now: datetime,
    paths_of: Callable[[Any], Iterable[str]],
) -> None:
    """Delete objects of a ledger, `key` its primary key, that have not been `used` for an hour.

    They are condemned first: nothing becomes them any more, and storage may take its time outside of any
    transaction. What a sweep that was killed has condemned is deleted by the next one.
    """
    table = key.class_
    async with db.session() as session:
        idle = update(table).where(table.unused_since.is_(None), ~used)
        await session.execute(idle.values(unused_since=now))
        # What became something in the very moment is seen from here; later ones say so themselves.
        await session.execute(
            update(table).where(table.unused_since.is_not(None), used).values(unused_since=None)
        )
        waiting = (
            select(key)
            .where(table.unused_since < now - LEFT_ALONE, table.condemned_at.is_(None), ~used)
            .with_for_update(skip_locked=True)
            .limit(500)
        )
        await session.execute(update(table).where(key.in_(waiting)).values(condemned_at=now))
    async with db.session() as session:
        # The same once more, for what is condemned: from now on it is refused to become anything.
        condemned = table.condemned_at.is_not(None)
        await session.execute(update(table).where(condemned, used).values(condemned_at=None))
        keys = (await session.scalars(select(key).where(condemned).limit(500))).all()
    for each in keys:
        for path in paths_of(each):
            await storage.delete(path)
    async with db.session() as session:
        await session.execute(delete(table).where(key.in_(keys)))
