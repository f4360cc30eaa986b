"""After a disaster: a lake whose files are lost, and a log that was restored to an earlier moment."""

import asyncio

from pyiceberg.expressions import AlwaysTrue
from sqlalchemy import text

from libs.common.data.db import Database
from libs.common.runtime.logs import get_logger
from services.analytics.lake.archive import archived_months
from services.analytics.lake.tables import LAST_EVENT, LOG, POSITION, Lake, LakeLost, of_month
from services.analytics.models import LakeMonth

log = get_logger(__name__)


async def forget_lost(db: Database, lake: Lake) -> None:
    """Begin anew where all files are gone. Raises LakeLost where months of the log were nowhere else: they
    have to come from a backup."""
    try:
        await asyncio.to_thread(lake.load, LOG)
    except LakeLost:
        async with db.sessions() as session:
            if await archived_months(session):
                raise
        log.error("lake_lost", table=LOG)
        await asyncio.to_thread(lake.forget, LOG)


async def forget_restored(db: Database, lake: Lake) -> bool:
    """Compare the lake's last event with the log's of that position. Where they differ, keep the months that
    only the lake has; the rest is written anew from the log. Says whether it was so."""
    table = await asyncio.to_thread(lake.log)
    last = table.properties.get(LAST_EVENT)
    if last is None:
        return False
    position, _, event = last.partition(":")
    async with db.sessions() as session:
        months = await archived_months(session)
        found = await session.scalar(
            text("SELECT event_id::text FROM analytics.event_log WHERE position = :p"), {"p": int(position)}
        )
    if found == event or (found is None and any(int(position) <= m.last_position for m in months)):
        return False
    log.warning("lake_begins_anew", last=last, log=found)
    await asyncio.to_thread(_forget, lake, months)
    return True


def _forget(lake: Lake, months: list[LakeMonth]) -> None:
    kept = " or ".join(of_month(m.month, m.last_position) for m in months)
    with lake.log().transaction() as transaction:
        transaction.delete(f"not ({kept})" if kept else AlwaysTrue())
        transaction.set_properties({POSITION: "0"})
        transaction.remove_properties(LAST_EVENT)
