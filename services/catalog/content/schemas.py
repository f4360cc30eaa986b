"""Bodies of modules and lessons (api.md §3)."""

import re
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from libs.common.events.fields import ContentType
from libs.common.richtext import RichText
from libs.common.schemas import Body, EmptyIsNone, Moment, Text


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL")
    return value


Title = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
Long = Annotated[Text, StringConstraints(max_length=20_000)]
# A lesson's text stays below the limit of a JSON body.
# It is kept as written: four leading spaces mean something in Markdown.
LessonText = Annotated[
    str, StringConstraints(max_length=500_000, strip_whitespace=False), AfterValidator(_no_nul)
]
Position = Annotated[Annotated[int, Field(ge=0, le=1_000_000)] | None, EmptyIsNone]
Minutes = Annotated[Annotated[int, Field(ge=0, le=100_000)] | None, EmptyIsNone]
Seconds = Annotated[Annotated[int, Field(ge=0, le=1_000_000)] | None, EmptyIsNone]
Points = Annotated[int, Field(ge=0, le=100_000)]


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s<>\"]{3,2000}", value):
        raise ValueError("must be an http or https URL")
    return value


OptionalUrl = Annotated[
    Annotated[Text, StringConstraints(max_length=2048), AfterValidator(_url)] | None, EmptyIsNone
]


class NewModule(Body):
    course: UUID
    title: Title
    description: Long = ""
    order: Position = None

    model_config = Body.model_config | {
        "json_schema_extra": {
            "examples": [
                {"course": "00000020-0000-4000-8000-000000000020", "title": "First steps", "order": 1}
            ]
        }
    }


class ModuleChange(Body):
    """What is left out stays; `course` is accepted while it does not change."""

    course: UUID | None = None
    title: Title = ""
    description: Long = ""
    order: Position = None

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"title": "First steps"}]}}


class Resource(Body):
    """A file of the media library; without a title it shows the file's."""

    media: UUID
    title: Annotated[Text, StringConstraints(max_length=200)] = ""


class _LessonFields(Body):
    """Both names of a lesson's text and of its minutes are taken; the two of a pair must not differ."""

    description: Long = ""
    text_content: LessonText = ""
    content: LessonText = Field("", description="the same as text_content")
    video_url: OptionalUrl = None
    video_duration: Seconds = Field(None, description="seconds")
    order: Position = None
    estimated_time_minutes: Minutes = None
    duration_minutes: Minutes = Field(None, description="the same as estimated_time_minutes")
    is_preview: bool = False
    is_published: bool = Field(True, description="false keeps it out of the next revision")
    points: Points = 0
    resources: Annotated[list[Resource], Field(max_length=50)] = []

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        for name, other in (("text_content", "content"), ("estimated_time_minutes", "duration_minutes")):
            both = {name, other} <= self.model_fields_set
            if both and getattr(self, name) != getattr(self, other):
                raise ValueError(f"{name} and {other} are two names of one field and must not differ")
        return self

    def given(self) -> dict[str, Any]:
        """What the client sent, under the names of the columns."""
        values = {name: getattr(self, name) for name in self.model_fields_set}
        for name, other in (("text_content", "content"), ("estimated_time_minutes", "duration_minutes")):
            if other in values:
                values[name] = values.pop(other)
        if "resources" in values:
            values["resources"] = [
                {"media": str(each.media), "title": each.title} for each in values["resources"]
            ]
        return values


class NewLesson(_LessonFields):
    module: UUID
    title: Title
    content_type: ContentType
    requires_submission: bool | None = Field(None, description="true for an assignment unless said otherwise")

    model_config = Body.model_config | {
        "json_schema_extra": {
            "examples": [
                {
                    "module": "00000023-0000-4000-8000-000000000023",
                    "title": "What a graph is",
                    "content_type": "text",
                    "text_content": "A set of *vertices* and a set of *edges*.",
                    "estimated_time_minutes": 8,
                }
            ]
        }
    }


class LessonChange(_LessonFields):
    """What is left out stays; `module` moves the lesson."""

    module: UUID = UUID(int=0)
    title: Title = ""
    content_type: ContentType = "text"
    requires_submission: bool = False

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"is_preview": True}]}}


class FileAnswer(BaseModel):
    """A lesson's file; `url` is signed and lives five minutes."""

    name: str
    media_type: str
    size: int
    sha256: str
    uploaded_at: Moment
    url: str


class ResourceAnswer(BaseModel):
    """A file of the library; `url` is signed and lives five minutes."""

    media: UUID
    title: str
    name: str
    kind: str
    media_type: str
    size: int
    url: str


class LessonAnswer(BaseModel):
    """A lesson. Whoever may not read its body gets the outline: `is_locked`, and null in place of content."""

    uuid: UUID
    course: UUID
    module: UUID
    title: str
    description: RichText | None
    content_type: ContentType
    order: int
    estimated_time_minutes: int | None
    duration_minutes: int | None
    video_duration: int | None
    is_preview: bool
    is_published: bool
    points: int
    requires_submission: bool
    is_completed: bool
    is_locked: bool
    text_content: str | None = Field(description="as written, without what could act in a browser")
    content: str | None
    text_html: str | None = Field(description="rendered and sanitised")
    video_url: str | None
    file: FileAnswer | None
    file_url: str | None
    resources: list[ResourceAnswer]


class ModuleAnswer(BaseModel):
    uuid: UUID
    course: UUID
    title: str
    description: RichText
    order: int
    lessons: list[LessonAnswer]


class Done(BaseModel):
    """An answer that only says what was done."""

    detail: str
