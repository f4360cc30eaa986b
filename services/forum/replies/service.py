"""What people do with replies: one function per intent.

Rows are locked in one order: the discussion, then its replies. Posting, deleting and marking lock both; a
text or an upvote changes one reply only and locks just that.
"""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.forum import (
    ReplyChanged,
    ReplyFact,
    ReplyPosted,
    ReplyUpvoted,
    ReplyUpvoteWithdrawn,
    SolutionMarked,
    SolutionUnmarked,
)
from libs.common.live.hub import wake_room
from libs.common.runtime.trace import Trace
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.forum import errors
from services.forum.access import access_discussion, access_reply, readers_of
from services.forum.discussions.service import check_not_locked, flag, set_resolved
from services.forum.models import Discussion, Reply, Upvote
from services.forum.queries import find_mentions, find_new_mentions


def room_of(discussion: UUID) -> str:
    """The room in which a discussion's sockets are."""
    return f"discussion:{discussion}"


def publish(
    session: AsyncSession,
    reply: Reply,
    discussion: Discussion,
    kind: type[ReplyFact],
    *,
    trace: Trace | None = None,
    **facts: Any,
) -> None:
    """The next version of a reply, whose row the caller has locked, and its fact."""
    reply.version += 1
    event = kind(
        reply=reply.uuid,
        discussion=discussion.uuid,
        forum=discussion.forum,
        course=discussion.course,
        author=reply.author,
        discussion_author=discussion.author,
        **facts,
    )
    record(session, event, reply.version, trace=trace)


async def post_reply(
    session: AsyncSession,
    who: Principal,
    discussion_uuid: UUID,
    content: str,
    parent_uuid: UUID | None,
    *,
    is_chat: bool = False,
    client_id: str | None = None,
) -> Reply:
    """Post a reply with the discussion's next number. The same `client_id` of an author again gives the reply
    that is there."""
    discussion, place = await access_discussion(session, who, discussion_uuid, lock=True)
    if client_id is not None:
        posted = await session.scalar(
            select(Reply).where(
                Reply.discussion == discussion.uuid,
                Reply.author == who.user,
                Reply.client_id == client_id,
            )
        )
        if posted is not None:
            return posted
    check_not_locked(discussion, place)
    parent = await _access_parent(session, discussion, parent_uuid)
    discussion.last_seq += 1
    discussion.replies_count += 1
    reply = Reply(
        uuid=uuid4(),
        version=0,
        discussion=discussion.uuid,
        parent=parent_uuid,
        author=who.user,
        content=content,
        seq=discussion.last_seq,
        is_chat=is_chat,
        client_id=client_id,
        is_instructor_reply=place.is_instructor,
        is_solution=False,
        upvotes=0,
    )
    session.add(reply)
    mentions = await find_mentions(session, content, discussion.course, who.user, discussion.uuid)
    told = [*mentions, discussion.author, parent.author if parent else None]
    publish(
        session,
        reply,
        discussion,
        ReplyPosted,
        parent=parent_uuid,
        parent_author=parent.author if parent else None,
        is_chat=is_chat,
        is_instructor_reply=reply.is_instructor_reply,
        mentions=tuple(mentions),
        readers=tuple(await readers_of(session, discussion.course, told)),
    )
    wake_room(session, room_of(discussion.uuid))
    await session.flush()
    return reply


async def _access_parent(session: AsyncSession, discussion: Discussion, uuid: UUID | None) -> Reply | None:
    """The reply that is answered. Raises ParentElsewhere, ReplyDeleted."""
    if uuid is None:
        return None
    parent = await session.get(Reply, uuid)
    if parent is None or parent.discussion != discussion.uuid:
        raise errors.ParentElsewhere
    if parent.deleted_at is not None:
        raise errors.ReplyDeleted
    return parent


