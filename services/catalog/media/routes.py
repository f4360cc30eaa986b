"""HTTP of the media library (api.md §3)."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from libs.common.data.db import SessionDep
from libs.common.files.forms import file_form, received_file
from libs.common.files.pictures import FORMATS
from libs.common.files.storage import Storage, end_of
from libs.common.files.uploads import HEAD, shown_name
from libs.common.runtime.clock import system_clock
from libs.common.runtime.errors import BadRequest, FileTypeRefused, Unprocessable
from libs.common.security.auth import Teacher
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import PLAIN_TEXT, raises
from libs.common.web.paging import Page, PagingDep, choose, choose_bool
from services.catalog.access import StorageDep
from services.catalog.errors import FileMissing, MediaInUse, MediaQuotaExceeded, ObjectExpired
from services.catalog.media import service
from services.catalog.media.access import access_media
from services.catalog.media.queries import list_media, media_answers
from services.catalog.media.schemas import KINDS, MediaDownload, MediaRead, MediaUpdate
from services.catalog.media.types import UPLOAD_BODY, library_type, picture_bytes
from services.catalog.models import MediaFile
from services.catalog.parameters import TRUTHS, one_of
from services.catalog.schemas import Done

router = APIRouter(prefix="/api/core/media", tags=["media"])

FORM = file_form(
    "file",
    "at most 500 MB; a picture 25 MB, of which is stored what is to be seen",
    title=PLAIN_TEXT | {"maxLength": 200},
)
UPLOADS = raises(FileMissing, FileTypeRefused, MediaQuotaExceeded, ObjectExpired)


async def received(request: Request) -> tuple[service.StoredFile, str]:
    """The multipart `file`, stored, and its title. What nobody makes a file of is swept away."""
    state = request.app.state
    limit: int = state.settings.file_limit
    async with received_file(request, "file", most_bytes=limit, missing=FileMissing) as file:
        name = shown_name(file.name)
        kind, media_type = library_type(name, await file.head(HEAD))
        what: service.Described = {"name": name, "kind": kind, "media_type": media_type, "limit": limit}
        if media_type in FORMATS:
            data = await picture_bytes(file.chunks(), media_type, state.pictures)
            stored = await service.store_picture(state.db, state.storage, state.pictures, data, **what)
        else:
            stored = await service.store_object(state.db, state.storage, file.chunks(), **what)
        title = ((await file.texts()).get("title") or name).strip()
        if not 0 < len(title) <= 200:
            raise Unprocessable.field("title", "must have 1 to 200 characters")
    return stored, title


async def answer_media(
    session: SessionDep, storage: Storage, media: MediaFile, response: Response
) -> dict[str, Any]:
    answer = (await media_answers(session, storage, [media]))[0]
    response.headers["ETag"] = media_tag(media, answer)
    return answer


def media_tag(media: MediaFile, answer: dict[str, Any]) -> str:
    """Of the file and where it is used. Signed URLs in it end, so a tag with some lives two minutes."""
    return etags.etag(
        media.version, answer["used_in"], system_clock().timestamp() // 120 if media.variants else 0
    )


@router.get("/", response_model=Page[MediaRead])
async def list_own_media(
    session: SessionDep,
    who: Teacher,
    page: PagingDep,
    storage: StorageDep,
    kind: Annotated[str | None, one_of(KINDS)] = None,
    search: Annotated[str | None, Query(max_length=200)] = None,
) -> Any:
    """One's own files, the newest first."""
    if search and "\0" in search:
        raise BadRequest("search must not contain NUL.")
    return await list_media(
        session, storage.seen_by(who), who.user, page, choose("kind", kind, KINDS), search
    )


@router.post(
    "/",
    status_code=201,
    response_model=MediaRead,
    max_body_size=UPLOAD_BODY,
    openapi_extra=FORM,
    responses=UPLOADS,
)
async def upload_media(
    session: SessionDep, who: Teacher, storage: StorageDep, now: Now, request: Request, response: Response
) -> Any:
    """Store the multipart field `file` in one's library."""
    quota = request.app.state.settings.media_quota
    stored, title = await received(request)
    media = await service.create_media(session, who, stored, title, quota, now)
    return await answer_media(session, storage.seen_by(who), media, response)


@router.get("/{uuid}/", response_model=MediaRead)
async def get_media(
    uuid: UUID, session: SessionDep, who: Teacher, storage: StorageDep, request: Request, response: Response
) -> Any:
    """A file of one's own, and the lessons that have it."""
    media = await access_media(session, who, uuid)
    answer = await answer_media(session, storage.seen_by(who), media, response)
    return etags.answer(request, response, response.headers["ETag"]) or answer


@router.patch("/{uuid}/", response_model=MediaRead)
async def change_media(
    uuid: UUID,
    body: MediaUpdate,
    session: SessionDep,
    who: Teacher,
    storage: StorageDep,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Give it another title."""
    title = body.title if "title" in body.model_fields_set else None
    media = await service.change_media(session, who, uuid, title, if_match)
    return await answer_media(session, storage.seen_by(who), media, response)


@router.delete("/{uuid}/", response_model=Done, responses=raises(MediaInUse))
async def delete_media(uuid: UUID, session: SessionDep, who: Teacher, if_match: IfMatch) -> Any:
    """Delete a file that no lesson has."""
    await service.delete_media(session, who, uuid, if_match)
    return {"detail": "The file is deleted."}


@router.get(
    "/{uuid}/download/",
    response_model=MediaDownload,
    responses={302: {"description": "To the signed URL, unless `redirect=false`"}},
)
async def download_media(
    uuid: UUID,
    session: SessionDep,
    who: Teacher,
    storage: StorageDep,
    request: Request,
    redirect: Annotated[str | None, one_of(TRUTHS, "; false: answer the URL")] = None,
) -> Any:
    """A signed URL of the file for the caller and their session; it takes range requests."""
    media = await access_media(session, who, uuid)
    url = storage.seen_by(who).url(media.path, media.media_type, media.name, f"media:{uuid}")
    if choose_bool("redirect", redirect) is False:
        return {"url": url, "expires_at": end_of(url)}
    return RedirectResponse(url, 302)


@router.put(
    "/{uuid}/file/",
    response_model=MediaRead,
    max_body_size=UPLOAD_BODY,
    openapi_extra=FORM,
    responses=UPLOADS,
)
async def replace_media_file(
    uuid: UUID,
    session: SessionDep,
    who: Teacher,
    storage: StorageDep,
    if_match: IfMatch,
    now: Now,
    request: Request,
    response: Response,
) -> Any:
    """Replace the bytes; the id stays, and lessons show the new ones."""
    async with request.app.state.db.sessions() as early:  # refuse before a byte of the body is read
        await access_media(early, who, uuid)
    quota = request.app.state.settings.media_quota
    stored, _ = await received(request)
    media = await service.replace_file(session, who, uuid, stored, quota, now, if_match)
    return await answer_media(session, storage.seen_by(who), media, response)
