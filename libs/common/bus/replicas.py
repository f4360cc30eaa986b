"""Keeping a replica of a state topic: upsert what is there, delete what is a tombstone.

async def on_course(session, batch):
    await replicate(session, Course, batch, lambda c: {"uuid": c.uuid, "title": c.title})
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import delete, inspect
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.received import Received
from libs.common.events.base import Event

E = TypeVar("E", bound=Event)


async def replicate(
    session: AsyncSession,
    model: type[Any],
    batch: Sequence[Received[E]],
    row: Callable[[E], dict[str, Any]],
) -> None:
    """Make the rows of `model` equal to the states in `batch`; its primary key `uuid` is the event's key."""
    gone = [UUID(item.key) for item in batch if item.event is None]
    if gone:
        await session.execute(delete(model).where(model.uuid.in_(gone)))
    rows = [row(item.event) for item in batch if item.event is not None]
    if rows:
        await upsert(session, model, rows)


async def upsert(session: AsyncSession, model: type[Any], rows: Sequence[dict[str, Any]]) -> None:
    """Insert or replace by primary key, in one statement. Rows have the same columns and distinct keys."""
    keys = [column.name for column in inspect(model).primary_key]
    statement = insert(model)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    await session.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=changed)
        if changed
        else statement.on_conflict_do_nothing(),
        list(rows),
    )
