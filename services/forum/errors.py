"""What forum refuses, by name."""

from libs.common.runtime.errors import Conflict, Forbidden, TooManyRequests, Unprocessable


class DiscussionLocked(Conflict):
    code = "discussion_locked"
    detail = "This discussion is closed: it takes nothing but from staff and instructors."


class OwnReply(Forbidden):
    code = "own_reply"
    detail = "Nobody upvotes a reply of their own."


class NotModerator(Forbidden):
    detail = "This is for the staff and for the instructors of the course."


class NotAuthor(Forbidden):
    detail = "Only its author changes it."


class ParentElsewhere(Unprocessable):
    code = "parent_elsewhere"
    detail = "parent: must be a reply of the same discussion."


class ReplyDeleted(Conflict):
    code = "reply_deleted"
    detail = "This reply was deleted."


class PostingTooFast(TooManyRequests):
    code = "posting_too_fast"
    detail = "That is too much at once: wait a moment before you write again."


class UnknownAction(Unprocessable):
    code = "unknown_action"
    detail = "action takes one of: message, typing, resume."
