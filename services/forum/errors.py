"""What forum refuses, by name."""

from libs.common.errors import Conflict, Forbidden, Unprocessable


class DiscussionLocked(Conflict):
    code = "discussion_locked"
    detail = "This discussion is closed to replies."


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


class UnknownAction(Unprocessable):
    code = "unknown_action"
    detail = "action takes one of: message, typing, resume."
