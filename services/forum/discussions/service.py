"""What people do with forums and discussions: one function per intent, under the discussion's row lock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record, record_tombstone
from libs.common.events.forum import (
    DiscussionChanged,
    DiscussionFact,
    DiscussionLocked,
    DiscussionPinned,
    DiscussionReopened,
    DiscussionResolved,
    DiscussionStarted,
    DiscussionState,
    DiscussionUnlocked,
    DiscussionUnpinned,
    ForumCreated,
)
from libs.common.runtime.errors import Unprocessable
from libs.common.runtime.trace import Trace
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.forum import errors
from services.forum.access import access_discussion, access_discussion_as_moderator, access_forum
from services.forum.discussions.schemas import DiscussionCreate, DiscussionUpdate, ForumCreate
from services.forum.models import Discussion, Flag, Follow, Forum
from services.forum.queries import find_mentions, find_new_mentions
from services.forum.rules import Standing, may_post, may_write


async def make_course_forums(session: AsyncSession, courses: Mapping[UUID, tuple[str, Trace]]) -> None:
    """Make the forum of every course that has none; the course is unique, so each is made once."""
    if not courses:
        return
    rows = [
        {"uuid": uuid4(), "version": 1, "course": course, "title": courses[course][0], "description": ""}
        for course in sorted(courses)  # two batches insert in the same order
    ]
    made = await session.execute(
        insert(Forum)
        .values(rows)
        .on_conflict_do_nothing(index_elements=["course"])
        .returning(Forum.uuid, Forum.course)
    )
    for uuid, course in made.all():
        assert course is not None
        record(session, ForumCreated(forum=uuid, course=course), 1, trace=courses[course][1])


async def create_forum(session: AsyncSession, body: ForumCreate) -> Forum:
    """Make a platform forum."""
    forum = Forum(uuid=uuid4(), version=1, course=None, **body.model_dump())
    session.add(forum)
    record(session, ForumCreated(forum=forum.uuid, course=None), forum.version)
    await session.flush()
    return forum


def publish(
    session: AsyncSession,
    discussion: Discussion,
    kind: type[DiscussionFact],
    *,
    trace: Trace | None = None,
    **facts: Any,
) -> None:
    """The next version of a discussion, whose row the caller has locked: its fact, and the state after it."""
    discussion.version += 1
    event = kind(
        discussion=discussion.uuid,
        forum=discussion.forum,
        course=discussion.course,
        author=discussion.author,
        discussion_type=discussion.discussion_type,
        **facts,
    )
    record(session, event, discussion.version, trace=trace)
    publish_state(session, discussion, trace)


def publish_state(session: AsyncSession, discussion: Discussion, trace: Trace | None = None) -> None:
    """Tell what a discussion, whose row the caller has locked, is called now; a deleted one is not there."""
    if discussion.deleted_at is not None:
        record_tombstone(session, DiscussionState, discussion.uuid, discussion.version, trace=trace)
    else:
        state = DiscussionState(
            uuid=discussion.uuid,
            forum=discussion.forum,
            course=discussion.course,
            author=discussion.author,
            title=discussion.title,
            discussion_type=discussion.discussion_type,
        )
        record(session, state, discussion.version, trace=trace)
    discussion.state_version = discussion.version


async def publish_states(session: AsyncSession, most: int) -> int:
    """Tell the states that were not told: those from before `forum.discussions`, and what an older release
    changes while it still runs. Returns how many."""
    behind = await session.scalars(
        select(Discussion)
        .where(Discussion.state_version < Discussion.version)
        .order_by(Discussion.uuid)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    found = behind.all()
    for discussion in found:
        publish_state(session, discussion)
    await session.flush()
    return len(found)


async def start_discussion(session: AsyncSession, who: Principal, body: DiscussionCreate) -> Discussion:
    """Open a discussion. Announcements are for staff and instructors."""
    forum, place = await access_forum(session, who, body.forum)
    if not may_post(body.discussion_type, place):
        raise errors.NotModerator("Announcements are for staff and instructors.")
    discussion = Discussion(
        uuid=uuid4(),
        version=0,
        forum=forum.uuid,
        course=forum.course,
        author=who.user,
        title=body.title,
        content=body.content,
        discussion_type=body.discussion_type,
    )
    session.add(discussion)
    mentions = await find_mentions(session, body.content, forum.course, who.user, None)
    publish(session, discussion, DiscussionStarted, mentions=tuple(mentions))
    await session.flush()
    return discussion


def check_not_locked(discussion: Discussion, place: Standing) -> None:
    """Raises DiscussionLocked for everybody but staff and instructors."""
    if not may_write(discussion.is_locked, place):
        raise errors.DiscussionLocked


async def view_discussion(session: AsyncSession, who: Principal, uuid: UUID) -> Discussion:
    """A discussion, with one more view; views are no change and have no version."""
    discussion, _ = await access_discussion(session, who, uuid)
    await session.execute(
        update(Discussion)
        .where(Discussion.uuid == uuid)
        .values(views_count=Discussion.views_count + 1, updated_at=Discussion.updated_at)
        .execution_options(synchronize_session=False)
    )
    await session.refresh(discussion)
    return discussion


async def change_discussion(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    body: DiscussionUpdate,
    if_match: Precondition,
    now: datetime,
) -> Discussion:
    """The author edits the text; the same text again changes nothing."""
    discussion, place = await access_discussion(session, who, uuid, lock=True)
    if discussion.author != who.user:
        raise errors.NotAuthor
    check_not_locked(discussion, place)
    if_match.check(discussion.version)
    changes = body.model_dump(exclude_unset=True)
    if changes.pop("forum", discussion.forum) != discussion.forum:
        raise Unprocessable.field("forum", "is read only here: use move/")
    changes = {name: value for name, value in changes.items() if getattr(discussion, name) != value}
    if not may_post(changes.get("discussion_type", "discussion"), place):
        raise errors.NotModerator("Announcements are for staff and instructors.")
    if changes:
        mentions = await find_new_mentions(
            session,
            discussion.content,
            changes.get("content", discussion.content),
            discussion.course,
            who.user,
            discussion.uuid,
        )
        for name, value in changes.items():
            setattr(discussion, name, value)
        discussion.edited_at = now
        publish(session, discussion, DiscussionChanged, actor=who.user, mentions=mentions)
    return discussion


async def delete_discussion(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    if_match: Precondition,
    now: datetime,
) -> None:
    """The author, staff or an instructor takes a discussion away; moderation can restore it."""
    discussion, place = await access_discussion(session, who, uuid, lock=True)
    if discussion.author != who.user and not place.may_moderate:
        raise errors.NotAuthor("Only its author, staff and instructors delete it.")
    check_not_locked(discussion, place)
    if_match.check(discussion.version)
    hide_discussion(session, discussion, who.user, now)


def hide_discussion(
    session: AsyncSession,
    discussion: Discussion,
    actor: UUID,
    now: datetime,
) -> None:
    """Mark a locked discussion as deleted. Its rows stay, because its versions are published."""
    discussion.deleted_at = now
    discussion.deleted_by = actor
    publish(session, discussion, DiscussionChanged, actor=actor)


async def pin_discussion(
    session: AsyncSession, who: Principal, uuid: UUID, wanted: bool | None
) -> Discussion:
    discussion = await access_discussion_as_moderator(session, who, uuid)
    pinned = not discussion.is_pinned if wanted is None else wanted
    if pinned != discussion.is_pinned:
        discussion.is_pinned = pinned
        kind = DiscussionPinned if pinned else DiscussionUnpinned
        publish(session, discussion, kind, actor=who.user)
    return discussion


async def lock_discussion(
    session: AsyncSession, who: Principal, uuid: UUID, wanted: bool | None
) -> Discussion:
    discussion = await access_discussion_as_moderator(session, who, uuid)
    locked = not discussion.is_locked if wanted is None else wanted
    if locked != discussion.is_locked:
        discussion.is_locked = locked
        kind = DiscussionLocked if locked else DiscussionUnlocked
        publish(session, discussion, kind, actor=who.user)
    return discussion


async def resolve_discussion(
    session: AsyncSession, who: Principal, uuid: UUID, wanted: bool | None
) -> Discussion:
    """The author, staff or an instructor says whether a discussion is resolved; a solution stays marked."""
    discussion, place = await access_discussion(session, who, uuid, lock=True)
    if discussion.author != who.user and not place.may_moderate:
        raise errors.NotAuthor("Only its author, staff and instructors resolve it.")
    check_not_locked(discussion, place)
    set_resolved(session, discussion, who.user, not discussion.is_resolved if wanted is None else wanted)
    return discussion


def set_resolved(session: AsyncSession, discussion: Discussion, actor: UUID, resolved: bool) -> None:
    """Set the state of a locked discussion; the same again is no change."""
    if resolved != discussion.is_resolved:
        discussion.is_resolved = resolved
        kind = DiscussionResolved if resolved else DiscussionReopened
        publish(session, discussion, kind, actor=actor)


async def move_discussion(session: AsyncSession, who: Principal, uuid: UUID, forum: UUID) -> Discussion:
    """Move a discussion with its replies to a forum that the caller moderates too."""
    discussion = await access_discussion_as_moderator(session, who, uuid)
    target, place = await access_forum(session, who, forum)
    if not place.may_moderate:
        raise errors.NotModerator
    if target.uuid != discussion.forum:
        discussion.forum, discussion.course = target.uuid, target.course
        publish(session, discussion, DiscussionChanged, actor=who.user)
    return discussion


async def follow_discussion(
    session: AsyncSession, who: Principal, uuid: UUID, wanted: bool | None
) -> Discussion:
    """Follow or no longer; what one person reads is no change of the discussion."""
    discussion, _ = await access_discussion(session, who, uuid, lock=True)
    mine = (Follow.discussion == uuid, Follow.user == who.user)
    following = await session.scalar(select(Follow).where(*mine)) is not None
    if not following and wanted is not False:
        session.add(Follow(discussion=uuid, user=who.user))
    elif following and wanted is not True:
        await session.execute(delete(Follow).where(*mine))
    await session.flush()
    return discussion


async def flag(
    session: AsyncSession, who: Principal, discussion: UUID, reply: UUID | None, reason: str
) -> None:
    """Report a post that the caller may see; again while it is undecided is the same report."""
    await session.execute(
        insert(Flag)
        .values(uuid=uuid4(), discussion=discussion, reply=reply, reporter=who.user, reason=reason)
        .on_conflict_do_nothing()
    )


async def flag_discussion(session: AsyncSession, who: Principal, uuid: UUID, reason: str) -> None:
    await access_discussion(session, who, uuid)
    await flag(session, who, uuid, None, reason)
