"""Bodies of tags."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from libs.common.web.schemas import Body, Identifier, Length, PlainText, Stripped

TagName = Annotated[PlainText, Length(1, 50), Stripped]


class TagCreate(Body):
    name: TagName

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"name": "Graphs"}]}}


class TagUpdate(Body):
    name: TagName = ""

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"name": "Graph theory"}]}}


class TagRead(BaseModel):
    uuid: UUID
    name: PlainText
    slug: Identifier
    courses_count: int = Field(description="published courses that carry it")
