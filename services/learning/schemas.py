"""Types of fields and answers that bodies of several folders have."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from libs.common.web.schemas import Answer, EmptyIsNone, Length, PlainText

LONGEST_TEXT = 200_000
"""Characters of what a learner writes: an essay, or a text for an assignment."""
Title = Annotated[PlainText, Length(1, 200)]
Long = Annotated[PlainText, Length(0, 50_000)]
# Dates beyond these overflow in one time zone or another.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
OptionalMoment = Annotated[Annotated[AwareDatetime, Field(ge=EARLIEST, le=LATEST)] | None, EmptyIsNone]


class Deleted(Answer):
    deleted: bool = True
