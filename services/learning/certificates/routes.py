"""Certificates, their PDF, and the public check."""

import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from libs.common.data.db import SessionDep
from libs.common.files.media import file_response
from libs.common.files.storage import URL_SECONDS
from libs.common.security.auth import CurrentUser
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_uuid
from services.learning.certificates import queries, service
from services.learning.certificates.schemas import (
    CertificateCheck,
    CertificateRead,
    ReasonRequest,
    certificate_read,
    check_page,
    file_name,
)
from services.learning.errors import (
    CertificateNotReady,
    CertificateRevoked,
    CertificateSuperseded,
    LearnerErased,
)

router = APIRouter(prefix="/api/certificates", tags=["certificates"])
STATUSES = ("valid", "revoked", "superseded")
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def _out(request: Request, who: Principal, shown: queries.CertificateRow) -> dict[str, Any]:
    state = request.app.state
    return certificate_read(shown, state.settings.public_url, state.storage.seen_by(who))


def _tag(shown: queries.CertificateRow) -> str:
    """It changes before the link in the reader's copy has died."""
    fresh = int(time.time() / (URL_SECONDS / 2))
    certificate = shown.certificate
    return etags.etag(
        certificate.version, shown.student_name, shown.replaced_by, certificate.final_score, fresh
    )


@router.get("/", response_model=Page[CertificateRead])
async def list_certificates(
    request: Request,
    who: CurrentUser,
    session: SessionDep,
    page: PagingDep,
    course: Annotated[str | None, Query(description="uuid of a course")] = None,
    status: Annotated[str | None, Query(description=" · ".join(STATUSES))] = None,
) -> Any:
    """Certificates of one's own; with `course`, for its teachers, those of its learners."""
    chosen = choose("status", status, STATUSES)
    count, rows = await queries.list_visible(session, who, choose_uuid("course", course), chosen, page)
    return page.answer(count, [_out(request, who, row) for row in rows])


@router.get("/{uuid}/", response_model=CertificateRead)
async def get_certificate(
    uuid: UUID, request: Request, response: Response, who: CurrentUser, session: SessionDep
) -> Any:
    """One certificate; `pdf_file` is null until the PDF is made, then a link for the caller alone."""
    shown = await queries.access_certificate(session, who, uuid)
    return etags.answer(request, response, _tag(shown)) or _out(request, who, shown)


@router.get(
    "/{uuid}/download/",
    response_class=Response,
    responses=raises(CertificateNotReady, CertificateRevoked, CertificateSuperseded, LearnerErased)
    | {200: {"content": {"application/pdf": {}}}},
)
async def download_certificate(
    uuid: UUID, request: Request, who: CurrentUser, session: SessionDep
) -> Response:
    """The PDF, for its owner and for those who teach or manage the course, while the certificate is valid."""
    certificate = (await queries.access_certificate(session, who, uuid)).certificate
    if certificate.status == "revoked":
        raise CertificateRevoked
    if certificate.status == "superseded":
        raise CertificateSuperseded
    if certificate.pdf_path is None:
        raise LearnerErased if certificate.issued_at is not None else CertificateNotReady
    storage = request.app.state.storage
    return await file_response(
        request, storage, certificate.pdf_path, "application/pdf", file_name(certificate)
    )


@router.post("/{uuid}/revoke/", response_model=CertificateRead, responses=raises(CertificateSuperseded))
async def revoke_certificate(
    uuid: UUID,
    request: Request,
    if_match: IfMatch,
    response: Response,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
    body: ReasonRequest | None = None,
) -> Any:
    """Take a certificate back, for those who teach or manage the course; again → the same answer.

    The check says so from then on, and the PDF is not handed out any more. The act is kept in the audit log.
    """
    await service.revoke_certificate(session, who, uuid, body.reason if body else "", if_match, now)
    shown = await queries.access_certificate(session, who, uuid)
    response.headers["ETag"] = _tag(shown)
    return _out(request, who, shown)


@router.post(
    "/{uuid}/reissue/",
    status_code=201,
    response_model=CertificateRead,
    responses=raises(CertificateNotReady, CertificateRevoked, LearnerErased)
    | {200: {"model": CertificateRead, "description": "It is replaced already: the newest one"}},
)
async def reissue_certificate(
    uuid: UUID,
    request: Request,
    if_match: IfMatch,
    response: Response,
    who: CurrentUser,
    session: SessionDep,
    now: Now,
    body: ReasonRequest | None = None,
) -> Any:
    """A new certificate with a new number and the learner's present name, for its owner and for staff.

    The old one is superseded and names the new one. One that is replaced already answers 200 with the newest.
    Staff may also replace a revoked one, which stays revoked.
    """
    reason = body.reason if body else ""
    newest, made = await service.reissue_certificate(session, who, uuid, reason, if_match, now)
    response.status_code = 201 if made else 200
    shown = await queries.access_certificate(session, who, newest)
    response.headers["ETag"] = _tag(shown)
    return _out(request, who, shown)


@router.get(
    "/{reference}/verify/", response_model=CertificateCheck, responses={200: {"content": {"text/html": {}}}}
)
async def verify_certificate(
    reference: str, request: Request, response: Response, session: SessionDep
) -> Any:
    """Whether a certificate is genuine, by uuid or number, for anybody: JSON, or HTML by `Accept`."""
    shown = await queries.find_for_check(session, reference)
    body = certificate_read(shown, request.app.state.settings.public_url, None)
    body["valid"] = body["is_valid"]
    headers = {"Vary": "Accept"}
    accept = request.headers.get("accept", "")
    if "text/html" in accept and "application/json" not in accept:
        return HTMLResponse(check_page(body), headers={**headers, "Content-Security-Policy": PAGE_POLICY})
    response.headers.update(headers)
    return body
