"""Bodies that discussions and replies share."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel

from libs.common.web.schemas import Body, Identifier, Length, Markdown, PlainText, Uri

Content = Annotated[Markdown, Length(1, 20_000)]
Title = Annotated[PlainText, Length(3, 200)]


class PersonSummary(BaseModel):
    uuid: UUID
    full_name: PlainText
    avatar: Uri | None
    role: Identifier


class AuthoredRead(BaseModel):
    """Who wrote it: as a card, and flat."""

    author: PersonSummary
    author_name: PlainText
    author_avatar: Uri | None
    author_role: Identifier


class FlagCreate(Body):
    reason: Annotated[PlainText, Length(0, 1000)] = ""


class FlaggedRead(BaseModel):
    flagged: bool


class DeletedRead(BaseModel):
    deleted: bool
