"""HTTP of thumbnails (api.md §3)."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import UploadFile

from libs.common.data.db import SessionDep
from libs.common.runtime.errors import PayloadTooLarge
from libs.common.security.auth import CurrentUser
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.strict import read_form
from services.catalog.access import StorageDep, View, access_taught_course
from services.catalog.courses.schemas import CourseRead
from services.catalog.courses.views import course_tag, show_course
from services.catalog.errors import PictureMissing, PictureRefused
from services.catalog.pictures import check_type
from services.catalog.thumbnails import service

router = APIRouter(prefix="/api/courses", tags=["courses"])

MOST_BYTES = 10 * 1024 * 1024
MOST_BODY = MOST_BYTES + 64 * 1024  # with the multipart frame around the file
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["thumbnail"],
                    "properties": {
                        "thumbnail": {
                            "type": "string",
                            "format": "binary",
                            "description": "JPEG, PNG or WebP of at most 10 MB and 40 million pixels",
                        }
                    },
                }
            }
        },
    }
}


async def uploaded(uuid: UUID, request: Request, who: CurrentUser) -> bytes:
    """The file of the field `thumbnail`. Raises PictureMissing, PictureRefused or PayloadTooLarge.

    Who may not change the course is refused before a byte of it is read, and holds no lock.
    """
    async with request.app.state.db.sessions() as early:
        await access_taught_course(early, who, uuid, lock=False)
    async with read_form(request, max_files=1, max_fields=10) as form:
        file = form.get("thumbnail")
        if not isinstance(file, UploadFile):
            raise PictureMissing
        data = await file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise PayloadTooLarge(f"thumbnail: is larger than {MOST_BYTES:,} bytes.")
        check_type(file.filename or "", data[:16])
        return data


@router.post(
    "/{uuid}/upload-image/",
    response_model=CourseRead,
    max_body_size=MOST_BODY,
    openapi_extra=FORM,
    responses=raises(PictureMissing, PictureRefused),
)
async def upload_thumbnail(
    uuid: UUID,
    who: CurrentUser,
    data: Annotated[bytes, Depends(uploaded)],
    session: SessionDep,
    storage: StorageDep,
    if_match: IfMatch,
    request: Request,
    response: Response,
) -> Any:
    """Take the file of the field `thumbnail` as the course's picture: re-encoded, 320, 640, 1280 wide."""
    state = request.app.state
    picture = await service.store_thumbnail(state.db, storage, state.pictures, data)
    course = await service.show_thumbnail(session, storage, who, uuid, picture, if_match)
    view = View(course, True, False)
    answer = await show_course(session, who, view, storage.seen_by(who))
    response.headers["ETag"] = course_tag(view, answer)
    return answer
