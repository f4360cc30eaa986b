"""HTTP of forums and discussions (api.md §5)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser, Manager
from libs.common.security.tokens import Principal
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from libs.common.web.paging import (
    Page,
    PagingDep,
    choose,
    choose_bool,
    choose_uuid,
    paginate,
    paginate_by_cursor,
)
from services.forum.access import access_forum
from services.forum.discussions import queries, service
from services.forum.discussions.schemas import (
    DiscussionCreate,
    DiscussionRead,
    DiscussionUpdate,
    FollowRequest,
    ForumCreate,
    ForumRead,
    LockRequest,
    MoveRequest,
    PinRequest,
    ResolveRequest,
)
from services.forum.errors import NotAuthor, NotModerator
from services.forum.models import Discussion
from services.forum.rules import DISCUSSION_TYPES
from services.forum.schemas import DeletedRead, FlagCreate, FlaggedRead

forums = APIRouter(prefix="/api/core/forums", tags=["forum"])
router = APIRouter(prefix="/api/core/discussions", tags=["forum"])

ORDERINGS: dict[str, Any] = {
    "created_at": Discussion.created_at,
    "updated_at": Discussion.updated_at,
    "views_count": Discussion.views_count,
    "replies_count": Discussion.replies_count,
}


@forums.get("/", response_model=Page[ForumRead])
async def list_forums(
    session: SessionDep,
    who: CurrentUser,
    page: PagingDep,
    course: str | None = None,
    search: str | None = None,
) -> Any:
    """Platform forums and those of the caller's courses; staff see all."""
    query = queries.find_forums(who, choose_uuid("course", course), search)
    count, rows = await paginate(session, query, page)
    return page.answer(count, await queries.forum_answers(session, rows))


@forums.post("/", status_code=201, response_model=ForumRead)
async def create_forum(body: ForumCreate, session: SessionDep, who: Manager, response: Response) -> Any:
    """Make a platform forum; a course's forum makes itself."""
    forum = await service.create_forum(session, body)
    response.headers["ETag"] = etags.etag(forum.version)
    return (await queries.forum_answers(session, [forum]))[0]


@forums.get("/{uuid}/", response_model=ForumRead)
async def get_forum(
    uuid: UUID, session: SessionDep, who: CurrentUser, request: Request, response: Response
) -> Any:
    """One forum."""
    forum, _ = await access_forum(session, who, uuid)
    body = (await queries.forum_answers(session, [forum]))[0]
    tag = etags.etag(forum.version, body["title"], body["discussions_count"])
    return etags.answer(request, response, tag) or body


async def _answer(
    session: SessionDep, discussion: Discussion, who: Principal, response: Response
) -> dict[str, Any]:
    await session.flush()
    body = (await queries.discussion_answers(session, [discussion], who))[0]
    response.headers["ETag"] = _tag(discussion, body)
    return body


def _tag(discussion: Discussion, body: dict[str, Any]) -> str:
    """Changes with the version and with what the answer shows of replies and of the reader."""
    latest = body["latest_reply"]
    return etags.etag(
        discussion.version,
        discussion.replies_count,
        latest and (str(latest["uuid"]), latest["content"]),
        body["is_following"],
    )


@router.get("/", response_model=Page[DiscussionRead])
async def list_discussions(
    session: SessionDep,
    who: CurrentUser,
    page: PagingDep,
    forum: str | None = None,
    course: str | None = None,
    author: str | None = None,
    search: str | None = None,
    discussion_type: str | None = None,
    is_resolved: str | None = None,
    ordering: str | None = None,
) -> Any:
    """Discussions of every forum that the caller may enter; pinned ones first, then the newest."""
    order = choose("ordering", ordering, [*ORDERINGS, *(f"-{name}" for name in ORDERINGS)])
    kind = choose("discussion_type", discussion_type, DISCUSSION_TYPES)
    within = choose_uuid("forum", forum)
    if within is not None:
        await access_forum(session, who, within)
    query = queries.find_discussions(
        who,
        forum=within,
        course=choose_uuid("course", course),
        author=who.user if author == "me" else choose_uuid("author", author),
        kind=kind,
        is_resolved=choose_bool("is_resolved", is_resolved),
        search=search,
    )
    columns = [ORDERINGS[order.lstrip("-")]] if order else [Discussion.is_pinned, Discussion.created_at]
    listed = await paginate_by_cursor(
        session, query, page, [*columns, Discussion.uuid], descending=order is None or order.startswith("-")
    )
    return listed | {"results": await queries.discussion_answers(session, listed["results"], who)}


