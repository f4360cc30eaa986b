"""Bodies and answers of courses (api.md §3)."""

import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, StringConstraints, model_validator

from libs.common.events.fields import CourseLevel, CourseStatus
from libs.common.web.paging import Page
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
from services.catalog.content.schemas import LessonRead, ModuleRead, OptionalUrl
from services.catalog.reviews.schemas import ReviewRead
from services.catalog.tags.schemas import TagName

Title = Annotated[PlainText, Length(3, 200)]
Description = Annotated[Markdown, Length(50, 50_000)]
Long = Annotated[PlainText, Length(0, 20_000)]
Short = Annotated[PlainText, Length(0, 500)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100), Stripped]
OptionalSlug = Annotated[Slug | None, EmptyIsNone]
Hours = Annotated[
    Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] | None,
    EmptyIsNone,
]
Limit = Annotated[Annotated[int, Field(ge=1, le=1_000_000)] | None, EmptyIsNone]
CategoryName = Annotated[
    Annotated[Identifier, StringConstraints(max_length=100)] | None, EmptyIsNone, Stripped
]


def _language(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}", value):
        raise ValueError("must be a BCP 47 language tag")
    return value


def _distinct(values: list[str]) -> list[str]:
    """Each tag once, whatever its case, in the order given."""
    return list({value.casefold(): value for value in reversed(values)}.values())[::-1]


Language = Annotated[Identifier, AfterValidator(_language), Stripped]
TagNames = Annotated[list[TagName], Field(max_length=20), AfterValidator(_distinct)]


class CourseCreate(Body):
    """A new course, which is a draft. `category` is an id or a slug."""

    title: Title
    description: Description
    short_description: Short = ""
    learning_outcomes: Long = Field("", description="one per line")
    prerequisites: Long = ""
    level: CourseLevel = "beginner"
    language: Language = "en"
    duration_hours: Hours = None
    category: CategoryName = None
    tags: TagNames = []
    enrollment_limit: Limit = None
    preview_video: OptionalUrl = None
    is_featured: bool = Field(False, description="true: managers only")
    slug: OptionalSlug = None
    status: Literal["draft"] = Field("draft", description="accepted; publishing is a call of its own")

    model_config = Body.model_config | {
        "json_schema_extra": {
            "examples": [
                {
                    "title": "Graphs from the ground up",
                    "description": "Vertices, edges, walks and trees, with proofs that fit on a napkin.",
                    "level": "beginner",
                    "category": "mathematics",
                    "tags": ["graphs"],
                }
            ]
        }
    }


class CourseUpdate(Body):
    """Changes of a course: fields left out stay. A changed `status` publishes, unpublishes or archives."""

    title: Title = ""
    description: Description = ""
    short_description: Short = ""
    learning_outcomes: Long = ""
    prerequisites: Long = ""
    level: CourseLevel = "beginner"
    language: Language = "en"
    duration_hours: Hours = None
    category: CategoryName = None
    tags: TagNames = []
    enrollment_limit: Limit = None
    preview_video: OptionalUrl = None
    is_featured: bool = False
    slug: Slug = ""
    status: CourseStatus = "draft"

    model_config = Body.model_config | {
        "json_schema_extra": {"examples": [{"title": "Graphs, gently", "status": "published"}]}
    }


class CoursePublishRequest(Body):
    """The time of publication: now without `publish_at`, at most ten years ahead; `null` cancels a plan."""

    publish_at: AwareDatetime | None = None

    model_config = Body.model_config | {
        "json_schema_extra": {"examples": [{"publish_at": "2026-09-01T06:00:00Z"}]}
    }

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, body: Any) -> Any:
        if isinstance(body, dict) and body.get("publish_at") == "":
            return {name: value for name, value in body.items() if name != "publish_at"}
        return body


class InstructorsUpdate(Body):
    """The new list of co-instructors; the owner stays, listed or not."""

    instructors: Annotated[list[UUID], Field(max_length=20)]


class PrerequisitesUpdate(Body):
    """The new list of courses that must be completed before enrolling."""

    prerequisites: Annotated[list[UUID], Field(max_length=20)]


class CategorySummary(BaseModel):
    uuid: UUID
    name: PlainText
    slug: Identifier


class InstructorSummary(BaseModel):
    """An instructor; `email` is shown to the course's instructors only."""

    uuid: UUID
    full_name: PlainText
    name: PlainText
    email: Identifier | None = None
    avatar: Uri | None
    bio: PlainText
    role: Identifier


class StudentSummary(BaseModel):
    uuid: UUID
    name: PlainText


class CourseSummary(BaseModel):
    uuid: UUID
    title: PlainText
    slug: Identifier
    short_description: PlainText
    thumbnail: Uri | None
    thumbnail_variants: dict[str, Uri] | None = Field(description="URLs by width: 320, 640, 1280")
    preview_video: Uri | None
    is_featured: bool
    status: CourseStatus
    level: CourseLevel
    language: Identifier
    category: CategorySummary | None
    category_name: PlainText | None
    tags: list[PlainText]
    instructor: InstructorSummary
    instructor_name: PlainText
    instructor_avatar: Uri | None
    duration_hours: float = Field(description="as the authors say, or else what the lessons take")
    enrollment_limit: int | None
    enrolled_count: int
    enrollment_count: int
    enrolled_students_count: int
    average_rating: float
    reviews_count: int
    total_lessons: int
    is_enrolled: bool
    views_count: int
    created_at: Moment
    updated_at: Moment
    published_at: Moment | None
    enrolled_students: list[StudentSummary] | None = Field(None, description="for the course's instructors")


class FacetValue(BaseModel):
    value: Identifier
    count: int


class CategoryFacet(CategorySummary):
    count: int


class Facets(BaseModel):
    """How many courses each filter would leave; a facet ignores its own filter."""

    category: list[CategoryFacet]
    level: list[FacetValue]
    language: list[FacetValue]
    tag: list[FacetValue] = Field(description="the fifty most used")


class CourseList(Page[CourseSummary]):
    facets: Facets | None = Field(None, description="with `facets=true`")


class PrerequisiteSummary(BaseModel):
    uuid: UUID
    title: PlainText
    slug: Identifier
    status: CourseStatus


class CourseRead(CourseSummary):
    """The whole course as the caller sees it: the published revision, or for its editors the working one."""

    description: Markdown
    description_html: SafeHtml
    learning_outcomes: PlainText
    prerequisites: PlainText
    prerequisite_courses: list[PrerequisiteSummary]
    instructors: list[InstructorSummary]
    revision: int | None
    has_draft_changes: bool | None = Field(
        description="for editors: whether publish/ would show something new"
    )
    can_edit: bool
    publish_at: Moment | None = Field(description="for editors: when it will be published by itself")
    modules: list[ModuleRead]
    lessons: list[LessonRead]
    reviews: list[ReviewRead] = Field(description="the ten newest")
    my_review: ReviewRead | None
    is_favorite: bool


class CourseRemoval(BaseModel):
    """What became of a course that was to be deleted."""

    detail: PlainText
    status: Literal["deleted", "archived"]


class InstructorsRead(BaseModel):
    instructors: list[InstructorSummary]


class PrerequisitesRead(BaseModel):
    prerequisites: list[PrerequisiteSummary]
