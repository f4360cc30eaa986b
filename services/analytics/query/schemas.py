"""Bodies of queries and of the dictionary. A query is Cube's JSON."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    model_validator,
)

from libs.common.web.schemas import Body, Identifier, Moment, PlainText, TimeZone, Uri

MOST_ROWS = 10_000
MOST_OFFSET = 1_000_000
MOST_VALUES = 200
MOST_FILTERS = 50
Granularity = Literal["hour", "day", "week", "month", "quarter", "year"]
Operator = Literal[
    "equals", "notEquals", "contains", "gt", "gte", "lt", "lte", "set", "notSet", "inDateRange"
]
Member = Annotated[Identifier, StringConstraints(min_length=1, max_length=130)]
Value = Annotated[PlainText, StringConstraints(max_length=500)]
Direction = Literal["asc", "desc"]


class TimeDimension(Body):
    """Groups by the granularity, where there is one, and takes what lies in the range, both days included."""

    dimension: Member
    granularity: Granularity | None = None
    dateRange: Value | Annotated[list[Value], Field(min_length=1, max_length=2)] | None = Field(
        None,
        description="[first day, last day], one day, or today, yesterday, this week, last month, last 30 days"
        " (without today) and the like, in the query's time zone",
    )


class Filter(Body):
    member: Member
    operator: Operator
    values: list[StrictBool | StrictInt | StrictFloat | Value] = Field([], max_length=MOST_VALUES)


class _Group(Body):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("takes exactly one of and, or")
        return self


class InnerFilterGroup(_Group):
    all_of: list[Filter] = Field([], alias="and", max_length=MOST_FILTERS)
    any_of: list[Filter] = Field([], alias="or", max_length=MOST_FILTERS)


class FilterGroup(_Group):
    """Filters of which all or any must hold."""

    all_of: list[Filter | InnerFilterGroup] = Field([], alias="and", max_length=MOST_FILTERS)
    any_of: list[Filter | InnerFilterGroup] = Field([], alias="or", max_length=MOST_FILTERS)


class QueryRequest(Body):
    """What to measure, by what, of what: members as the dictionary names them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "measures": ["enrollments.count", "completions.count"],
                "dimensions": ["courses.category"],
                "timeDimensions": [
                    {
                        "dimension": "time.at",
                        "granularity": "month",
                        "dateRange": ["2026-01-01", "2026-06-30"],
                    }
                ],
                "filters": [{"member": "courses.status", "operator": "equals", "values": ["published"]}],
                "order": {"time.at": "asc"},
                "limit": 100,
                "timezone": "Europe/London",
            }
        },
    )

    measures: list[Member] = Field([], max_length=20)
    dimensions: list[Member] = Field([], max_length=10)
    timeDimensions: list[TimeDimension] = Field([], max_length=5)
    filters: list[Filter | FilterGroup] = Field([], max_length=MOST_FILTERS)
    order: dict[Member, Direction] | list[tuple[Member, Direction]] = Field(
        {}, description="of members of the query; what has no value comes last"
    )
    limit: int = Field(MOST_ROWS, ge=1, le=MOST_ROWS)
    offset: int = Field(0, ge=0, le=MOST_OFFSET)
    timezone: TimeZone = "UTC"


class MemberAnnotation(BaseModel):
    title: PlainText
    description: PlainText
    type: Identifier
    unit: Identifier | None = None
    granularity: Granularity | None = None


class Annotation(BaseModel):
    measures: dict[str, MemberAnnotation]
    dimensions: dict[str, MemberAnnotation]
    timeDimensions: dict[str, MemberAnnotation]


class QueryResult(BaseModel):
    """Rows by member. Days and longer periods are dates, hours carry the offset of the query's zone."""

    data: list[dict[str, Any]]
    annotation: Annotation
    as_of: Moment
    rows: int
    truncated: bool = Field(description="whether there are more rows than the limit")
    suppressed: int = Field(description="rows in which a number is null because its group is too small")


class MetricRead(BaseModel):
    """A measure, a dimension, or a rule by which dashboards compute a number."""

    name: Identifier
    kind: Literal["measure", "dimension", "rule"]
    dataset: Identifier
    title: PlainText
    description: PlainText
    sql: PlainText | None
    grain: PlainText
    type: Identifier
    unit: Identifier | None
    caveats: list[PlainText]
    owner: Identifier
    since_version: Identifier
    audience: Literal["teacher", "manager"] = Field(description="the least role that may ask for it")
    dimensions: list[Identifier] = Field(description="by what a measure can be asked for")
    shown_as: list[Identifier] = Field(
        description="the numbers that it defines in the summaries of dashboards, as dashboard.field"
    )


class MetricList(BaseModel):
    """The whole dictionary on one page."""

    count: int
    next: Uri | None = None
    previous: Uri | None = None
    results: list[MetricRead]
