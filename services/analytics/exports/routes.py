"""HTTP of exports (api.md §8a); their jobs: services/analytics/jobs.py."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.data.db import SessionDep, enqueue
from libs.common.files.storage import Storage
from libs.common.runtime.errors import Conflict, NotFound
from libs.common.security.auth import Teacher
from libs.common.security.tokens import Principal
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, paginate
from libs.common.web.zones import local_date
from services.analytics.exports import rules
from services.analytics.exports.schemas import ExportRead, ExportRequest
from services.analytics.exports.source import check
from services.analytics.models import Export
from services.analytics.query.errors import MembersForbidden, MembersNotShared, UnknownMember

router = APIRouter(prefix="/api/analytics/exports", tags=["analytics"])


class TooManyExports(Conflict):
    code = "too_many_exports"
    detail = f"At most {rules.MOST_OPEN} exports may be waiting or running: cancel one, or wait."


@router.post(
    "/", status_code=202, response_model=ExportRead,
    responses=raises(TooManyExports, UnknownMember, MembersNotShared, MembersForbidden),
)  # fmt: skip
async def create_export(
    body: ExportRequest, session: SessionDep, who: Teacher, request: Request, response: Response, now: Now
) -> Any:
    """Start to write a query or a dataset to a file. Teachers get own courses; datasets are for managers."""
    asked = body.model_dump(mode="json", by_alias=True, include={"query", "dataset"}, exclude_unset=True)
    zone = body.query.timezone if body.query else "UTC"
    check(body, who, local_date(now, zone))
    # Two requests at once must not both find room.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"analytics.exports {who.user}"))))
    is_open = (Export.owner == who.user, Export.status.in_(("queued", "running")))
    if (await session.scalar(select(func.count()).where(*is_open)) or 0) >= rules.MOST_OPEN:
        raise TooManyExports
    export = Export(
        uuid=uuid4(), owner=who.user, role=who.role, asked=asked, format=body.format, created_at=now,
        status="queued", percent=0, attempts=0,
    )  # fmt: skip
    session.add(export)
    await write_entry(session, "analytics_exported", export.uuid, actor=who.user, details=asked)
    enqueue(session, "analytics.write_export", str(export.uuid))
    await session.flush()
    response.headers["Location"] = f"/api/jobs/analytics/{export.uuid}/"
    return export_answer(request, who, export, now)


@router.get("/", response_model=Page[ExportRead])
async def list_exports(session: SessionDep, who: Teacher, request: Request, page: PagingDep, now: Now) -> Any:
    """The caller's exports, newest first."""
    query = select(Export).where(Export.owner == who.user).order_by(Export.created_at.desc(), Export.uuid)
    count, found = await paginate(session, query, page)
    return page.answer(count, [export_answer(request, who, export, now) for export in found])


@router.get("/{uuid}/", response_model=ExportRead)
async def get_export(uuid: UUID, session: SessionDep, who: Teacher, request: Request, now: Now) -> Any:
    """One's own export; `result_url` is there when it is done."""
    return export_answer(request, who, await access_export(session, who, uuid), now)


async def access_export(session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False) -> Export:
    """One's own. Raises NotFound."""
    export = await session.get(Export, uuid, with_for_update=lock)
    if export is None or export.owner != who.user:
        raise NotFound
    return export


def export_answer(request: Request, who: Principal, export: Export, now: datetime) -> dict[str, Any]:
    storage: Storage = request.app.state.storage
    link = None
    if export.object is not None and export.expires_at is not None and now < export.expires_at:
        name = f"lectern-{export.created_at:%Y-%m-%d}.{export.format}"
        kind = rules.TYPES[export.format]
        link = storage.seen_by(who).url(export.object, kind, name, f"export:{export.uuid}")
    running = export.status == "running"
    return {
        "uuid": export.uuid,
        "kind": "analytics_export",
        "status": export.status,
        "percent": export.percent,
        "eta_seconds": rules.eta_seconds(export.created_at, now, export.percent) if running else None,
        "result_url": link,
        "expires_at": export.expires_at if link else None,
        "error": rules.ERRORS.get(export.error) if export.error else None,
        "created_at": export.created_at,
        "format": export.format,
        "manifest": export.manifest,
    }


async def may_read(session: AsyncSession, who: Principal | None, of: str, path: str) -> bool:
    """Whether a file, `export:<uuid>`, is the reader's own and still there."""
    export = await session.get(Export, UUID(of.removeprefix("export:")))
    if who is None or export is None or export.owner != who.user or export.status != "done":
        return False
    return export.object == path
