"""HTTP of favourites (api.md §3)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser
from services.catalog.access import access_course
from services.catalog.favorites import service
from services.catalog.favorites.schemas import FavoriteRead

router = APIRouter(prefix="/api/courses", tags=["courses"])

REMEMBERED = {"is_favorite": True, "detail": "The course is one of your favourites."}
FORGOTTEN = {"is_favorite": False, "detail": "The course is not one of your favourites."}


@router.get("/{uuid}/is-favorite/", response_model=FavoriteRead)
async def get_is_favorite(uuid: UUID, session: SessionDep, who: CurrentUser) -> Any:
    """Whether the course is one of the caller's favourites."""
    await access_course(session, who, uuid)
    return REMEMBERED if await service.is_favorite(session, who, uuid) else FORGOTTEN


@router.post("/{uuid}/add-to-favorites/", response_model=FavoriteRead)
async def add_to_favorites(uuid: UUID, session: SessionDep, who: CurrentUser) -> Any:
    """Add the course to the caller's favourites; idempotent."""
    await service.add_favorite(session, who, uuid)
    return REMEMBERED


@router.delete("/{uuid}/remove-from-favorites/", response_model=FavoriteRead)
async def remove_from_favorites(uuid: UUID, session: SessionDep, who: CurrentUser) -> Any:
    """Remove the course from the caller's favourites."""
    await service.remove_favorite(session, who, uuid)
    return FORGOTTEN
