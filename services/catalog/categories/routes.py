"""HTTP of categories (api.md §3)."""

from typing import Any

from fastapi import APIRouter, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import Manager
from libs.common.web import etags
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page
from services.catalog.access import access_category
from services.catalog.categories import service
from services.catalog.categories.queries import category_answer, category_tree
from services.catalog.categories.schemas import CategoryCreate, CategoryRead, CategoryUpdate
from services.catalog.errors import CategoryCycle, CategoryInUse, CategoryTooDeep
from services.catalog.schemas import Done

router = APIRouter(prefix="/api/categories", tags=["categories"])


def _tag(version: int, answer: dict[str, Any]) -> str:
    return etags.etag(version, answer["courses_count"], answer["children"], answer["depth"])


@router.get("/", response_model=Page[CategoryRead])
async def list_categories(session: SessionDep) -> Any:
    """All categories on one page, parents before their children."""
    tree = await category_tree(session)
    return {"count": len(tree), "next": None, "previous": None, "results": tree}


@router.post(
    "/",
    status_code=201,
    response_model=CategoryRead,
    responses=raises(CategoryCycle, CategoryTooDeep),
)
async def create_category(body: CategoryCreate, session: SessionDep, who: Manager, response: Response) -> Any:
    """Create a category."""
    category = await service.create_category(session, who, body)
    answer = await category_answer(session, category.uuid)
    response.headers["ETag"] = _tag(category.version, answer)
    return answer


@router.get("/{slug}/", response_model=CategoryRead)
async def get_category(slug: str, session: SessionDep, request: Request, response: Response) -> Any:
    """A category by slug or id."""
    category = await access_category(session, slug)
    answer = await category_answer(session, category.uuid)
    return etags.answer(request, response, _tag(category.version, answer)) or answer


@router.patch("/{slug}/", response_model=CategoryRead, responses=raises(CategoryCycle, CategoryTooDeep))
async def change_category(
    slug: str, body: CategoryUpdate, session: SessionDep, who: Manager, if_match: IfMatch, response: Response
) -> Any:
    """Change name, slug, description, parent or order of a category."""
    await service.lock_tree(session)
    category = await access_category(session, slug, lock=True)
    if_match.check(category.version)
    await service.change_category(session, who, category, body)
    answer = await category_answer(session, category.uuid)
    response.headers["ETag"] = _tag(category.version, answer)
    return answer


@router.delete("/{slug}/", response_model=Done, responses=raises(CategoryInUse))
async def delete_category(slug: str, session: SessionDep, who: Manager, if_match: IfMatch) -> Any:
    """Delete a category that holds neither courses nor other categories."""
    await service.lock_tree(session)
    category = await access_category(session, slug, lock=True)
    if_match.check(category.version)
    await service.delete_category(session, who, category)
    return {"detail": "The category is deleted."}
