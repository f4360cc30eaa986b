"""Bodies of the media library (api.md §3)."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from libs.common.web.schemas import Body, Identifier, Length, Moment, PlainText, Uri

Kind = Literal["video", "audio", "image", "document", "presentation", "archive"]
KINDS: tuple[str, ...] = Kind.__args__  # type: ignore[attr-defined]
Title = Annotated[PlainText, Length(1, 200)]


class MediaUpdate(Body):
    title: Title = ""

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"title": "Slides of week one"}]}}


class UploadCreate(Body):
    """A file that is to come in parts."""

    name: Annotated[PlainText, Length(1, 255)]
    length: int = Field(ge=1, le=2**53, description="bytes of the whole file")
    title: Annotated[PlainText, Length(0, 200)] = Field("", description="without it: the name")

    model_config = Body.model_config | {
        "json_schema_extra": {"examples": [{"name": "lecture-1.mp4", "length": 48_000_000}]}
    }


class UploadRead(BaseModel):
    """Where an upload stands: the next part begins at `offset`. `media` is the file, once it is finished."""

    uuid: UUID
    title: PlainText
    name: PlainText
    length: int = Field(description="bytes")
    offset: int = Field(validation_alias="received", description="bytes")
    media: UUID | None
    created_at: Moment
    expires_at: Moment

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)


class MediaUse(BaseModel):
    """A lesson that has the file among its resources, in the working structure or as published."""

    course: UUID
    course_title: PlainText
    lesson: UUID
    lesson_title: PlainText


class MediaRead(BaseModel):
    uuid: UUID
    owner: UUID
    title: PlainText
    name: PlainText
    kind: Kind
    media_type: Identifier
    size: int = Field(description="bytes")
    sha256: Identifier
    variants: dict[str, Uri] | None = Field(
        description="of a picture: signed URLs of WebP by width (320, 640, 1280), for the caller alone"
    )
    usage_count: int
    used_in: list[MediaUse]
    created_at: Moment
    updated_at: Moment


class MediaDownload(BaseModel):
    """A signed URL that takes range requests until `expires_at`."""

    url: Uri
    expires_at: Moment
