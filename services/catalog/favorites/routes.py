"""HTTP of favourites (api.md §3)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser
from libs.common.web.paging import Page, PagingDep
from services.catalog.access import access_course
from services.catalog.courses.queries import list_favorites, page_bytes
from services.catalog.courses.schemas import CourseCard
from services.catalog.favorites import service
from services.catalog.favorites.schemas import FavoriteAnswer

router = APIRouter(prefix="/api/courses", tags=["courses"])

REMEMBERED = {"is_favorite": True, "detail": "The course is one of your favourites."}
FORGOTTEN = {"is_favorite": False, "detail": "The course is not one of your favourites."}


@router.get("/favorites/", response_model=Page[CourseCard])
async def list_my_favorites(request: Request, who: CurrentUser, page: PagingDep) -> Response:
    """One's favourite courses that one may still see, the last added first."""
    async with request.app.state.reader.connect() as reader:
        count, cards = await list_favorites(reader, who, page.size, page.offset)
    return Response(page_bytes(page, count, cards), media_type="application/json")


@router.get("/{uuid}/is-favorite/", response_model=FavoriteAnswer)
async def get_is_favorite(uuid: UUID, session: SessionDep, who: CurrentUser) -> Any:
    """Whether the course is one of the caller's favourites."""
    await access_course(session, who, uuid)
    return REMEMBERED if await service.is_favorite(session, who, uuid) else FORGOTTEN


@router.post("/{uuid}/add-to-favorites/", response_model=FavoriteAnswer)
async def add_to_favorites(uuid: UUID, session: SessionDep, who: CurrentUser) -> Any:
    """Remember the course; twice is once."""
    await service.add_favorite(session, who, uuid)
    return REMEMBERED


@router.delete("/{uuid}/remove-from-favorites/", response_model=FavoriteAnswer)
async def remove_from_favorites(uuid: UUID, session: SessionDep, who: CurrentUser) -> Any:
    """Forget the course."""
    await service.remove_favorite(session, who, uuid)
    return FORGOTTEN
