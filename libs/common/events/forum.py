"""Events of forum: facts, and what each discussion is called. What people write below the title never leaves
the service."""

from typing import Literal
from uuid import UUID

from libs.common.events.base import Event, State
from libs.common.events.fields import Count
from libs.common.events.privacy import Erased, PartFailed, PartPacked

DiscussionType = Literal["question", "discussion", "announcement"]


class ForumCreated(Event):
    """Trigger: a course appears and gets its forum, or staff make a platform forum (`course` null).
    Key: forum. Consumers: analytics."""

    type = "forum.forum_created.v1"
    topic = "forum.events"
    key_field = "forum"

    forum: UUID
    course: UUID | None


class DiscussionFact(Event):
    """What every fact of a discussion says."""

    topic = "forum.events"
    key_field = "discussion"

    discussion: UUID
    forum: UUID
    course: UUID | None
    author: UUID
    discussion_type: DiscussionType


class DiscussionStarted(DiscussionFact):
    """Trigger: somebody opens a discussion. Key: discussion. Consumers: analytics, notify."""

    type = "forum.discussion_started.v1"

    mentions: tuple[UUID, ...]


class DiscussionChanged(DiscussionFact):
    """Trigger: title, text, type or forum of a discussion change; `mentions` are those whom the new text
    mentions and the old one did not. Key: discussion. Consumers: analytics, notify."""

    type = "forum.discussion_changed.v1"

    actor: UUID
    mentions: tuple[UUID, ...] = ()


class DiscussionPinned(DiscussionFact):
    """Trigger: staff pin a discussion. Key: discussion. Consumers: analytics."""

    type = "forum.discussion_pinned.v1"

    actor: UUID


class DiscussionUnpinned(DiscussionFact):
    """Trigger: staff unpin a discussion. Key: discussion. Consumers: analytics."""

    type = "forum.discussion_unpinned.v1"

    actor: UUID


class DiscussionLocked(DiscussionFact):
    """Trigger: staff close a discussion to replies. Key: discussion. Consumers: analytics."""

    type = "forum.discussion_locked.v1"

    actor: UUID


class DiscussionUnlocked(DiscussionFact):
    """Trigger: staff open a locked discussion again. Key: discussion. Consumers: analytics."""

    type = "forum.discussion_unlocked.v1"

    actor: UUID


class DiscussionResolved(DiscussionFact):
    """Trigger: a discussion is marked resolved, by hand or with its solution. Key: discussion.
    Consumers: analytics."""

    type = "forum.discussion_resolved.v1"

    actor: UUID


class DiscussionReopened(DiscussionFact):
    """Trigger: a resolved discussion is open again, by hand or because its solution was withdrawn.
    Key: discussion. Consumers: analytics."""

    type = "forum.discussion_reopened.v1"

    actor: UUID


class DiscussionRedacted(DiscussionFact):
    """Trigger: somebody is erased whom the text mentions, or who wrote it and had deleted it.
    Key: discussion. Consumers: analytics."""

    type = "forum.discussion_redacted.v1"


class DiscussionState(State):
    """Trigger: every version of a discussion; a tombstone hides it, and a state after it brings it back.
    Key: uuid. Consumers: analytics, notify."""

    type = "forum.discussion.v1"
    topic = "forum.discussions"
    key_field = "uuid"

    uuid: UUID
    forum: UUID
    course: UUID | None
    author: UUID
    title: str
    discussion_type: DiscussionType


class ReplyFact(Event):
    """What every fact of a reply says; a chat message is a reply."""

    topic = "forum.events"
    key_field = "reply"

    reply: UUID
    discussion: UUID
    forum: UUID
    course: UUID | None
    author: UUID
    discussion_author: UUID


class ReplyPosted(ReplyFact):
    """Trigger: somebody replies, over HTTP or in the chat room. Key: reply. Consumers: analytics, notify."""

    type = "forum.reply_posted.v1"

    parent: UUID | None
    parent_author: UUID | None
    is_chat: bool
    is_instructor_reply: bool
    mentions: tuple[UUID, ...]
    readers: tuple[UUID, ...] | None = None
    """Of the mentioned and the authors above, those who may enter the forum now; null in older facts."""


class ReplyChanged(ReplyFact):
    """Trigger: the text of a reply is edited; `mentions` are those whom the new text mentions and the old one
    did not. Key: reply. Consumers: analytics, notify."""

    type = "forum.reply_changed.v1"

    actor: UUID
    mentions: tuple[UUID, ...] = ()


class ReplyRedacted(ReplyFact):
    """Trigger: somebody is erased whom the text mentions, or who wrote it and had deleted it. Key: reply.
    Consumers: analytics."""

    type = "forum.reply_redacted.v1"


class ReplyUpvoted(ReplyFact):
    """Trigger: somebody upvotes a reply; `upvotes` is the total with this one. Key: reply.
    Consumers: analytics."""

    type = "forum.reply_upvoted.v1"

    voter: UUID
    upvotes: Count


class ReplyUpvoteWithdrawn(ReplyFact):
    """Trigger: somebody takes their upvote back; `upvotes` is the total without it. Key: reply.
    Consumers: analytics."""

    type = "forum.reply_upvote_withdrawn.v1"

    voter: UUID
    upvotes: Count


class SolutionMarked(ReplyFact):
    """Trigger: a reply is marked as the solution; `discussion_resolved` is a fact of its own. Key: reply.
    Consumers: analytics, notify."""

    type = "forum.solution_marked.v1"

    actor: UUID
    readers: tuple[UUID, ...] | None = None
    """The author of the reply, unless they may not enter the forum any more; null in older facts."""


class SolutionUnmarked(ReplyFact):
    """Trigger: a reply is no longer the solution, undone or replaced by another. Key: reply.
    Consumers: analytics."""

    type = "forum.solution_unmarked.v1"

    actor: UUID


class ExportPartPacked(PartPacked):
    """Trigger: what forum holds of a person lies packed for their export. Key: job.
    Consumers: analytics, identity."""

    type = "forum.export_part_packed.v1"
    topic = "forum.privacy.events"


class ExportPartFailed(PartFailed):
    """Trigger: forum could not pack its part of an export. Key: job. Consumers: analytics, identity."""

    type = "forum.export_part_failed.v1"
    topic = "forum.privacy.events"


class PersonErased(Erased):
    """Trigger: forum has erased a person. Key: job. Consumers: analytics, identity."""

    type = "forum.person_erased.v1"
    topic = "forum.privacy.events"
