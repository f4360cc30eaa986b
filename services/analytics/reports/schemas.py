"""Bodies of reports and their runs (api.md §8a)."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from libs.common.web.schemas import Answer, Body, Identifier, Length, Moment, PlainText, TimeZone, Uri
from services.analytics.period import MOST_DAYS
from services.analytics.query.schemas import QueryRequest
from services.analytics.reports.rules import MOST_RECIPIENTS
from services.analytics.reports.schedule import checked

Format = Literal["pdf", "csv", "xlsx", "html"]
Dashboard = Literal["student", "teacher", "course", "platform"]
Name = Annotated[PlainText, Length(1, 200)]
Recipients = Annotated[list[UUID], Field(min_length=1, max_length=MOST_RECIPIENTS)]
Status = Literal["queued", "running", "done", "failed", "cancelled"]


class Schedule(Body):
    """Five fields of cron in a time zone, at most once an hour.

    Where clocks change, a time that a day does not have is due at the end of the gap, and one that it has
    twice at the first.
    """

    cron: Annotated[Identifier, StringConstraints(max_length=100), AfterValidator(checked)]
    time_zone: TimeZone = "UTC"


class Content(Body):
    """What a report is of: a query, or a dashboard of the days until it goes out."""

    query: QueryRequest | None = None
    dashboard: Dashboard | None = None
    course: UUID | None = Field(None, description="of the dashboard `course`")
    days: int | None = Field(
        None, ge=1, le=MOST_DAYS, description="of the dashboard; as it shows itself without"
    )
    compare: Literal["previous"] | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """As it is stored."""
        names = {"query", "dashboard", "course", "days", "compare"}
        given = self.model_dump(mode="json", by_alias=True, include=names, exclude_unset=True)
        return {name: value for name, value in given.items() if value is not None}

    def check_content(self) -> None:
        if (self.query is None) is (self.dashboard is None):
            raise ValueError("takes either query or dashboard")
        if (self.dashboard == "course") is (self.course is None):
            raise ValueError("takes course with the dashboard course, and with no other")
        if self.query is not None and (self.days or self.compare):
            raise ValueError("takes days and compare with a dashboard: a query says its own dates")


class ReportCreate(Content):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Enrolments by course",
                    "query": {
                        "measures": ["enrollments.count"],
                        "dimensions": ["courses.title"],
                        "timeDimensions": [{"dimension": "time.at", "dateRange": "last month"}],
                    },
                    "format": "pdf",
                    "schedule": {"cron": "0 7 1 * *", "time_zone": "Europe/London"},
                    "recipients": ["5b0e7a52-3f0f-4b6c-9a51-6a7c5a7f2d11"],
                }
            ]
        },
    )

    name: Name
    format: Format = "pdf"
    schedule: Schedule | None = Field(None, description="none: it goes out when it is asked for")
    recipients: Recipients

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self.check_content()
        return self


class ReportUpdate(Content):
    """What is left out stays. A new query or dashboard takes the place of the whole content before."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"schedule": {"cron": "0 7 * * 1", "time_zone": "Africa/Cairo"}}]},
    )

    name: Name | None = None
    format: Format | None = None
    schedule: Schedule | None = Field(None, description="null: it goes out no more by itself")
    recipients: Recipients | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("name", "format", "recipients"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        if self.asked:
            self.check_content()
        return self


class ReportRead(Answer):
    uuid: UUID
    name: PlainText
    query: dict[str, Any] | None
    dashboard: Dashboard | None
    course: UUID | None
    days: int | None
    compare: Literal["previous"] | None
    format: Format
    schedule: Schedule | None
    recipients: list[UUID]
    next_run_at: Moment | None
    created_at: Moment
    updated_at: Moment


class RunRecipient(Answer):
    """Who got it, or why not: `unknown`, `inactive`, `not_allowed`."""

    user: UUID
    outcome: Literal["mailed", "skipped"]
    reason: Literal["unknown", "inactive", "not_allowed"] | None = None
    detail: PlainText | None = None


class ReportRunRead(Answer):
    """A run as a job. `due_at` is null for one that was started by hand; `result_url` leads the owner to
    the file that they may see, if there is one."""

    uuid: UUID
    kind: Literal["analytics_report"] = "analytics_report"
    report: UUID
    status: Status
    percent: int = Field(ge=0, le=100)
    eta_seconds: int | None
    result_url: Uri | None
    expires_at: Moment | None
    error: PlainText | None
    due_at: Moment | None
    as_of: Moment | None
    format: Format
    recipients: list[RunRecipient]
    created_at: Moment
    ended_at: Moment | None


class Done(Answer):
    detail: PlainText
