"""Bodies of replies."""

from uuid import UUID

from libs.common.web.schemas import Body, Markdown, Moment, SafeHtml
from services.forum.schemas import AuthoredRead, Content


class ReplyCreate(Body):
    discussion: UUID
    content: Content
    parent: UUID | None = None

    model_config = Body.model_config | {
        "json_schema_extra": {
            "examples": [
                {"discussion": "7d0b1a52-7f3c-4b5e-9c3a-0a5b9f3c2d11", "content": "Because of **Rayleigh**."}
            ]
        }
    }


class ReplyUpdate(Body):
    content: Content


class ReplyRead(AuthoredRead):
    """`content` is the source; `content_html` is it rendered and sanitised. A deleted reply stays,
    without text, where others answered it or where its number is needed."""

    uuid: UUID
    discussion: UUID
    parent: UUID | None
    seq: int
    content: Markdown
    content_html: SafeHtml
    is_chat: bool
    is_instructor_reply: bool
    is_solution: bool
    is_deleted: bool
    upvotes: int
    has_upvoted: bool
    children: list["ReplyRead"]
    created_at: Moment
    updated_at: Moment
    edited_at: Moment | None
