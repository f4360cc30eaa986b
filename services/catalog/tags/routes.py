"""HTTP of tags (api.md §3)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from libs.common.data.db import SessionDep
from libs.common.runtime.errors import BadRequest
from libs.common.security.auth import Manager
from libs.common.web import etags
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page
from services.catalog.errors import TagTaken
from services.catalog.schemas import Done
from services.catalog.tags import queries, service
from services.catalog.tags.schemas import TagCreate, TagRead, TagUpdate

router = APIRouter(prefix="/api/tags", tags=["categories"])


@router.get("/", response_model=Page[TagRead])
async def list_tags(session: SessionDep, search: str | None = None) -> Any:
    """All tags on one page, the most used first."""
    if search and "\0" in search:
        raise BadRequest("search must not contain NUL.")
    found = await queries.list_tags(session, search)
    return {"count": len(found), "next": None, "previous": None, "results": found}


@router.post("/", status_code=201, response_model=TagRead, responses=raises(TagTaken))
async def create_tag(body: TagCreate, session: SessionDep, _: Manager, response: Response) -> Any:
    """Create a tag; tags that a course names are created by themselves."""
    tag = await service.create_tag(session, body.name)
    response.headers["ETag"] = etags.etag(tag.version)
    return await queries.tag_answer(session, tag.uuid)


@router.patch("/{uuid}/", response_model=TagRead, responses=raises(TagTaken))
async def change_tag(
    uuid: UUID, body: TagUpdate, session: SessionDep, who: Manager, if_match: IfMatch, response: Response
) -> Any:
    """Rename a tag, on all courses that have it."""
    name = body.name if "name" in body.model_fields_set else None
    tag = await service.change_tag(session, who, uuid, name, if_match)
    response.headers["ETag"] = etags.etag(tag.version)
    return await queries.tag_answer(session, uuid)


@router.delete("/{uuid}/", response_model=Done)
async def delete_tag(uuid: UUID, session: SessionDep, who: Manager, if_match: IfMatch) -> Any:
    """Delete a tag, and remove it from all courses that have it."""
    await service.delete_tag(session, who, uuid, if_match)
    return {"detail": "The tag is deleted."}
