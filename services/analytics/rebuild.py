"""Rebuilding the read models beside the live ones: `python -m services.analytics.rebuild [--json]`.

The event log is folded into a new projection while the live one goes on: base tables first, then the
aggregates from scratch. Writers wait for a moment while the rest is folded and a snapshot of both is taken;
the digests are compared in that snapshot, however long it takes. What has come meanwhile is folded, too, and
the new projection becomes the live one while writers wait again. Digests that differ mean that a handler is
not a fold, or that an aggregate was not kept: nothing is swapped.
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

import orjson
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue
from services.analytics import read_models as m
from services.analytics.fold import FOLDS, Fold, fold
from services.analytics.lake.archive import LakeNotReadable, open_archive
from services.analytics.projection import (
    VERSION,
    create_projection,
    digest,
    keep_projection,
    use_live,
    use_projection,
)
from services.analytics.settings import Settings
from services.analytics.views import publish_views

BATCH = text("CREATE TEMP TABLE batch (LIKE analytics.event_log) ON COMMIT DROP")
FILL = text(
    "INSERT INTO pg_temp.batch SELECT * FROM analytics.event_log"
    " WHERE position > :after AND position <= :upto"
)
FOUND = text("SELECT count(*) AS events, array_agg(DISTINCT type) AS kinds FROM pg_temp.batch")
REBUILDING = "hashtext('analytics.rebuild')"
"""The lock of whoever reads the whole log."""
# A log without recent events may be in the lake as a whole.
LAST = text(
    "SELECT greatest((SELECT max(position) FROM analytics.event_log),"
    " (SELECT max(last_position) FROM analytics.lake_months))"
)
DAYS = (m.lesson_visits, m.lesson_completions, m.course_days, m.learning_days, m.active_days)
SWAP = text("UPDATE analytics.live_projection SET number = :n, version = :v, since = now()")


@dataclass
class Rebuilt:
    """What a rebuild did. `differing` names tables whose digests differ, and then nothing was swapped."""

    events: int
    number: int
    differing: list[str]
    live: dict[str, str]
    rebuilt: dict[str, str]


class RebuildRunning(Exception):
    """Somebody else is folding the log anew."""


Report = Callable[[int], Awaitable[None]]
"""Is told the percent that are done."""


async def rebuild(
    db: Database, batch: int, *, swap_differing: bool = False, report: Report | None = None
) -> Rebuilt:
    """Fold the log anew. With `swap_differing` new folds take over although their result differs.

    Raises RebuildRunning while another one is under way.
    """
    async with db.session() as guard:
        await guard.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if not await guard.scalar(text(f"SELECT pg_try_advisory_xact_lock({REBUILDING})")):
            raise RebuildRunning("another rebuild is running; wait for it, or end its process")
        return await _rebuild(db, batch, report, swap_differing=swap_differing)


async def _rebuild(db: Database, batch: int, report: Report | None, *, swap_differing: bool) -> Rebuilt:
    async with db.session() as session:
        live = await use_live(session)
        number = live + 1
        await create_projection(session, number, bulk=True)
    last = await _last(db)
    # Without triggers tables do not depend on each other: days are filled beside the rest.
    days, rest = (
        Folding(db, number, batch, [fold for fold in FOLDS if (fold.table in DAYS) is chosen])
        for chosen in (True, False)
    )
    await asyncio.gather(days.up_to(last), rest.up_to(last, report))
    folding = Folding(db, number, batch, FOLDS, last)
    async with db.session() as session:
        await _patiently(session)
        await use_projection(session, number)
        await keep_projection(session)
    await folding.nearly()
    async with db.sessions() as snapshot:
        async with db.session() as holder:
            await folding.up_to(await _hold_writers(holder))
            await _take_snapshot(snapshot)
        before, after = await digest(snapshot, live), await digest(snapshot, number)
    differing = [name for name in after if before.get(name) != after[name]]
    if not differing or swap_differing:
        await folding.nearly()
        async with db.session() as holder:
            await folding.up_to(await _hold_writers(holder))
            await holder.execute(SWAP, {"n": number, "v": VERSION})
            await publish_views(holder, number)
        await _drop_older(db, live)
    return Rebuilt(rest.events + folding.events, number, differing, before, after)


async def _drop_older(db: Database, live: int) -> None:
    """Drop projections from before the one that was live; one that somebody still reads waits for the next
    rebuild."""
    async with db.sessions() as session:
        found = await session.scalars(
            text("SELECT nspname FROM pg_namespace WHERE nspname ~ '^projection_[0-9]+$'")
        )
        older = [name for name in found if int(name.rpartition("_")[2]) < live]
    for name in older:
        with contextlib.suppress(OperationalError):
            async with db.session() as session:
                await session.execute(text("SET LOCAL lock_timeout = '2s'"))
                await session.execute(text(f"DROP SCHEMA {name} CASCADE"))


class Folding:
    """How far the log has been folded into a projection, batch by batch, each in a transaction of its own."""

    def __init__(
        self, db: Database, number: int, batch: int, folds: Sequence[Fold], position: int = 0
    ) -> None:
        self._db, self._number, self._batch = db, number, batch
        self._folds, self._position = folds, position
        self.events = 0

    async def nearly(self) -> None:
        """Fold what has come, until little is left that writers would have to wait for."""
        while (last := await _last(self._db)) - self._position > self._batch:
            await self.up_to(last)

    async def up_to(self, last: int, report: Report | None = None) -> None:
        """Fold everything up to this position; comparing what has come of it is the last tenth. Raises
        LakeNotReadable."""
        archive = await open_archive(self._db)
        while self._position < last:
            async with self._db.session() as session:
                await _patiently(session)
                await use_projection(session, self._number)
                await session.execute(BATCH)
                upto = min(self._position + self._batch, last)
                await archive.fill(session, "pg_temp.batch", self._position, upto)
                await session.execute(FILL, {"after": self._position, "upto": upto})
                found = (await session.execute(FOUND)).one()
                await fold(session, "pg_temp.batch", found.kinds or (), self._folds)
            self._position = upto
            self.events += found.events
            if report is not None:
                await report(90 * self._position // last)


async def _last(db: Database) -> int:
    """The last position of the log. Only a writer's lock makes sure that no lower one is still to come."""
    async with db.session() as session:
        return await _hold_writers(session)


