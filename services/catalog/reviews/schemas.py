"""Bodies of reviews (api.md §3)."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from libs.common.web.schemas import Answer, Body, Length, Moment, PlainText, Uri

Stars = Annotated[int, Field(ge=1, le=5)]
Comment = Annotated[PlainText, Length(0, 5000)]


class ReviewCreate(Body):
    course: UUID
    rating: Stars
    comment: Comment = ""

    model_config = Body.model_config | {
        "json_schema_extra": {
            "examples": [
                {
                    "course": "00000020-0000-4000-8000-000000000020",
                    "rating": 5,
                    "comment": "Every proof fits on a napkin.",
                }
            ]
        }
    }


class ReviewUpdate(Body):
    """Changes of a review: fields left out stay; `course` is accepted if it is the review's."""

    course: UUID | None = None
    rating: Stars = 5
    comment: Comment = ""

    model_config = Body.model_config | {"json_schema_extra": {"examples": [{"rating": 4}]}}


class ReviewRead(Answer):
    """A review; the name is "" once its author is erased."""

    uuid: UUID
    course: UUID
    student: UUID
    student_name: PlainText
    student_avatar: Uri | None
    rating: int
    comment: PlainText
    helpful_count: int
    is_helpful: bool = Field(description="whether the caller finds it helpful")
    is_own: bool
    created_at: Moment
    updated_at: Moment
