"""Bodies of forums and discussions."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from libs.common.web.schemas import Body, Length, Markdown, Moment, PlainText, SafeHtml
from services.forum.rules import DiscussionType
from services.forum.schemas import AuthoredRead, Content, PersonSummary, Title


class ForumCreate(Body):
    title: Title
    description: Annotated[PlainText, Length(0, 2000)] = ""

    model_config = Body.model_config | {
        "json_schema_extra": {"examples": [{"title": "Café", "description": "Everything else."}]}
    }


class ForumRead(BaseModel):
    uuid: UUID
    course: UUID | None
    course_title: PlainText | None
    title: PlainText
    description: PlainText
    discussions_count: int
    created_at: Moment
    updated_at: Moment


class DiscussionCreate(Body):
    forum: UUID
    title: Title
    content: Content
    discussion_type: DiscussionType = "discussion"

    model_config = Body.model_config | {
        "json_schema_extra": {
            "examples": [
                {
                    "forum": "7d0b1a52-7f3c-4b5e-9c3a-0a5b9f3c2d11",
                    "title": "Why is the sky blue?",
                    "content": "The lesson says *scattering*. @ada_lovelace, do you know more?",
                    "discussion_type": "question",
                }
            ]
        }
    }


class DiscussionUpdate(Body):
    title: Title | None = None
    content: Content | None = None
    discussion_type: DiscussionType | None = None
    forum: UUID | None = Field(None, description="read only here, see `move/`; accepted unchanged")

    @model_validator(mode="after")
    def _no_nulls(self) -> "DiscussionUpdate":
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class PinRequest(Body):
    is_pinned: bool | None = Field(None, description="without it: the other way round")


class LockRequest(Body):
    is_locked: bool | None = Field(None, description="without it: the other way round")


class ResolveRequest(Body):
    is_resolved: bool | None = Field(None, description="without it: the other way round")


class FollowRequest(Body):
    is_following: bool | None = Field(None, description="without it: the other way round")


class MoveRequest(Body):
    forum: UUID


class ReplySummary(BaseModel):
    uuid: UUID
    author: PersonSummary
    author_name: PlainText
    content: Markdown
    created_at: Moment


class DiscussionRead(AuthoredRead):
    """`content` is the source; `content_html` is it rendered and sanitised."""

    uuid: UUID
    forum: UUID
    course: UUID | None
    course_title: PlainText | None
    title: PlainText
    content: Markdown
    content_html: SafeHtml
    discussion_type: DiscussionType
    is_pinned: bool
    is_locked: bool
    is_resolved: bool
    is_following: bool
    views_count: int
    replies_count: int
    latest_reply: ReplySummary | None
    solution: UUID | None
    created_at: Moment
    updated_at: Moment
    edited_at: Moment | None
