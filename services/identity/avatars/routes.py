"""HTTP of avatars (api.md §2)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from libs.common.data.db import SessionDep
from libs.common.files.forms import FRAME, picture_form, received_picture
from libs.common.security.auth import CurrentUser
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from services.identity.access import CallerDep, DatabaseDep, IdentityDep
from services.identity.avatars import service
from services.identity.avatars.pictures import MOST_PIXELS, check_type
from services.identity.errors import FileMissing, FileTypeRefused, PictureRefused
from services.identity.models import User
from services.identity.queries import user_answer, user_tag
from services.identity.schemas import UserRead

router = APIRouter(prefix="/api/accounts/users/me/avatar", tags=["accounts"])

MOST_BYTES = 5 * 1024 * 1024


async def uploaded(request: Request) -> bytes:
    """The file of the multipart field `avatar`. Raises FileMissing, FileTypeRefused or PayloadTooLarge."""
    name, data = await received_picture(request, "avatar", most_bytes=MOST_BYTES, missing=FileMissing)
    check_type(name, data[:16])
    return data


@router.post(
    "/",
    response_model=UserRead,
    max_body_size=MOST_BYTES + FRAME,
    openapi_extra=picture_form("avatar", MOST_BYTES, MOST_PIXELS),
    responses=raises(FileMissing, FileTypeRefused, PictureRefused),
)
async def change_my_avatar(
    who: CurrentUser,
    data: Annotated[bytes, Depends(uploaded)],
    session: SessionDep,
    db: DatabaseDep,
    identity: IdentityDep,
    caller: CallerDep,
    if_match: IfMatch,
    response: Response,
) -> Any:
    """Take the file of the field `avatar` as own avatar: re-encoded to at most 512 pixels a side."""
    user = await service.change_avatar(session, db, identity, who, caller, data, if_match)
    return _answer(user, response)


@router.delete("/", response_model=UserRead)
async def remove_my_avatar(
    who: CurrentUser, session: SessionDep, caller: CallerDep, if_match: IfMatch, response: Response
) -> Any:
    """Remove the own avatar."""
    user = await service.remove_avatar(session, who, caller, if_match)
    return _answer(user, response)


def _answer(user: User, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = user_tag(user)
    return user_answer(user)
