"""Field types that events of several services share."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with a zone, always carried in UTC."""

Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
"""A share from 0 to 100: progress, completion, the right part of one question."""

Grade = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Points or a percentage of them; extra credit may pass the maximum."""

Count = Annotated[int, Field(ge=0)]

CourseStatus = Literal["draft", "published", "archived"]
CourseLevel = Literal["beginner", "intermediate", "advanced"]
ContentType = Literal["video", "text", "pdf", "slides", "interactive", "assignment", "quiz"]
EnrollmentStatus = Literal["waitlisted", "enrolled", "in_progress", "completed", "dropped"]
