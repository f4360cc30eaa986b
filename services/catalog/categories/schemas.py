"""Bodies of categories."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from libs.common.web.schemas import Body, Identifier, Length, PlainText
from services.catalog.courses.schemas import CategoryName, CategorySummary, OptionalSlug, Slug

Name = Annotated[PlainText, Length(1, 100)]
Long = Annotated[PlainText, Length(0, 5000)]
Place = Annotated[int, Field(ge=0, le=1_000_000)]


class CategoryCreate(Body):
    """A new category. `parent` is an id or a slug; without `slug` one is made of the name."""

    name: Name
    slug: OptionalSlug = None
    description: Long = ""
    parent: CategoryName = None
    order: Place = 0

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"name": "Mathematics"}]}}


class CategoryUpdate(Body):
    """Changes of a category: fields left out stay; `parent: null` makes it a root."""

    name: Name = ""
    slug: Slug = ""
    description: Long = ""
    parent: CategoryName = None
    order: Place = 0

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"name": "Maths"}]}}


class CategoryRead(BaseModel):
    """A category; the list holds them all, parents before their children."""

    uuid: UUID
    name: PlainText
    slug: Identifier
    description: PlainText
    parent: UUID | None
    order: int
    depth: int
    courses_count: int = Field(description="published courses in it and below it")
    children: list[CategorySummary]