async def change_reply(
    session: AsyncSession, who: Principal, uuid: UUID, content: str, if_match: Precondition, now: datetime
) -> Reply:
    """The author edits the text; the same text again changes nothing."""
    reply, discussion, place = await access_reply(session, who, uuid, lock=True)
    if reply.author != who.user:
        raise errors.NotAuthor
    check_not_locked(discussion, place)
    if_match.check(reply.version)
    if content != reply.content:
        mentions = await find_new_mentions(
            session, reply.content, content, discussion.course, who.user, discussion.uuid
        )
        reply.content = content
        reply.edited_at = now
        publish(session, reply, discussion, ReplyChanged, actor=who.user, mentions=mentions)
    return reply


async def delete_reply(
    session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition, now: datetime
) -> None:
    """The author, staff or an instructor takes a reply away; its number in the discussion stays."""
    reply, discussion, place = await access_reply(session, who, uuid, with_discussion=True)
    if reply.author != who.user and not place.may_moderate:
        raise errors.NotAuthor("Only its author, staff and instructors delete it.")
    check_not_locked(discussion, place)
    if_match.check(reply.version)
    hide_reply(session, reply, discussion, who.user, now)


def hide_reply(
    session: AsyncSession, reply: Reply, discussion: Discussion, actor: UUID, now: datetime
) -> None:
    """Mark a locked reply of a locked discussion as deleted; a solution is withdrawn first."""
    if reply.is_solution:
        _unmark(session, reply, discussion, actor)
        set_resolved(session, discussion, actor, False)
    reply.deleted_at = now
    reply.deleted_by = actor
    discussion.replies_count -= 1
    publish(session, reply, discussion, ReplyChanged, actor=actor)


async def upvote_reply(session: AsyncSession, who: Principal, uuid: UUID) -> Reply:
    """Upvote, or take the upvote back. One per person, and none for a reply of one's own."""
    reply, discussion, place = await access_reply(session, who, uuid, lock=True)
    if reply.author == who.user:
        raise errors.OwnReply
    check_not_locked(discussion, place)
    voted = await session.execute(
        insert(Upvote).values(reply=reply.uuid, user=who.user).on_conflict_do_nothing().returning(Upvote.user)
    )
    if voted.first() is not None:
        reply.upvotes += 1
        kind: type[ReplyFact] = ReplyUpvoted
    else:
        await session.execute(delete(Upvote).where(Upvote.reply == reply.uuid, Upvote.user == who.user))
        reply.upvotes -= 1
        kind = ReplyUpvoteWithdrawn
    publish(session, reply, discussion, kind, voter=who.user, upvotes=reply.upvotes)
    await session.flush()
    return reply


async def mark_solution(session: AsyncSession, who: Principal, uuid: UUID) -> Reply:
    """Mark a reply as the solution in place of any other, which resolves the discussion; or undo both."""
    reply, discussion, place = await access_reply(session, who, uuid, with_discussion=True)
    if discussion.author != who.user and not place.may_moderate:
        raise errors.NotAuthor("Only the author of the discussion, staff and instructors mark its solution.")
    check_not_locked(discussion, place)
    marked = not reply.is_solution
    if marked:
        before = await session.scalar(
            select(Reply)
            .where(Reply.discussion == discussion.uuid, Reply.is_solution)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if before is not None:
            _unmark(session, before, discussion, who.user)
            await session.flush()  # before the next one is marked: there is only one at any time
        reply.is_solution = True
        readers = tuple(await readers_of(session, discussion.course, [reply.author]))
        publish(session, reply, discussion, SolutionMarked, actor=who.user, readers=readers)
    else:
        _unmark(session, reply, discussion, who.user)
    set_resolved(session, discussion, who.user, marked)
    await session.flush()
    return reply


def _unmark(session: AsyncSession, reply: Reply, discussion: Discussion, actor: UUID) -> None:
    reply.is_solution = False
    publish(session, reply, discussion, SolutionUnmarked, actor=actor)


async def flag_reply(session: AsyncSession, who: Principal, uuid: UUID, reason: str) -> None:
    _, discussion, _ = await access_reply(session, who, uuid)
    await flag(session, who, discussion.uuid, uuid, reason)
