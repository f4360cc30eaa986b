"""Reads of replies, and how they look to clients."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from libs.common.web.richtext import as_html
from services.forum.models import Reply, Upvote
from services.forum.queries import author_fields, people_by_id

MOST_DEPTH = 50


def find_replies(discussion: UUID, parent: UUID | None) -> Select[Any]:
    """The replies right below `parent`, or those at the top; deleted ones only where somebody answered."""
    answer = aliased(Reply)
    answered = exists().where(answer.parent == Reply.uuid)
    return select(Reply).where(
        Reply.discussion == discussion,
        Reply.parent.is_(None) if parent is None else Reply.parent == parent,
        or_(Reply.deleted_at.is_(None), answered),
    )


async def replies_below(session: AsyncSession, roots: Sequence[UUID]) -> Sequence[Reply]:
    """Every reply below `roots`, however deep, in the order in which they were posted."""
    tree = select(Reply.uuid).where(Reply.parent.in_(roots)).cte("below", recursive=True)
    tree = tree.union_all(select(Reply.uuid).join(tree, Reply.parent == tree.c.uuid))
    rows = await session.scalars(select(Reply).where(Reply.uuid.in_(select(tree.c.uuid))).order_by(Reply.seq))
    return rows.all()


async def reply_trees(session: AsyncSession, roots: Sequence[Reply], reader: UUID) -> list[dict[str, Any]]:
    """`roots` with all that is below them; a deleted reply stays where something living hangs on it.

    Below `MOST_DEPTH` answers stand beside what they answer, so that no chain is too deep to be read.
    """
    below = await replies_below(session, [root.uuid for root in roots])
    flat = await reply_answers(session, [*roots, *below], reader)
    trees, nested = flat[: len(roots)], flat[len(roots) :]
    depth = {tree["uuid"]: 0 for tree in trees}
    host: dict[UUID, UUID] = {}
    for answer in nested:  # an answer is newer than what it answers
        parent = answer["parent"]
        deep = depth[parent] >= MOST_DEPTH
        host[answer["uuid"]] = host[parent] if deep else parent
        depth[answer["uuid"]] = depth[parent] + (not deep)
    children: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for answer in reversed(nested):
        answer["children"] = children.pop(answer["uuid"], [])[::-1]
        if answer["children"] or not answer["is_deleted"]:
            children[host[answer["uuid"]]].append(answer)
    for tree in trees:
        tree["children"] = children.pop(tree["uuid"], [])[::-1]
    return trees


async def reply_answers(
    session: AsyncSession, replies: Sequence[Reply], reader: UUID
) -> list[dict[str, Any]]:
    """Replies without their children, as `reader` sees them."""
    voted = set(
        await session.scalars(
            select(Upvote.reply).where(
                Upvote.user == reader, Upvote.reply.in_([reply.uuid for reply in replies if reply.upvotes])
            )
        )
    )
    people = await people_by_id(session, {reply.author for reply in replies})
    return [
        {
            "uuid": reply.uuid,
            "discussion": reply.discussion,
            "parent": reply.parent,
            "seq": reply.seq,
            "content": "" if reply.deleted_at else reply.content,
            "content_html": "" if reply.deleted_at else as_html(reply.content),
            **author_fields(people, reply.author),
            "is_chat": reply.is_chat,
            "is_instructor_reply": reply.is_instructor_reply,
            "is_solution": reply.is_solution,
            "is_deleted": reply.deleted_at is not None,
            "upvotes": reply.upvotes,
            "has_upvoted": reply.uuid in voted,
            "children": [],
            "created_at": reply.created_at,
            "updated_at": reply.updated_at,
            "edited_at": reply.edited_at,
        }
        for reply in replies
    ]


async def replies_after(session: AsyncSession, discussion: UUID, seq: int, most: int) -> Sequence[Reply]:
    rows = await session.scalars(
        select(Reply).where(Reply.discussion == discussion, Reply.seq > seq).order_by(Reply.seq).limit(most)
    )
    return rows.all()
