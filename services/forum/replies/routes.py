"""HTTP of replies (api.md §5)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.common.data.db import SessionDep
from libs.common.runtime.errors import BadRequest
from libs.common.security.auth import CurrentUser
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep, choose, choose_uuid, paginate_by_cursor
from services.forum.access import access_discussion, access_reply
from services.forum.errors import DiscussionLocked, NotAuthor, OwnReply, ParentElsewhere, ReplyDeleted
from services.forum.models import Reply
from services.forum.replies import queries, service
from services.forum.replies.schemas import ReplyCreate, ReplyRead, ReplyUpdate
from services.forum.schemas import DeletedRead, FlagCreate, FlaggedRead

router = APIRouter(prefix="/api/core/replies", tags=["forum"])

ORDERINGS: dict[str, list[Any]] = {
    "created_at": [Reply.seq],
    "upvotes": [Reply.upvotes, Reply.seq],
}


def _tag(body: dict[str, Any], version: int) -> str:
    return etags.etag(version, body["has_upvoted"], _shape(body["children"]))


def _shape(children: list[dict[str, Any]]) -> list[Any]:
    """What of the replies below changes the answer."""
    return [
        (str(c["uuid"]), str(c["updated_at"]), c["upvotes"], c["has_upvoted"], _shape(c["children"]))
        for c in children
    ]


async def _answer(session: SessionDep, reply: Reply, who: Principal, response: Response) -> dict[str, Any]:
    await session.flush()
    body = (await queries.reply_trees(session, [reply], who.user))[0]
    response.headers["ETag"] = _tag(body, reply.version)
    return body


@router.get("/", response_model=Page[ReplyRead])
async def list_replies(
    session: SessionDep,
    who: CurrentUser,
    page: PagingDep,
    discussion: str | None = None,
    parent: str | None = None,
    ordering: str | None = None,
) -> Any:
    """The replies of a `discussion`, each with all below it in `children`; or those right below `parent`."""
    order = choose("ordering", ordering, [*ORDERINGS, *(f"-{name}" for name in ORDERINGS)]) or "created_at"
    above = choose_uuid("parent", parent)
    within = choose_uuid("discussion", discussion)
    if above is not None:
        reply, _, _ = await access_reply(session, who, above)
        within = within or reply.discussion
    if within is None:
        raise BadRequest(
            "discussion says whose replies to list.",
            errors=[{"field": "discussion", "message": "is needed, or parent"}],
        )
    await access_discussion(session, who, within)
    listed = await paginate_by_cursor(
        session,
        queries.find_replies(within, above),
        page,
        ORDERINGS[order.lstrip("-")],
        descending=order.startswith("-"),
    )
    return listed | {"results": await queries.reply_trees(session, listed["results"], who.user)}


@router.post(
    "/",
    status_code=201,
    response_model=ReplyRead,
    responses=raises(DiscussionLocked, ParentElsewhere, ReplyDeleted),
)
async def post_reply(body: ReplyCreate, session: SessionDep, who: CurrentUser, response: Response) -> Any:
    """Reply to a discussion, or with `parent` to a reply in it."""
    reply = await service.post_reply(session, who, body.discussion, body.content, body.parent)
    return await _answer(session, reply, who, response)


@router.get("/{uuid}/", response_model=ReplyRead)
async def get_reply(
    uuid: UUID, session: SessionDep, who: CurrentUser, request: Request, response: Response
) -> Any:
    """One reply with all below it."""
    reply, _, _ = await access_reply(session, who, uuid)
    body = (await queries.reply_trees(session, [reply], who.user))[0]
    return etags.answer(request, response, _tag(body, reply.version)) or body


@router.patch("/{uuid}/", response_model=ReplyRead, responses=raises(NotAuthor))
async def change_reply(
    uuid: UUID,
    body: ReplyUpdate,
    session: SessionDep,
    who: CurrentUser,
    if_match: IfMatch,
    now: Now,
    response: Response,
) -> Any:
    """The author edits the text."""
    reply = await service.change_reply(session, who, uuid, body.content, if_match, now)
    return await _answer(session, reply, who, response)


@router.delete("/{uuid}/", response_model=DeletedRead, responses=raises(NotAuthor))
async def delete_reply(uuid: UUID, session: SessionDep, who: CurrentUser, if_match: IfMatch, now: Now) -> Any:
    """Take a reply away; for its author, staff and instructors. Moderation can restore it."""
    await service.delete_reply(session, who, uuid, if_match, now)
    return {"deleted": True}


@router.post("/{uuid}/upvote/", response_model=ReplyRead, responses=raises(OwnReply))
async def upvote_reply(uuid: UUID, session: SessionDep, who: CurrentUser, response: Response) -> Any:
    """Upvote somebody's reply; again takes the upvote back."""
    return await _answer(session, await service.upvote_reply(session, who, uuid), who, response)


@router.post("/{uuid}/mark-solution/", response_model=ReplyRead, responses=raises(NotAuthor))
async def mark_solution(uuid: UUID, session: SessionDep, who: CurrentUser, response: Response) -> Any:
    """Mark the solution; again undoes it. For the author of the discussion, staff and instructors."""
    return await _answer(session, await service.mark_solution(session, who, uuid), who, response)


@router.post("/{uuid}/flag/", response_model=FlaggedRead)
async def flag_reply(
    uuid: UUID, session: SessionDep, who: CurrentUser, body: FlagCreate | None = None
) -> Any:
    """Report a reply to the moderators."""
    await service.flag_reply(session, who, uuid, body.reason if body else "")
    return {"flagged": True}
