"""Bodies and answers of modules and lessons (api.md §3)."""

import re
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from libs.common.events.fields import ContentType
from libs.common.web.schemas import (
    Body,
    EmptyIsNone,
    Identifier,
    Length,
    Markdown,
    Moment,
    PlainText,
    SafeHtml,
    Stripped,
    Uri,
)

Title = Annotated[PlainText, Length(1, 200)]
Long = Annotated[PlainText, Length(0, 20_000)]
# A lesson's text stays below the limit of a JSON body.
LessonText = Annotated[Markdown, Length(0, 500_000)]
Position = Annotated[Annotated[int, Field(ge=0, le=1_000_000)] | None, EmptyIsNone]
Minutes = Annotated[Annotated[int, Field(ge=0, le=100_000)] | None, EmptyIsNone]
Seconds = Annotated[Annotated[int, Field(ge=0, le=1_000_000)] | None, EmptyIsNone]
Points = Annotated[int, Field(ge=0, le=100_000)]


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s<>\"]{3,2000}", value):
        raise ValueError("must be an http or https URL")
    return value


OptionalUrl = Annotated[
    Annotated[Uri, StringConstraints(max_length=2048), AfterValidator(_url)] | None, EmptyIsNone, Stripped
]


class ModuleCreate(Body):
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


class ModuleUpdate(Body):
    """Changes of a module: fields left out stay; `course` is accepted if it is the module's."""

    course: UUID | None = None
    title: Title = ""
    description: Long = ""
    order: Position = None

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"title": "First steps"}]}}


class ResourceInput(Body):
    """A file of the media library; without a title, the file's title is shown."""

    media: UUID
    title: Annotated[PlainText, Length(0, 200)] = ""


TEXTS = frozenset({"text_source", "text_content", "content"})


class _LessonFields(Body):
    """Fields of a lesson; the text has three names and the minutes have two, for clients of both forms."""

    description: Long = ""
    text_source: LessonText = ""
    text_content: LessonText = Field("", description="the same as text_source")
    content: LessonText = Field("", description="the same as text_source")
    video_url: OptionalUrl = None
    video_duration: Seconds = Field(None, description="seconds")
    order: Position = None
    estimated_time_minutes: Minutes = None
    duration_minutes: Minutes = Field(None, description="the same as estimated_time_minutes")
    is_preview: bool = False
    is_published: bool = Field(True, description="false keeps it out of the next revision")
    points: Points = 0
    resources: Annotated[list[ResourceInput], Field(max_length=50)] = []

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        both = {"estimated_time_minutes", "duration_minutes"} <= self.model_fields_set
        if both and self.estimated_time_minutes != self.duration_minutes:
            raise ValueError(
                "estimated_time_minutes and duration_minutes are two names of one field and must not differ"
            )
        return self

    def texts(self) -> set[str]:
        """The texts that were sent, under any of the three names."""
        return {getattr(self, name) for name in TEXTS & self.model_fields_set}

    def given(self) -> dict[str, Any]:
        """The fields that were sent, by column name; the text as `texts`."""
        values = {name: getattr(self, name) for name in self.model_fields_set - TEXTS}
        if "duration_minutes" in values:
            values["estimated_time_minutes"] = values.pop("duration_minutes")
        if "resources" in values:
            values["resources"] = [
                {"media": str(each.media), "title": each.title} for each in values["resources"]
            ]
        return values | {"texts": self.texts()}


class LessonCreate(_LessonFields):
    module: UUID
    title: Title
    content_type: ContentType
    requires_submission: bool | None = Field(None, description="true for an assignment unless said otherwise")

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if len(self.texts()) > 1:
            raise ValueError("text_content and content are names of text_source and must not differ")
        return self

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


class LessonUpdate(_LessonFields):
    """Changes of a lesson: fields left out stay; `module` moves it.

    A text that is sent back as it was shown, as source or rendered, changes nothing.
    """

    module: UUID = UUID(int=0)
    title: Title = ""
    content_type: ContentType = "text"
    requires_submission: bool = False

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"is_preview": True}]}}


class ModuleOrderInput(Body):
    uuid: UUID
    lessons: Annotated[list[UUID], Field(max_length=2000)] = []


class CourseReorderRequest(Body):
    """All modules and lessons of a course in their new order; lessons may move between modules."""

    modules: Annotated[list[ModuleOrderInput], Field(max_length=500)]


class LessonFileRead(BaseModel):
    """A lesson's file; `url` is signed: for the caller and their session, or for anybody and five minutes."""

    name: PlainText
    media_type: Identifier
    size: int
    sha256: Identifier
    uploaded_at: Moment
    url: Uri


class ResourceRead(BaseModel):
    """A file of the library; `url` is signed as a lesson's file is."""

    media: UUID
    title: PlainText
    name: PlainText
    kind: Identifier
    media_type: Identifier
    size: int
    url: Uri


class LessonRead(BaseModel):
    """A lesson. Readers without access get the outline: `is_locked`, and null in place of content."""

    uuid: UUID
    course: UUID
    module: UUID
    title: PlainText
    description: PlainText | None
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
    text_content: SafeHtml | None
    content: SafeHtml | None = Field(description="the same as text_content")
    text_html: SafeHtml | None = Field(description="the same as text_content")
    text_source: Markdown | None = Field(description="as written")
    video_url: Uri | None
    file: LessonFileRead | None
    file_url: Uri | None
    file_attachment: Uri | None = Field(description="the same as file_url: lasts as long as the page is read")
    resources: list[ResourceRead]


class ModuleRead(BaseModel):
    uuid: UUID
    course: UUID
    title: PlainText
    description: PlainText
    order: int
    lessons: list[LessonRead]


class CourseOrderRead(BaseModel):
    modules: list[ModuleRead]
