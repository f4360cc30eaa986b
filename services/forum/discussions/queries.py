"""Reads of forums and discussions, and how they look to clients."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from libs.common.security.tokens import Principal
from libs.common.web.richtext import as_html
from services.forum.access import visible_to
from services.forum.models import Course, Discussion, Follow, Forum, Reply
from services.forum.queries import author_fields, people_by_id, person_answer

EXCERPT = 200


def find_forums(who: Principal, course: UUID | None, search: str | None) -> Select[Any]:
    """The forums that `who` may enter; those of courses that are gone are left out."""
    title = func.coalesce(Course.title, Forum.title)
    query = (
        select(Forum)
        .join(Course, Course.uuid == Forum.course, isouter=True)
        .where(visible_to(who, Forum.course), or_(Forum.course.is_(None), Course.uuid.is_not(None)))
        .order_by(Forum.course.is_not(None), func.lower(title), Forum.uuid)
    )
    if course is not None:
        query = query.where(Forum.course == course)
    if search:
        query = query.where(title.icontains(search, autoescape=True))
    return query


def find_discussions(
    who: Principal,
    *,
    forum: UUID | None,
    course: UUID | None,
    author: UUID | None,
    kind: str | None,
    is_resolved: bool | None,
    search: str | None,
) -> Select[Any]:
    query = select(Discussion).where(Discussion.deleted_at.is_(None), visible_to(who, Discussion.course))
    wanted = {
        Discussion.forum: forum,
        Discussion.course: course,
        Discussion.author: author,
        Discussion.discussion_type: kind,
        Discussion.is_resolved: is_resolved,
    }
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if search:
        texts = (Discussion.title, Discussion.content)
        query = query.where(or_(*(text.icontains(search, autoescape=True) for text in texts)))
    return query


async def titles_of(session: AsyncSession, ids: set[UUID]) -> dict[UUID, str]:
    rows = await session.execute(select(Course.uuid, Course.title).where(Course.uuid.in_(ids)))
    return {uuid: title for uuid, title in rows}


async def forum_answers(session: AsyncSession, forums: Sequence[Forum]) -> list[dict[str, Any]]:
    titles = await titles_of(session, {forum.course for forum in forums if forum.course})
    rows = await session.execute(
        select(Discussion.forum, func.count())
        .where(Discussion.forum.in_([forum.uuid for forum in forums]), Discussion.deleted_at.is_(None))
        .group_by(Discussion.forum)
    )
    counts = {uuid: number for uuid, number in rows}
    answers = []
    for forum in forums:
        course_title = titles.get(forum.course) if forum.course else None
        answers.append(
            {
                "uuid": forum.uuid,
                "course": forum.course,
                "course_title": course_title,
                "title": course_title or forum.title,
                "description": forum.description,
                "discussions_count": counts.get(forum.uuid, 0),
                "created_at": forum.created_at,
                "updated_at": forum.updated_at,
            }
        )
    return answers


async def discussion_answers(
    session: AsyncSession, discussions: Sequence[Discussion], who: Principal
) -> list[dict[str, Any]]:
    ids = [discussion.uuid for discussion in discussions]
    latest = await latest_replies(session, ids)
    rows = await session.execute(
        select(Reply.discussion, Reply.uuid).where(Reply.discussion.in_(ids), Reply.is_solution)
    )
    solutions = {discussion: reply for discussion, reply in rows}
    followed = set(
        await session.scalars(
            select(Follow.discussion).where(Follow.discussion.in_(ids), Follow.user == who.user)
        )
    )
    titles = await titles_of(session, {d.course for d in discussions if d.course})
    people = await people_by_id(
        session, {d.author for d in discussions} | {reply.author for reply in latest.values()}
    )
    return [
        {
            "uuid": d.uuid,
            "forum": d.forum,
            "course": d.course,
            "course_title": titles.get(d.course) if d.course else None,
            "title": d.title,
            "content": d.content,
            "content_html": as_html(d.content),
            "discussion_type": d.discussion_type,
            **author_fields(people, d.author),
            "is_pinned": d.is_pinned,
            "is_locked": d.is_locked,
            "is_resolved": d.is_resolved,
            "is_following": d.uuid in followed,
            "views_count": d.views_count,
            "replies_count": d.replies_count,
            "latest_reply": _latest(latest.get(d.uuid), people),
            "solution": solutions.get(d.uuid),
            "created_at": d.created_at,
            "updated_at": d.updated_at,
            "edited_at": d.edited_at,
        }
        for d in discussions
    ]


def _latest(reply: Reply | None, people: dict[UUID, Any]) -> dict[str, Any] | None:
    if reply is None:
        return None
    author = person_answer(people, reply.author)
    # Shortened before it is made harmless: half a tag must not come out.
    return {
        "uuid": reply.uuid,
        "author": author,
        "author_name": author["full_name"],
        "content": reply.content[:EXCERPT],
        "created_at": reply.created_at,
    }


async def latest_replies(session: AsyncSession, discussions: Sequence[UUID]) -> dict[UUID, Reply]:
    """The newest reply of each discussion that is not deleted."""
    candidate = aliased(Reply)
    newest = (
        select(candidate.uuid)
        .where(candidate.discussion == Discussion.uuid, candidate.deleted_at.is_(None))
        .order_by(candidate.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = await session.scalars(
        select(Reply).join(Discussion, Reply.uuid == newest).where(Discussion.uuid.in_(discussions))
    )
    return {reply.discussion: reply for reply in rows}