@router.post("/", status_code=201, response_model=DiscussionRead)
async def start_discussion(
    body: DiscussionCreate, session: SessionDep, who: CurrentUser, response: Response
) -> Any:
    """Open a discussion in a forum; announcements are for staff and instructors."""
    return await _answer(session, await service.start_discussion(session, who, body), who, response)


@router.get("/{uuid}/", response_model=DiscussionRead)
async def get_discussion(
    uuid: UUID, session: SessionDep, who: CurrentUser, request: Request, response: Response
) -> Any:
    """One discussion; each look counts as a view."""
    discussion = await service.view_discussion(session, who, uuid)
    body = (await queries.discussion_answers(session, [discussion], who))[0]
    return etags.answer(request, response, _tag(discussion, body)) or body


@router.patch("/{uuid}/", response_model=DiscussionRead, responses=raises(NotAuthor))
async def change_discussion(
    uuid: UUID,
    body: DiscussionUpdate,
    session: SessionDep,
    who: CurrentUser,
    if_match: IfMatch,
    now: Now,
    response: Response,
) -> Any:
    """The author edits title, text or type."""
    discussion = await service.change_discussion(session, who, uuid, body, if_match, now)
    return await _answer(session, discussion, who, response)


@router.delete("/{uuid}/", response_model=DeletedRead, responses=raises(NotAuthor))
async def delete_discussion(
    uuid: UUID, session: SessionDep, who: CurrentUser, if_match: IfMatch, now: Now
) -> Any:
    """Take a discussion away; for its author, staff and instructors. Moderation can restore it."""
    await service.delete_discussion(session, who, uuid, if_match, now)
    return {"deleted": True}


@router.post("/{uuid}/pin/", response_model=DiscussionRead, responses=raises(NotModerator))
async def pin_discussion(
    uuid: UUID, session: SessionDep, who: CurrentUser, response: Response, body: PinRequest | None = None
) -> Any:
    """Keep a discussion on top, or no longer; for staff and instructors."""
    discussion = await service.pin_discussion(session, who, uuid, body.is_pinned if body else None)
    return await _answer(session, discussion, who, response)


@router.post("/{uuid}/lock/", response_model=DiscussionRead, responses=raises(NotModerator))
async def lock_discussion(
    uuid: UUID, session: SessionDep, who: CurrentUser, response: Response, body: LockRequest | None = None
) -> Any:
    """Close a discussion to replies, or open it again; for staff and instructors."""
    discussion = await service.lock_discussion(session, who, uuid, body.is_locked if body else None)
    return await _answer(session, discussion, who, response)


@router.post("/{uuid}/resolve/", response_model=DiscussionRead, responses=raises(NotAuthor))
async def resolve_discussion(
    uuid: UUID, session: SessionDep, who: CurrentUser, response: Response, body: ResolveRequest | None = None
) -> Any:
    """Say that a discussion is resolved, or is not; for its author, staff and instructors."""
    discussion = await service.resolve_discussion(session, who, uuid, body.is_resolved if body else None)
    return await _answer(session, discussion, who, response)


@router.post("/{uuid}/follow/", response_model=DiscussionRead)
async def follow_discussion(
    uuid: UUID, session: SessionDep, who: CurrentUser, response: Response, body: FollowRequest | None = None
) -> Any:
    """Follow a discussion, or no longer."""
    discussion = await service.follow_discussion(session, who, uuid, body.is_following if body else None)
    return await _answer(session, discussion, who, response)


@router.post("/{uuid}/move/", response_model=DiscussionRead, responses=raises(NotModerator))
async def move_discussion(
    uuid: UUID, body: MoveRequest, session: SessionDep, who: CurrentUser, response: Response
) -> Any:
    """Move a discussion to another forum; for those who moderate both."""
    return await _answer(
        session, await service.move_discussion(session, who, uuid, body.forum), who, response
    )


@router.post("/{uuid}/flag/", response_model=FlaggedRead)
async def flag_discussion(
    uuid: UUID, session: SessionDep, who: CurrentUser, body: FlagCreate | None = None
) -> Any:
    """Report a discussion to the moderators."""
    await service.flag_discussion(session, who, uuid, body.reason if body else "")
    return {"flagged": True}
