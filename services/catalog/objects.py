"""Stored objects: a row is written before the object; a sweep deletes it an hour after its last use."""

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

GRACE_PERIOD = timedelta(hours=1)
"""Time from an object's last use, or from its upload, to its deletion: readers may finish."""
COURSE_RETENTION = timedelta(days=30)
"""Time in which a deleted course keeps its files: an enrolment that is on its way restores it."""


async def register_object(db: Database, row: StoredObject) -> None:
    """Write the row of an object before it is stored, so that the sweep finds it."""
    async with db.session() as ledger:
        ledger.add(row)


async def claim_object(session: AsyncSession, table: type[Stored], key: Any) -> Stored:
    """Lock the object's row to use the object. Raises ObjectExpired if the sweep has condemned it."""
    row = await session.get(table, key, with_for_update=True, populate_existing=True)
    if row is None or row.condemned_at is not None:
        raise ObjectExpired
    row.unused_since = None
    return row


def has_files(now: datetime) -> ColumnElement[bool]:
    """The condition that a course keeps its files."""
    return or_(Course.deleted_at.is_(None), Course.deleted_at > now - COURSE_RETENTION)


async def delete_unused(
    db: Database,
    storage: Storage,
    key: InstrumentedAttribute[Any],
    used: ColumnElement[bool],
    now: datetime,
    paths_of: Callable[[Any], Iterable[str]],
) -> None:
    """Delete objects of a ledger, `key` its primary key, that have not been `used` for an hour.

    They are condemned first, which ends their use; storage is called outside of any transaction. Objects that
    a killed sweep has condemned are deleted by the next one.
    """
    table = key.class_
    async with db.session() as session:
        idle = update(table).where(table.unused_since.is_(None), ~used)
        await session.execute(idle.values(unused_since=now))
        # Objects that were used at the same time are seen from here on; later uses clear the mark themselves.
        await session.execute(
            update(table).where(table.unused_since.is_not(None), used).values(unused_since=None)
        )
        waiting = (
            select(key)
            .where(table.unused_since < now - GRACE_PERIOD, table.condemned_at.is_(None), ~used)
            .with_for_update(skip_locked=True)
            .limit(500)
        )
        await session.execute(update(table).where(key.in_(waiting)).values(condemned_at=now))
    async with db.session() as session:
        # Once more for condemned objects, which `claim_object` refuses from now on.
        condemned = table.condemned_at.is_not(None)
        await session.execute(update(table).where(condemned, used).values(condemned_at=None))
        keys = (await session.scalars(select(key).where(condemned).limit(500))).all()
    for each in keys:
        for path in paths_of(each):
            await storage.delete(path)
    async with db.session() as session:
        await session.execute(delete(table).where(key.in_(keys)))
