"""Bodies of the media library (api.md §3)."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from libs.common.schemas import Body, Moment, Text

Kind = Literal["video", "audio", "image", "document", "presentation", "archive"]
KINDS: tuple[str, ...] = Kind.__args__  # type: ignore[attr-defined]
Title = Annotated[Text, StringConstraints(min_length=1, max_length=200)]


class MediaChange(Body):
    title: Title = ""

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"title": "Slides of week one"}]}}


class Use(BaseModel):
    """A lesson that has the file among its resources, in the working structure or as published."""

    course: UUID
    course_title: str
    lesson: UUID
    lesson_title: str


class MediaAnswer(BaseModel):
    uuid: UUID
    owner: UUID
    title: str
    name: str
    kind: Kind
    media_type: str
    size: int = Field(description="bytes")
    sha256: str
    usage_count: int
    used_in: list[Use]
    created_at: Moment
    updated_at: Moment


class Download(BaseModel):
    """A signed URL that takes range requests until `expires_at`."""

    url: str
    expires_at: Moment
