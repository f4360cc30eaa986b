"""Bodies of exports and their jobs (api.md §1, §8a)."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from libs.common.web.schemas import Answer, Body, Identifier, Moment, PlainText, Uri
from services.analytics.query.schemas import QueryRequest

Format = Literal["csv", "parquet", "xlsx", "ndjson"]


class ExportRequest(Body):
    """A query of the dictionary's members, whose `limit` counts only if it is given, or a whole dataset."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "query": {"measures": ["enrollments.count"], "dimensions": ["courses.title"]},
                    "format": "csv",
                }
            ]
        },
    )

    query: QueryRequest | None = None
    dataset: Annotated[Identifier, StringConstraints(min_length=1, max_length=64)] | None = None
    format: Format = "csv"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.query is None) is (self.dataset is None):
            raise ValueError("takes either query or dataset")
        return self


class ExportColumn(Answer):
    name: Identifier
    type: Identifier


class Manifest(Answer):
    """What the file is: enough to check it, and to make it again."""

    rows: int
    columns: list[ExportColumn]
    size: int
    sha256: Identifier
    format: Format
    as_of: Moment
    query: dict[str, Any] | None = None
    dataset: Identifier | None = None


class ExportRead(Answer):
    """An export as a job. `result_url` leads to the file for its owner's session alone."""

    uuid: UUID
    kind: Literal["analytics_export"] = "analytics_export"
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    percent: int = Field(ge=0, le=100)
    eta_seconds: int | None
    result_url: Uri | None
    expires_at: Moment | None
    error: PlainText | None
    created_at: Moment
    format: Format
    manifest: Manifest | None
