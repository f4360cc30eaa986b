"""Bodies of moderation."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel

from libs.common.web.schemas import Body, Length, Markdown, Moment, PlainText, SafeHtml
from services.forum.schemas import AuthoredRead, PersonSummary

Reason = Annotated[PlainText, Length(0, 1000)]


class ModerationRequest(Body):
    action: Literal["dismiss", "delete"]
    reason: Reason = ""


class RestoreRequest(Body):
    reason: Reason = ""


class FlagRead(BaseModel):
    reporter: PersonSummary
    reason: PlainText
    created_at: Moment


class ModerationItemRead(AuthoredRead):
    """A post that was reported: `uuid` is that of the discussion or the reply."""

    uuid: UUID
    kind: Literal["discussion", "reply"]
    discussion: UUID
    forum: UUID
    course: UUID | None
    title: PlainText
    content: Markdown
    content_html: SafeHtml
    is_deleted: bool
    flags: list[FlagRead]
    created_at: Moment
