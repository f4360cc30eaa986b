"""HTTP of exports, erasures and their jobs (api.md §1, §2)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser, Manager
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from services.identity.access import CallerDep, DatabaseDep, IdentityDep
from services.identity.errors import RoleNotAllowed, TooManyAttempts, WrongOtp, WrongPassword
from services.identity.models import PrivacyJob
from services.identity.privacy import service
from services.identity.privacy.access import access_job
from services.identity.privacy.confirmation import confirm_owner
from services.identity.privacy.errors import ErasureBegun, OwnAccount
from services.identity.privacy.queries import job_answer, job_tag
from services.identity.privacy.schemas import ErasureRequest, JobRead
from services.identity.sessions import Identity

router = APIRouter(prefix="/api/accounts", tags=["accounts"])
jobs = APIRouter(prefix="/api/jobs", tags=["jobs"])
ROUTERS = [router, jobs]


async def _answer(
    session: AsyncSession,
    who: Principal,
    job: PrivacyJob,
    identity: Identity,
    request: Request,
    response: Response,
) -> Any:
    now = identity.clock()
    answer = await job_answer(session, job, identity.storage.seen_by(who), now)
    if response.status_code == 202:
        response.headers["Location"] = f"/api/jobs/{job.uuid}/"
    return etags.answer(request, response, job_tag(job, answer, now)) or answer


@router.post("/users/me/export/", status_code=202, response_model=JobRead)
async def export_me(
    session: SessionDep,
    identity: IdentityDep,
    who: CurrentUser,
    caller: CallerDep,
    request: Request,
    response: Response,
) -> Any:
    """Start a copy of everything that the suite holds of the caller; asked again, the one that runs."""
    job = await service.request_export(session, who, identity.clock(), caller)
    response.status_code = 202
    return await _answer(session, who, job, identity, request, response)


@router.delete(
    "/users/me/",
    status_code=202,
    response_model=JobRead,
    responses=raises(WrongPassword, WrongOtp, TooManyAttempts),
)
async def erase_me(
    body: ErasureRequest,
    session: SessionDep,
    db: DatabaseDep,
    identity: IdentityDep,
    who: CurrentUser,
    request: Request,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Erase the caller for good: access ends at once, a mail says farewell, then every service erases."""
    await confirm_owner(db, identity, who, body)
    job = await service.request_own_erasure(session, who, identity.clock(), if_match)
    response.status_code = 202
    return await _answer(session, who, job, identity, request, response)


@router.delete(
    "/users/{uuid}/", status_code=202, response_model=JobRead, responses=raises(RoleNotAllowed, OwnAccount)
)
async def erase_user(
    uuid: UUID,
    session: SessionDep,
    identity: IdentityDep,
    who: Manager,
    request: Request,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Erase somebody whose role is not above one's own; oneself only at `users/me/`, with the password."""
    job = await service.request_erasure(session, who, uuid, identity.clock(), if_match)
    response.status_code = 202
    return await _answer(session, who, job, identity, request, response)


@jobs.get("/{uuid}/", response_model=JobRead)
async def get_job(
    uuid: UUID,
    session: SessionDep,
    identity: IdentityDep,
    who: CurrentUser,
    request: Request,
    response: Response,
) -> Any:
    """One's own export or erasure; erasures also for managers, who keep them as proof."""
    return await _answer(session, who, await access_job(session, who, uuid), identity, request, response)


@jobs.delete("/{uuid}/", response_model=JobRead, responses=raises(ErasureBegun))
async def cancel_job(
    uuid: UUID,
    session: SessionDep,
    identity: IdentityDep,
    who: CurrentUser,
    request: Request,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Cancel an export, or delete its archive. An erasure begins when it is asked for and stays."""
    job = await service.cancel_job(session, who, uuid, identity.clock(), if_match)
    await session.flush()
    return await _answer(session, who, job, identity, request, response)
