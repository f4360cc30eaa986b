"""HTTP of moderation (api.md §5)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from libs.common.data.db import SessionDep
from libs.common.security.auth import Teacher
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose_bool, choose_uuid, paginate
from services.forum.errors import NotModerator
from services.forum.moderation import queries, service
from services.forum.moderation.schemas import ModerationItemRead, ModerationRequest, RestoreRequest

router = APIRouter(prefix="/api/core/moderation", tags=["forum"])


@router.get("/", response_model=Page[ModerationItemRead])
async def list_flagged_posts(
    session: SessionDep,
    who: Teacher,
    page: PagingDep,
    course: str | None = None,
    is_resolved: str | None = None,
) -> Any:
    """Posts that readers reported and nobody decided about yet; teachers see those of their courses."""
    done = choose_bool("is_resolved", is_resolved) or False
    query = queries.find_flagged(who, choose_uuid("course", course), done)
    count, posts = await paginate(session, query, page)
    return page.answer(count, await queries.moderation_items(session, posts))


@router.post("/{uuid}/resolve/", response_model=ModerationItemRead, responses=raises(NotModerator))
async def resolve_flagged_post(
    uuid: UUID, body: ModerationRequest, session: SessionDep, who: Teacher, now: Now
) -> Any:
    """Decide about a post, by the id of the discussion or reply: `dismiss` its reports or `delete` it."""
    await service.decide(session, who, uuid, body.action, body.reason, now)
    return (await queries.moderation_items(session, [uuid]))[0]


@router.post("/{uuid}/restore/", response_model=ModerationItemRead, responses=raises(NotModerator))
async def restore_post(
    uuid: UUID, session: SessionDep, who: Teacher, body: RestoreRequest | None = None
) -> Any:
    """Bring a deleted discussion or reply back."""
    await service.restore(session, who, uuid, body.reason if body else "")
    return (await queries.moderation_items(session, [uuid]))[0]
