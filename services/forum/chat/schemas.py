"""Frames that clients of the chat send."""

from typing import Annotated, Literal
from uuid import UUID

from libs.common.web.schemas import Body, Length, PlainText
from services.forum.schemas import Content


class ChatMessageCreate(Body):
    action: Literal["message"]
    content: Content
    client_id: Annotated[PlainText, Length(1, 100)] | None = None
    parent: UUID | None = None
