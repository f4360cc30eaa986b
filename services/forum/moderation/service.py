"""What moderators decide: dismiss reports, delete, restore. Every act is kept with its actor and reason."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.audit_log import write_entry
from libs.common.events.forum import DiscussionChanged, ReplyChanged
from libs.common.live.hub import wake_room
from libs.common.runtime.errors import NotFound
from libs.common.security.tokens import Principal
from services.forum import errors
from services.forum.access import standing_of
from services.forum.discussions.service import hide_discussion
from services.forum.discussions.service import publish as publish_discussion
from services.forum.models import Discussion, Flag, ModerationAct, Reply
from services.forum.replies.service import hide_reply, room_of
from services.forum.replies.service import publish as publish_reply


@dataclass(frozen=True, slots=True)
class Post:
    """A discussion, or a reply in it; both locked."""

    discussion: Discussion
    reply: Reply | None

    @property
    def is_deleted(self) -> bool:
        return (self.reply or self.discussion).deleted_at is not None

    @property
    def flags(self) -> ColumnElement[bool]:
        reply = Flag.reply.is_(None) if self.reply is None else Flag.reply == self.reply.uuid
        return and_(Flag.discussion == self.discussion.uuid, reply)


async def access_post(session: AsyncSession, who: Principal, uuid: UUID) -> Post:
    """A discussion or reply by its id, deleted or not, for those who moderate its forum."""
    within = await session.scalar(select(Reply.discussion).where(Reply.uuid == uuid))
    discussion = await session.get(Discussion, within or uuid, with_for_update=True)
    if discussion is None:
        raise NotFound
    place = await standing_of(session, who, discussion.course)
    if not place.may_enter:
        raise NotFound
    if not place.may_moderate:
        raise errors.NotModerator
    reply = await session.get(Reply, uuid, with_for_update=True) if within else None
    return Post(discussion, reply)


async def decide(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    action: Literal["dismiss", "delete"],
    reason: str,
    now: datetime,
) -> Post:
    """Close the open reports of a post, and delete it if so decided."""
    post = await access_post(session, who, uuid)
    if action == "delete" and not post.is_deleted:
        if post.reply is not None:
            hide_reply(session, post.reply, post.discussion, who.user, now)
        else:
            hide_discussion(session, post.discussion, who.user, now)
    await session.execute(update(Flag).where(post.flags, Flag.resolved_at.is_(None)).values(resolved_at=now))
    await _note(session, who, post, action, reason)
    await session.flush()
    return post


async def restore(session: AsyncSession, who: Principal, uuid: UUID, reason: str) -> Post:
    """Bring a deleted post back; one that is not deleted stays as it is."""
    post = await access_post(session, who, uuid)
    if post.is_deleted:
        if post.reply is not None:
            post.reply.deleted_at = post.reply.deleted_by = None
            post.discussion.replies_count += 1
            publish_reply(session, post.reply, post.discussion, ReplyChanged, actor=who.user)
            wake_room(session, room_of(post.discussion.uuid))
        else:
            post.discussion.deleted_at = post.discussion.deleted_by = None
            publish_discussion(session, post.discussion, DiscussionChanged, actor=who.user)
        await _note(session, who, post, "restore", reason)
        await session.flush()
    return post


async def _note(session: AsyncSession, who: Principal, post: Post, action: str, reason: str) -> None:
    target = post.reply or post.discussion
    await write_entry(session, f"post_{action}", target.uuid, actor=who.user, reason=reason)
    session.add(
        ModerationAct(
            actor=who.user,
            action=action,
            discussion=post.discussion.uuid,
            reply=post.reply.uuid if post.reply else None,
            reason=reason,
        )
    )
