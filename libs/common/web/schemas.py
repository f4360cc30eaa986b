"""Bases and types of request and response bodies.

Every text of a body is one of these, and the OpenAPI document says which (`contentMediaType`):

- `PlainText` and `Markdown` carry what people wrote, answered byte for byte as it came: no escaping, no
  trimming, no normalisation. Whoever renders it makes it safe.
- `SafeHtml` is rendered and sanitised: the only kind that may be inserted into a page as it is.
- `Identifier`, `Uri` and `UriReference` are for programs: a token, number, code or media type.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from annotated_types import GroupedMetadata, Len
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
)
from pydantic_core import CoreSchema, PydanticKnownError

from libs.common.web.zones import zone

UNSTORABLE = re.compile("[\\0\\ud800-\\udfff]")


class Body(BaseModel):
    """A request body: an unknown field is a 422 that names it."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """A response body, filled from rows or objects by attribute."""

    model_config = ConfigDict(from_attributes=True)


@dataclass(frozen=True)
class Says:
    """A keyword of JSON Schema that tells what a text is."""

    keyword: str
    value: str

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {self.keyword: self.value}


@dataclass(frozen=True)
class Length(GroupedMetadata):
    """Characters of a text: at most `most`, and at least `least` besides surrounding space."""

    least: int
    most: int

    def __iter__(self) -> Iterator[object]:
        yield Len(self.least, self.most)
        if self.least:
            yield AfterValidator(self._not_blank)

    def _not_blank(self, value: str) -> str:
        if len(value.strip()) < self.least:
            raise PydanticKnownError("string_too_short", {"min_length": self.least})
        return value


def _storable(value: str) -> str:
    """What UTF-8 and PostgreSQL can hold."""
    if UNSTORABLE.search(value):
        raise ValueError("must not contain NUL or half of a surrogate pair")
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _zone(value: str) -> str:
    if zone(value) is None:
        raise ValueError("must be an IANA time zone, such as Europe/London")
    return value


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _utc(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


PlainText = Annotated[str, AfterValidator(_storable), Says("contentMediaType", "text/plain")]
Markdown = Annotated[str, AfterValidator(_storable), Says("contentMediaType", "text/markdown")]
SafeHtml = Annotated[str, Says("contentMediaType", "text/html")]
Identifier = Annotated[str, AfterValidator(_storable), Says("format", "identifier")]
Day = Annotated[str, Says("format", "date")]
TimeZone = Annotated[Identifier, AfterValidator(_zone)]
Uri = Annotated[str, AfterValidator(_storable), Says("format", "uri")]
# Also a path of the front end, or "" for none.
UriReference = Annotated[str, AfterValidator(_storable), Says("format", "uri-reference")]
# Where surrounding space cannot be meant: addresses, numbers, tags.
Stripped = BeforeValidator(_stripped)
# What an optional date, phone or URL means when it is "": not given.
EmptyIsNone = BeforeValidator(_empty_is_none)
# RFC 3339 in UTC with a `Z`.
Moment = Annotated[
    datetime, PlainSerializer(_utc, return_type=str, when_used="json"), Says("format", "date-time")
]


MOST_DIGITS = 30


def _exactly(value: Decimal) -> Decimal:
    """A huge exponent is a few letters, and gigabytes as a fraction."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MOST_DIGITS or value.adjusted() > MOST_DIGITS:
        raise ValueError(f"may have {MOST_DIGITS} digits before its point, and as many behind it")
    return value


Exact = Annotated[Decimal, AfterValidator(_exactly)]
"""A number that can be worked with exactly."""
