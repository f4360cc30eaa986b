"""Bodies that discussions and replies share."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, StringConstraints

from libs.common.schemas import Body, ShortText, Text

Content = Annotated[Text, StringConstraints(min_length=1, max_length=20_000)]
Title = Annotated[ShortText, StringConstraints(min_length=3, max_length=200)]


class PersonAnswer(BaseModel):
    uuid: UUID
    full_name: str
    avatar: str | None
    role: str


class Authored(BaseModel):
    """Who wrote it: as a card, and flat."""

    author: PersonAnswer
    author_name: str
    author_avatar: str | None
    author_role: str


class NewFlag(Body):
    reason: Annotated[Text, StringConstraints(max_length=1000)] = ""


class Flagged(BaseModel):
    flagged: bool


class Deleted(BaseModel):
    deleted: bool
