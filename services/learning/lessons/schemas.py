"""Bodies of the lesson calls."""

from math import floor, isfinite
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from libs.common.web.schemas import Answer, Body, Moment, PlainText
from services.learning.enrollments.rules import HEARTBEAT_LIMIT

NOTES_LIMIT = 65_536


def _whole(value: Any) -> Any:
    """Players tell fractions of a second."""
    return floor(value) if isinstance(value, float) and isfinite(value) else value


Seconds = Annotated[int, BeforeValidator(_whole), Field(ge=0)]


def _fits(notes: str) -> str:
    if len(notes.encode("utf-8", "surrogatepass")) > NOTES_LIMIT:
        raise ValueError("must not be larger than 64 KB")
    return notes


class LessonCompletion(Answer):
    progress_percentage: float
    course_completed: bool


class HeartbeatRequest(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"position_seconds": 90, "seconds_spent": 30}]})

    position_seconds: Seconds | None = Field(
        None, le=1_000_000, description="where to resume; none: as it was"
    )
    seconds_spent: Seconds = Field(
        0,
        le=86_400,
        description=f"since the last heartbeat; {HEARTBEAT_LIMIT} of them count, if so many have passed",
    )


class HeartbeatRead(Answer):
    lesson: UUID
    position_seconds: int
    seconds_counted: int
    study_seconds: int


class LessonProgressRead(Answer):
    lesson: UUID
    position_seconds: int
    study_seconds: int
    is_completed: bool
    completed_at: Moment | None


class NotesUpdate(Body):
    model_config = Body.model_config | ConfigDict(str_strip_whitespace=False)

    notes: Annotated[PlainText, AfterValidator(_fits)]


class NotesRead(Answer):
    lesson: UUID
    notes: PlainText
    updated_at: Moment | None
