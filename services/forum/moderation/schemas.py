"""Bodies of moderation."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, StringConstraints

from libs.common.schemas import Body, Moment, Text
from services.forum.schemas import Authored, PersonAnswer

Reason = Annotated[Text, StringConstraints(max_length=1000)]


class Decision(Body):
    action: Literal["dismiss", "delete"]
    reason: Reason = ""


class Restoration(Body):
    reason: Reason = ""


class FlagAnswer(BaseModel):
    reporter: PersonAnswer
    reason: str
    created_at: Moment


class ModerationItem(Authored):
    """A post that was reported: `uuid` is that of the discussion or the reply."""

    uuid: UUID
    kind: Literal["discussion", "reply"]
    discussion: UUID
    forum: UUID
    course: UUID | None
    title: str
    content: str
    content_html: str
    is_deleted: bool
    flags: list[FlagAnswer]
    created_at: Moment
