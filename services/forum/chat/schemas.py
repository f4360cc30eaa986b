"""Frames that clients of the chat send."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints

from libs.common.schemas import Body, Text
from services.forum.schemas import Content


class ChatMessage(Body):
    action: Literal["message"]
    content: Content
    client_id: Annotated[Text, StringConstraints(min_length=1, max_length=100)] | None = None
    parent: UUID | None = None
