"""Where the rows of an export come from, and who may have them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import driver
from libs.common.runtime.errors import Forbidden, Unprocessable
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from services.analytics.dictionary import DIALECT, dictionary
from services.analytics.exports.rules import BATCH
from services.analytics.exports.schemas import ExportRequest
from services.analytics.query.access import restricted_to
from services.analytics.query.plan import Plan, make_plan
from services.analytics.query.run import stream
from services.analytics.query.statement import columns_of, compile_plan


class DatasetForbidden(Forbidden):
    detail = "Whole datasets tell of single people, and are for managers: ask by a query."


@dataclass(frozen=True)
class Source:
    """What is exported: a plan, of `me` alone where it is restricted, or a dataset's view."""

    plan: Plan | None
    me: UUID | None
    limit: int | None
    dataset: str | None

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Name and type of each column."""
        if self.plan is not None:
            return [(column.key, column.type) for column in columns_of(self.plan)]
        assert self.dataset is not None
        known = dictionary().datasets[self.dataset].columns
        return [(name, column.type) for name, column in known.items()]

    async def count(self, session: AsyncSession) -> int:
        """How many rows there will be; 0 where that is not known beforehand."""
        if self.me is not None:
            return 0
        connection = await driver(session)
        query, values = self._statement()
        cursor = await connection.execute(f"SELECT count(*) FROM ({query}) counted".encode(), values)
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def batches(self, session: AsyncSession) -> AsyncIterator[list[Any]]:
        """All rows, in flat memory. Raises QueryTooExpensive."""
        if self.plan is not None:
            async for rows in stream(session, self.plan, me=self.me, batch=BATCH, limit=self.limit):
                yield rows
            return
        query, _ = self._statement()
        async with (await driver(session)).cursor(name="dataset") as cursor:
            await cursor.execute(query.encode())
            while rows := await cursor.fetchmany(BATCH):
                yield rows

    def _statement(self) -> tuple[str, dict[str, Any]]:
        if self.plan is not None:
            statement = compile_plan(self.plan, limit=self.limit, offset=self.plan.offset)
            return statement.sql, dict(statement.values)
        assert self.dataset is not None
        return dictionary().datasets[self.dataset].select.sql(DIALECT, identify=True), {}


def check(body: ExportRequest, who: Principal, today: date) -> Source:
    """What was asked for, if the caller may have it. Raises DatasetForbidden, Unprocessable and what a query
    raises."""
    if body.query is not None:
        plan = make_plan(body.query, today)
        limit = body.query.limit if "limit" in body.query.model_fields_set else None
        return Source(plan, restricted_to(who, plan), limit, None)
    if not at_least(who, "manager"):
        raise DatasetForbidden
    if body.dataset not in dictionary().datasets:
        names = ", ".join(sorted(dictionary().datasets))
        raise Unprocessable.field("dataset", f"must be one of: {names}")
    return Source(None, None, None, body.dataset)


async def role_of(session: AsyncSession, user: UUID, before: str) -> str | None:
    """What the owner is by now; `before` where nothing is known of them, None for a locked account."""
    found = await session.execute(text("SELECT role, is_active FROM users WHERE uuid = :u"), {"u": user})
    row = found.one_or_none()
    if row is None:
        return before
    return str(row.role) if row.is_active else None