async def _patiently(session: AsyncSession) -> None:
    await session.execute(text("SET LOCAL lock_timeout = '60s'"))
    await session.execute(text("SET LOCAL statement_timeout = '3600s'"))


async def _hold_writers(session: AsyncSession) -> int:
    """Wait for the writer, who holds this row until its commit; returns the log's last position.

    While the lock is held the log stands still, so that no lower position can still appear below it.
    """
    await _patiently(session)
    await session.execute(text("SELECT number FROM analytics.live_projection FOR UPDATE"))
    return int(await session.scalar(LAST) or 0)


async def _take_snapshot(session: AsyncSession) -> None:
    """From here on the session sees what is committed now, and nothing later."""
    await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    await _patiently(session)
    await session.execute(text("SELECT 1"))


async def run(batch: int, *, swap_differing: bool) -> Rebuilt:
    settings = Settings()
    db = Database(settings, CeleryQueue(settings))
    try:
        return await rebuild(db, batch or settings.rebuild_batch, swap_differing=swap_differing)
    finally:
        await db.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Rebuild the read models from the event log.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--batch", type=int, default=0, help="events folded in one transaction")
    parser.add_argument(
        "--accept-differences",
        action="store_true",
        help="swap although digests differ: handlers have changed",
    )
    arguments = parser.parse_args()
    try:
        result = asyncio.run(run(arguments.batch, swap_differing=arguments.accept_differences))
    except LakeNotReadable as error:
        print(f"rebuild: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(orjson.dumps(asdict(result), option=orjson.OPT_INDENT_2).decode())
    else:
        for table, value in result.rebuilt.items():
            mark = "BAD" if table in result.differing else "ok "
            print(f"{mark} {table:<20} live {result.live[table]:<42} rebuilt {value}")
        verdict = "differ" if result.differing else "are equal"
        print(f"{result.events} events folded into projection {result.number}: the digests {verdict}")
    return 1 if result.differing and not arguments.accept_differences else 0


if __name__ == "__main__":
    sys.exit(main())
