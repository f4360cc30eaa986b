"""HTTP of rebuilds, for administrators."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from libs.common.data.audit_log import write_entry
from libs.common.data.db import SessionDep, enqueue
from libs.common.runtime.errors import Conflict, NotFound
from libs.common.security.auth import Admin
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, paginate
from services.analytics.exports.rules import eta_seconds
from services.analytics.models import Rebuild
from services.analytics.rebuilds.schemas import RebuildRead

router = APIRouter(prefix="/api/ops/analytics/rebuilds", tags=["operations"])


class RebuildUnderWay(Conflict):
    code = "rebuild_under_way"
    detail = "A rebuild waits or runs already: watch that one."


@router.post("/", status_code=202, response_model=RebuildRead, responses=raises(RebuildUnderWay))
async def create_rebuild(session: SessionDep, who: Admin, response: Response, now: Now) -> Any:
    """Fold the event log anew beside the live read models, and swap if their digests are equal."""
    uuid = uuid4()
    values = {"uuid": uuid, "requested_by": who.user, "created_at": now}
    made = await session.scalar(insert(Rebuild).values(values).on_conflict_do_nothing().returning(Rebuild))
    if made is None:
        raise RebuildUnderWay
    await write_entry(session, "read_models_rebuilt", str(uuid), actor=who.user)
    enqueue(session, "analytics.run_rebuild", str(uuid))
    response.headers["Location"] = f"/api/ops/analytics/rebuilds/{uuid}/"
    return _answer(made, now)


@router.get("/", response_model=Page[RebuildRead])
async def list_rebuilds(session: SessionDep, _: Admin, page: PagingDep, now: Now) -> Any:
    """Rebuilds that were asked for here, newest first."""
    query = select(Rebuild).order_by(Rebuild.created_at.desc(), Rebuild.uuid)
    count, found = await paginate(session, query, page)
    return page.answer(count, [_answer(each, now) for each in found])


@router.get("/{uuid}/", response_model=RebuildRead)
async def get_rebuild(uuid: UUID, session: SessionDep, _: Admin, now: Now) -> Any:
    """One of them."""
    found = await session.get(Rebuild, uuid)
    if found is None:
        raise NotFound
    return _answer(found, now)


def _answer(rebuild: Rebuild, now: datetime) -> dict[str, Any]:
    running = rebuild.status == "running"
    return {
        "uuid": rebuild.uuid,
        "status": rebuild.status,
        "percent": rebuild.percent,
        "eta_seconds": eta_seconds(rebuild.created_at, now, rebuild.percent) if running else None,
        "error": rebuild.error,
        "created_at": rebuild.created_at,
        "ended_at": rebuild.ended_at,
        "events": rebuild.events,
        "differing": rebuild.differing,
    }
