"""HTTP of the dictionary and of queries (api.md §8a)."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request

from libs.common.data.db import Database
from libs.common.runtime.errors import BadRequest
from libs.common.security.auth import CurrentUser, Teacher
from libs.common.security.tokens import Principal
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from libs.common.web.zones import local_date
from services.analytics.dictionary import entries
from services.analytics.queries import as_of
from services.analytics.query.access import restricted_to
from services.analytics.query.errors import (
    MembersForbidden,
    MembersNotShared,
    QueryTooExpensive,
    UnknownMember,
)
from services.analytics.query.plan import make_plan
from services.analytics.query.run import annotation_of, begin, data_of, run
from services.analytics.query.schemas import MetricList, QueryRequest, QueryResult

router = APIRouter(tags=["analytics"])
T = TypeVar("T")


async def query_database(request: Request) -> Database:
    """The pool of queries: a slow one holds up other queries, and nothing else."""
    database: Database = request.app.state.queries
    return database


Queries = Annotated[Database, Depends(query_database)]


class ClientGone(BadRequest):
    code, detail = "client_gone", "The client has left before the answer."


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client leaves. Raises ClientGone then."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.get("/api/analytics/metrics/", response_model=MetricList)
async def list_metrics(_: CurrentUser) -> Any:
    """The dictionary: every measure and dimension, and the rules by which dashboards compute."""
    found = entries()
    return {"count": len(found), "results": found}


@router.post(
    "/api/analytics/query/",
    response_model=QueryResult,
    responses=raises(UnknownMember, MembersNotShared, QueryTooExpensive, MembersForbidden),
)
async def run_query(body: QueryRequest, request: Request, queries: Queries, who: Teacher, now: Now) -> Any:
    """Measures by dimensions, as the dictionary defines them. Teachers get own courses alone.

    Measures over different facts are put side by side on the dimensions that they share. Below manager,
    groups of fewer than five people are null, and others with them where they would tell by difference.
    """
    return await while_connected(request, answer(queries, body, who, now))


async def answer(db: Database, body: QueryRequest, who: Principal, now: datetime) -> dict[str, Any]:
    """What a query answers to somebody."""
    plan = make_plan(body, local_date(now, body.timezone))
    me = restricted_to(who, plan)
    async with db.session() as session:
        await begin(session, db.settings.query_seconds)  # type: ignore[attr-defined]
        newest = await as_of(session, now)
        found = await run(session, plan, me=me)
    return {
        "data": data_of(found, plan.zone),
        "annotation": annotation_of(found.columns),
        "as_of": newest,
        "rows": len(found.rows),
        "truncated": found.truncated,
        "suppressed": found.suppressed,
    }
