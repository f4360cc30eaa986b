"""HTTP of files that come in parts: begin, PATCH the parts, finish; HEAD tells where to go on."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from starlette.requests import ClientDisconnect

from libs.common.data.db import SessionDep
from libs.common.runtime.errors import BadRequest, FileTypeRefused, PayloadTooLarge
from libs.common.security.auth import Teacher
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from services.catalog.access import StorageDep
from services.catalog.errors import (
    MediaQuotaExceeded,
    ObjectExpired,
    TooManyUploads,
    UploadFinished,
    UploadIncomplete,
    UploadOffsetMismatch,
)
from services.catalog.media import uploads
from services.catalog.media.access import access_upload
from services.catalog.media.routes import answer_media
from services.catalog.media.schemas import MediaRead, UploadCreate, UploadRead
from services.catalog.models import MediaUpload
from services.catalog.schemas import Done

router = APIRouter(prefix="/api/core/media/uploads", tags=["media"])

PART = {
    "requestBody": {
        "required": True,
        "description": f"the file's bytes from `Upload-Offset` on; at most {uploads.MOST_PART // 2**20} MiB",
        "content": {"application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, le=2**53, description="where the part begins")]


def _with_offset(response: Response, upload: MediaUpload) -> MediaUpload:
    response.headers["Upload-Offset"] = str(upload.received)
    response.headers["Upload-Length"] = str(upload.length)
    response.headers["Cache-Control"] = "no-store"
    response.headers["ETag"] = _tag(upload)
    return upload


def _tag(upload: MediaUpload) -> str:
    return etags.etag(upload.received, upload.media, upload.expires_at)


@router.post(
    "/",
    status_code=201,
    response_model=UploadRead,
    responses=raises(FileTypeRefused, MediaQuotaExceeded, TooManyUploads, PayloadTooLarge),
)
async def begin_upload(
    body: UploadCreate, session: SessionDep, who: Teacher, now: Now, request: Request, response: Response
) -> Any:
    """Begin an upload in parts. It counts against the quota, and expires a day after its last part."""
    settings = request.app.state.settings
    limit, quota = settings.file_limit, settings.media_quota
    return _with_offset(response, await uploads.begin_upload(session, who, body, limit, quota, now))


@router.get("/{uuid}/", response_model=UploadRead)
async def get_upload(
    uuid: UUID, session: SessionDep, who: Teacher, now: Now, request: Request, response: Response
) -> Any:
    """The state of an upload, also in `Upload-Offset` and `Upload-Length`; HEAD answers these alone."""
    upload = await access_upload(session, who, uuid, now)
    return etags.answer(request, response, _tag(upload)) or _with_offset(response, upload)


@router.head("/{uuid}/", include_in_schema=False)
async def head_upload(uuid: UUID, session: SessionDep, who: Teacher, now: Now, response: Response) -> None:
    _with_offset(response, await access_upload(session, who, uuid, now))


@router.patch(
    "/{uuid}/",
    response_model=UploadRead,
    max_body_size=uploads.MOST_PART + 1,
    openapi_extra=PART,
    responses=raises(UploadOffsetMismatch, UploadFinished, ObjectExpired, PayloadTooLarge),
)
async def append_part(
    uuid: UUID, who: Teacher, offset: Offset, now: Now, request: Request, response: Response
) -> Any:
    """Add the next part. If the connection breaks, ask for the offset and continue from there."""
    state, part = request.app.state, whole_chunks(request.stream())
    upload = await uploads.append_part(state.db, state.storage, state.hashes, who, uuid, offset, part, now)
    return _with_offset(response, upload)


async def whole_chunks(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body of a request. Raises BadRequest when its sender goes away."""
    try:
        async for chunk in stream:
            yield chunk
    except ClientDisconnect as error:
        raise BadRequest("The part broke off: ask for the offset, and go on from there.") from error


@router.post(
    "/{uuid}/finish/",
    status_code=201,
    response_model=MediaRead,
    responses=raises(UploadIncomplete, FileTypeRefused, MediaQuotaExceeded, ObjectExpired, PayloadTooLarge)
    | {200: {"model": MediaRead, "description": "It is finished already: the same file"}},
)
async def finish_upload(
    uuid: UUID,
    session: SessionDep,
    who: Teacher,
    storage: StorageDep,
    now: Now,
    request: Request,
    response: Response,
) -> Any:
    """Add the file to the library: 201, or 200 with the same file when repeated."""
    state = request.app.state
    settings = state.settings
    stored = await uploads.assemble(
        state.db, storage, state.pictures, state.hashes, who, uuid, settings.file_limit, now
    )
    media, new = await uploads.finish_upload(session, who, uuid, stored, settings.media_quota, now)
    response.status_code = 201 if new else 200
    return await answer_media(session, storage.seen_by(who), media, response)


@router.delete("/{uuid}/", response_model=Done)
async def drop_upload(uuid: UUID, session: SessionDep, who: Teacher, now: Now) -> Any:
    """Delete the upload; its bytes no longer count."""
    await uploads.drop_upload(session, who, uuid, now)
    return {"detail": "The upload is given up."}
