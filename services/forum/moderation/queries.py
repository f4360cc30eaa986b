"""The moderation queue: reported posts, and how they look to moderators."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.auth import is_staff
from libs.common.security.tokens import Principal
from libs.common.web.richtext import as_html
from services.forum.access import taught_by
from services.forum.models import Discussion, Flag, Reply
from services.forum.queries import author_fields, people_by_id, person_answer


def find_flagged(who: Principal, course: UUID | None, is_resolved: bool) -> Select[Any]:
    """Ids of reported posts, those that wait longest first; instructors see those of their courses."""
    post = func.coalesce(Flag.reply, Flag.discussion)
    query = (
        select(post.label("post"))
        .join(Discussion, Discussion.uuid == Flag.discussion)
        .where(Flag.resolved_at.is_not(None) if is_resolved else Flag.resolved_at.is_(None))
        .group_by(post)
        .order_by(func.min(Flag.created_at), post)
    )
    if not is_staff(who):
        query = query.where(Discussion.course.in_(taught_by(who)))
    if course is not None:
        query = query.where(Discussion.course == course)
    return query


async def moderation_items(session: AsyncSession, posts: Sequence[UUID]) -> list[dict[str, Any]]:
    """Posts with their reports, in the order of `posts`."""
    replies = {r.uuid: r for r in await session.scalars(select(Reply).where(Reply.uuid.in_(posts)))}
    discussions = {
        d.uuid: d
        for d in await session.scalars(
            select(Discussion).where(
                Discussion.uuid.in_([*posts, *(reply.discussion for reply in replies.values())])
            )
        )
    }
    post = func.coalesce(Flag.reply, Flag.discussion)
    flags = (await session.scalars(select(Flag).where(post.in_(posts)).order_by(Flag.created_at))).all()
    people = await people_by_id(
        session,
        {f.reporter for f in flags}
        | {r.author for r in replies.values()}
        | {d.author for d in discussions.values()},
    )
    items = []
    for uuid in posts:
        reply = replies.get(uuid)
        discussion = discussions[reply.discussion if reply else uuid]
        written: Reply | Discussion = reply or discussion
        items.append(
            {
                "uuid": uuid,
                "kind": "reply" if reply else "discussion",
                "discussion": discussion.uuid,
                "forum": discussion.forum,
                "course": discussion.course,
                "title": discussion.title,
                "content": written.content,
                "content_html": as_html(written.content),
                **author_fields(people, written.author),
                "is_deleted": written.deleted_at is not None,
                "flags": [
                    {
                        "reporter": person_answer(people, each.reporter),
                        "reason": each.reason,
                        "created_at": each.created_at,
                    }
                    for each in flags
                    if (each.reply or each.discussion) == uuid
                ],
                "created_at": written.created_at,
            }
        )
    return items
