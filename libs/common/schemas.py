"""Bases and types of request and response bodies."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
)


class Body(BaseModel):
    """A request body: an unknown field is a 422 that names it; surrounding space is dropped."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Answer(BaseModel):
    """A response body, filled from rows or objects by attribute."""

    model_config = ConfigDict(from_attributes=True)


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL")
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _utc(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


Text = Annotated[str, AfterValidator(_no_nul)]
ShortText = Annotated[str, StringConstraints(max_length=255), AfterValidator(_no_nul)]
# What an optional date, phone or URL means when it is "": not given.
EmptyIsNone = BeforeValidator(_empty_is_none)
# RFC 3339 in UTC with a `Z`.
Moment = Annotated[datetime, PlainSerializer(_utc, return_type=str, when_used="json")]


MOST_DIGITS = 30


def _exactly(value: Decimal) -> Decimal:
    """A huge exponent is a few letters, and gigabytes as a fraction."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MOST_DIGITS or value.adjusted() > MOST_DIGITS:
        raise ValueError(f"may have {MOST_DIGITS} digits before its point, and as many behind it")
    return value


Exact = Annotated[Decimal, AfterValidator(_exactly)]
"""A number that can be worked with exactly."""
