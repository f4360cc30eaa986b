"""Bodies of the lesson calls."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from libs.common.richtext import RichText
from libs.common.schemas import Answer, Body, Moment, Text
from services.learning.enrollments.rules import HEARTBEAT_LIMIT

NOTES_LIMIT = 65_536


def _fits(notes: str) -> str:
    if len(notes.encode("utf-8", "surrogatepass")) > NOTES_LIMIT:
        raise ValueError("must not be larger than 64 KB")
    return notes


class LessonCompletion(Answer):
    progress_percentage: float
    course_completed: bool


class HeartbeatBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"position_seconds": 90, "seconds_spent": 30}]})

    position_seconds: int = Field(0, ge=0, le=1_000_000, description="where to resume")
    seconds_spent: int = Field(0, ge=0, le=HEARTBEAT_LIMIT, description="since the last heartbeat")


class HeartbeatOut(Answer):
    lesson: UUID
    position_seconds: int
    seconds_counted: int
    study_seconds: int


class NotesBody(Body):
    notes: Annotated[Text, AfterValidator(_fits)]


class NotesOut(Answer):
    lesson: UUID
    notes: RichText
    updated_at: Moment | None
