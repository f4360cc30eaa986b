"""Bodies of tags."""

from uuid import UUID

from pydantic import BaseModel, Field

from libs.common.web.schemas import Body, Identifier, PlainText
from services.catalog.courses.schemas import TagName


class NewTag(Body):
    name: TagName

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"name": "Graphs"}]}}


class TagChange(Body):
    name: TagName = ""

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"name": "Graph theory"}]}}


class TagAnswer(BaseModel):
    uuid: UUID
    name: PlainText
    slug: Identifier
    courses_count: int = Field(description="published courses that carry it")
