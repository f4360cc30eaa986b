"""Field types that events of several services share."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

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

OpenName = Annotated[str, Field(pattern=r"^[a-z0-9_]*$", max_length=64)]
"""A name of a list that grows: readers take one that they do not know as any other."""


def open_name(name: str, closed: str) -> Callable[[Any], Any]:
    """A validator for a field of any name beside an older one of few: where it is missing, they are the same.

    A closed list can never grow, so what is added to it later is told in the open field.
    """

    def fill(values: Any) -> Any:
        if isinstance(values, dict) and not values.get(name):
            return {**values, name: values.get(closed, "")}
        return values

    return fill
