"""HTTP of avatars (api.md §2)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import UploadFile

from libs.common.data.db import SessionDep
from libs.common.runtime.errors import PayloadTooLarge
from libs.common.security.auth import CurrentUser
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.strict import read_form
from services.identity.access import CallerDep, DatabaseDep, IdentityDep
from services.identity.avatars import service
from services.identity.avatars.pictures import check_type
from services.identity.errors import FileMissing, FileTypeRefused, PictureRefused
from services.identity.models import User
from services.identity.queries import user_answer, user_tag
from services.identity.schemas import UserRead

router = APIRouter(prefix="/api/accounts/users/me/avatar", tags=["accounts"])

MOST_BYTES = 5 * 1024 * 1024
MOST_BODY = MOST_BYTES + 64 * 1024  # with the multipart frame around the file
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["avatar"],
                    "properties": {
                        "avatar": {
                            "type": "string",
                            "format": "binary",
                            "description": "JPEG, PNG or WebP of at most 5 MB and 40 million pixels",
                        }
                    },
                }
            }
        },
    }
}


async def uploaded(request: Request) -> bytes:
    """The file of the multipart field `avatar`. Raises FileMissing, FileTypeRefused or PayloadTooLarge."""
    async with read_form(request, max_files=1, max_fields=10) as form:
        file = form.get("avatar")
        if not isinstance(file, UploadFile):
            raise FileMissing
        data = await file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise PayloadTooLarge(f"avatar: is larger than {MOST_BYTES:,} bytes.")
        check_type(file.filename or "", data[:16])
        return data


@router.post(
    "/",
    response_model=UserRead,
    max_body_size=MOST_BODY,
    openapi_extra=FORM,
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
