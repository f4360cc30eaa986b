"""How much waits in a service's tables, as gauges: its outbox, what it could not apply, its jobs.

Read from the tables every few seconds, so that the age of what waits rises also while relay, Kafka or workers
stand still. The figures are the service's: where several processes export them, take the largest.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.data.tables import LANES
from libs.common.runtime import metrics
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

EVERY = 5.0
MOST = 100_000
"""No table is counted further: a backlog must not be made worse by looking at it."""

OLDEST = text(
    f"SELECT min(first.occurred_at) FROM generate_series(0, {LANES - 1}) AS lanes(lane) CROSS JOIN LATERAL"
    " (SELECT occurred_at FROM outbox WHERE outbox.lane = lanes.lane ORDER BY seq LIMIT 1) AS first"
)
PENDING = text(f"SELECT count(*) FROM (SELECT FROM outbox LIMIT {MOST}) AS counted")
UNRESOLVED = text(
    f"SELECT count(*) FROM (SELECT FROM dead_letter WHERE resolved_at IS NULL LIMIT {MOST}) AS counted"
)
PARKED = text("SELECT consumer, count(*) FROM key_progress WHERE parked IS NOT NULL GROUP BY consumer")


class Backlog:
    """Looks at one service's tables until cancelled. `jobs` names statements that give the time of the oldest
    row that waits for its task."""

    def __init__(self, db: Database, consumer: str, jobs: Mapping[str, str]) -> None:
        self._db = db
        self._consumer = consumer
        self._jobs = jobs

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("backlog_not_seen", error=repr(error)[:300])
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        async with self._db.sessions() as session:
            metrics.OUTBOX_OLDEST.set(await age_of(session, OLDEST))
            metrics.OUTBOX_PENDING.set(await session.scalar(PENDING) or 0)
            metrics.DEAD_LETTERS.set(await session.scalar(UNRESOLVED) or 0)
            parked = {consumer: count for consumer, count in await session.execute(PARKED)}
            for consumer in parked.keys() | {self._consumer}:
                metrics.PARKED_KEYS.labels(consumer).set(parked.get(consumer, 0))
            for task, statement in self._jobs.items():
                metrics.JOB_OLDEST.labels(task).set(await age_of(session, text(statement)))


async def age_of(session: AsyncSession, oldest: object) -> float:
    """Seconds since the moment that a statement gives; 0 where it gives none."""
    at: datetime | None = await session.scalar(oldest)  # type: ignore[call-overload]
    return 0.0 if at is None else max(0.0, (datetime.now(UTC) - at).total_seconds())
