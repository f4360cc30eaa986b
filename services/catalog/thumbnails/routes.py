"""HTTP of thumbnails (api.md §3)."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from libs.common.data.db import SessionDep
from libs.common.files.forms import FRAME, picture_form, received_picture
from libs.common.security.auth import CurrentUser
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from services.catalog.access import StorageDep, View, access_taught_course
from services.catalog.courses.schemas import CourseRead
from services.catalog.courses.views import course_tag, show_course
from services.catalog.errors import PictureMissing, PictureRefused
from services.catalog.pictures import MOST_PIXELS, check_type
from services.catalog.thumbnails import service

router = APIRouter(prefix="/api/courses", tags=["courses"])

MOST_BYTES = 10 * 1024 * 1024


async def uploaded(uuid: UUID, request: Request, who: CurrentUser) -> bytes:
    """Read the file of the field `thumbnail`. Raises PictureMissing, PictureRefused or PayloadTooLarge.

    A caller who may not change the course is refused before the body is read.
    """
    async with request.app.state.db.sessions() as early:
        await access_taught_course(early, who, uuid, lock=False)
    name, data = await received_picture(request, "thumbnail", most_bytes=MOST_BYTES, missing=PictureMissing)
    check_type(name, data[:16])
    return data


@router.post(
    "/{uuid}/upload-image/",
    response_model=CourseRead,
    max_body_size=MOST_BYTES + FRAME,
    openapi_extra=picture_form("thumbnail", MOST_BYTES, MOST_PIXELS),
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
    """Set the course's picture from the field `thumbnail`: re-encoded, 320, 640 and 1280 pixels wide."""
    state = request.app.state
    picture = await service.store_thumbnail(state.db, storage, state.pictures, data)
    course = await service.show_thumbnail(session, storage, who, uuid, picture, if_match)
    view = View(course, True, False)
    answer = await show_course(session, who, view, storage.seen_by(who))
    response.headers["ETag"] = course_tag(view, answer)
    return answer
