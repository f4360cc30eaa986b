"""What forum holds of a person, and what becomes of it.

Posts stay, for others have answered them: without a name, since that is only in the replica. What their
author had deleted loses its text, and mentions of the person in others' posts become `@[erased]`. Follows,
presence and the words of reports go; votes stay under the bare id, for they are counted.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.forum import (
    DiscussionRedacted,
    ExportPartFailed,
    ExportPartPacked,
    PersonErased,
    ReplyRedacted,
)
from libs.common.privacy.content import PersonalData, rows_of
from libs.common.privacy.parts import GONE, Erasure, Privacy
from libs.common.runtime.trace import Trace
from services.forum.discussions.service import publish as publish_discussion
from services.forum.models import (
    Course,
    Discussion,
    Enrollment,
    Flag,
    Follow,
    ModerationAct,
    Person,
    Presence,
    PrivacyPart,
    Reply,
    Upvote,
)
from services.forum.queries import find_mentions
from services.forum.replies.service import publish as publish_reply
from services.forum.rules import without_mentions


async def gather(session: AsyncSession, user: UUID) -> PersonalData:
    """What one wrote, in the chat too, and what one did with the posts of others."""
    discussions = await rows_of(
        session,
        select(
            Discussion.uuid, Course.title.label("course"), Discussion.title, Discussion.content,
            Discussion.discussion_type.label("type"), Discussion.created_at, Discussion.edited_at,
            Discussion.deleted_at,
        )
        .outerjoin(Course, Course.uuid == Discussion.course)
        .where(Discussion.author == user)
        .order_by(Discussion.created_at),
    )  # fmt: skip
    replies = await rows_of(
        session,
        select(
            Reply.uuid, Discussion.title.label("discussion"), Reply.content, Reply.is_chat,
            Reply.is_solution, Reply.upvotes, Reply.created_at, Reply.edited_at, Reply.deleted_at,
        )
        .join(Discussion, Discussion.uuid == Reply.discussion)
        .where(Reply.author == user)
        .order_by(Reply.created_at),
    )  # fmt: skip
    reports = await rows_of(
        session,
        select(Flag.discussion, Flag.reply, Flag.reason, Flag.created_at, Flag.resolved_at)
        .where(Flag.reporter == user)
        .order_by(Flag.created_at),
    )
    moderation = await rows_of(
        session,
        select(
            ModerationAct.action, ModerationAct.discussion, ModerationAct.reply, ModerationAct.reason,
            ModerationAct.created_at,
        )
        .where(ModerationAct.actor == user)
        .order_by(ModerationAct.id),
    )  # fmt: skip
    return PersonalData(
        {
            "discussions": discussions,
            "replies_and_chat_messages": replies,
            "upvoted_replies": await rows_of(session, select(Upvote.reply).where(Upvote.user == user)),
            "followed_discussions": await rows_of(
                session, select(Follow.discussion).where(Follow.user == user)
            ),
            "reports": reports,
            "moderation": moderation,
        }
    )


async def erase(erasure: Erasure) -> None:
    session, user = erasure.session, erasure.user
    erasure.rows += await forget_mentions(session, user, erasure.trace)
    erasure.rows += await _blank_deleted(session, user, erasure.trace)
    await erasure.run(delete(Follow).where(Follow.user == user))
    await erasure.run(delete(Presence).where(Presence.user == user))
    await erasure.run(update(Flag).where(Flag.reporter == user).values(reason=GONE))
    await erasure.run(delete(Person).where(Person.uuid == user))


async def forget_mentions(session: AsyncSession, user: UUID, trace: Trace) -> int:
    """Take somebody's name out of the posts that mention them; nothing once the replica has lost the name.

    The full name goes wherever they could be mentioned, the first name where it means nobody else.
    """
    person = await session.get(Person, user)
    if person is None or not person.folded_name:
        return 0
    courses = select(Enrollment.course).where(Enrollment.student == user)
    circle = select(Discussion.uuid).where(
        or_(
            Discussion.course.in_(courses),
            Discussion.course.in_(select(Course.uuid).where(Course.instructors.contains([user]))),
            Discussion.author == user,
            Discussion.uuid.in_(select(Reply.discussion).where(Reply.author == user)),
        )
    )
    first_letter = f"%@{person.folded_name[0]}%"
    discussions, replies = await _lock(
        session,
        Discussion.uuid.in_(circle) & Discussion.content.ilike(first_letter),
        Reply.discussion.in_(circle) & Reply.content.ilike(first_letter),
    )
    meant: dict[UUID, set[str]] = {}
    count = 0
    posts: list[tuple[Discussion | Reply, Discussion]] = [(post, post) for post in discussions]
    posts += [(post, await _place(session, post)) for post in replies]
    for post, place in posts:
        if place.uuid not in meant:
            others = await find_mentions(
                session, f"@{person.folded_first_name}", place.course, user, place.uuid
            )
            meant[place.uuid] = {person.folded_name} | ({person.folded_first_name} if not others else set())
        content = without_mentions(post.content, meant[place.uuid])
        if content != post.content:
            post.content = content
            _publish(session, post, place, trace)
            count += 1
    await session.flush()
    return count


async def _blank_deleted(session: AsyncSession, user: UUID, trace: Trace) -> int:
    """Nobody reads what its author took away: it need not be kept for the talk's sake."""
    discussions, replies = await _lock(
        session,
        (Discussion.author == user) & Discussion.deleted_at.is_not(None) & (Discussion.content != GONE),
        (Reply.author == user) & Reply.deleted_at.is_not(None) & (Reply.content != GONE),
    )
    for discussion in discussions:
        discussion.title = discussion.content = GONE
        _publish(session, discussion, discussion, trace)
    for reply in replies:
        reply.content = GONE
        _publish(session, reply, await _place(session, reply), trace)
    await session.flush()
    return len(discussions) + len(replies)


async def _lock(
    session: AsyncSession, discussions: ColumnElement[bool], replies: ColumnElement[bool]
) -> tuple[list[Discussion], list[Reply]]:
    """Posts by condition, locked in the service's order: discussions, then replies."""
    found_discussions = await session.scalars(
        select(Discussion)
        .where(discussions)
        .order_by(Discussion.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    locked = list(found_discussions)
    found_replies = await session.scalars(
        select(Reply)
        .where(replies)
        .order_by(Reply.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return locked, list(found_replies)


async def _place(session: AsyncSession, reply: Reply) -> Discussion:
    return await session.get_one(Discussion, reply.discussion)


def _publish(session: AsyncSession, post: Discussion | Reply, place: Discussion, trace: Trace) -> None:
    """The next version of a locked post whose text has lost a name."""
    if isinstance(post, Reply):
        publish_reply(session, post, place, ReplyRedacted, trace=trace)
    else:
        publish_discussion(session, post, DiscussionRedacted, trace=trace)


PRIVACY = Privacy("forum", PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, erase)
