"""Request and response bodies of support."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from libs.common.web.schemas import (
    Answer,
    Body,
    EmptyIsNone,
    Identifier,
    Length,
    Markdown,
    Moment,
    PlainText,
    SafeHtml,
    Stripped,
    Uri,
)
from services.support.rules import Priority, Status

Content = Annotated[Markdown, Length(1, 20_000)]


def _slug(value: str) -> str:
    return value.lower() or "general"


class TicketCreate(Body):
    subject: Annotated[PlainText, Length(5, 200)]
    description: Annotated[Markdown, Length(20, 20_000)]
    priority: Priority = "medium"
    category: Annotated[Identifier, StringConstraints(max_length=50), AfterValidator(_slug), Stripped] = (
        "general"
    )
    course: Annotated[UUID | None, EmptyIsNone] = None

    model_config = Body.model_config | {
        "json_schema_extra": {
            "examples": [
                {
                    "subject": "The video does not play",
                    "description": "The first lesson's video stays black in my browser.",
                    "priority": "high",
                    "category": "technical",
                }
            ]
        }
    }


class MessageCreate(Body):
    content: Content
    is_internal: bool = False


class AssignRequest(Body):
    user: Annotated[UUID | None, EmptyIsNone] = Field(None, description="without it: who has least to do")


class StatusUpdate(Body):
    status: Status


class PriorityUpdate(Body):
    priority: Priority


class RatingCreate(Body):
    rating: int = Field(ge=1, le=5)
    comment: Annotated[PlainText, Length(0, 5000)] = ""


class PersonSummary(BaseModel):
    uuid: UUID
    full_name: PlainText
    avatar: Uri | None
    role: Identifier


class MessageRead(Answer):
    uuid: UUID
    author: PersonSummary
    content: Markdown
    content_html: SafeHtml
    is_internal: bool
    created_at: Moment


class Sla(BaseModel):
    first_response_due: Moment
    resolution_due: Moment
    paused: bool
    breached: bool


class TicketSummary(BaseModel):
    """A ticket as it stands in a list."""

    uuid: UUID
    ticket_number: Identifier
    subject: PlainText
    description: Markdown
    description_html: SafeHtml
    status: Status
    priority: Priority
    category: Identifier
    course: UUID | None
    course_title: PlainText | None
    requester: PersonSummary
    assigned_to: PersonSummary | None
    sla: Sla
    rating: int | None
    rating_comment: PlainText
    first_response_at: Moment | None
    resolved_at: Moment | None
    closed_at: Moment | None
    created_at: Moment
    updated_at: Moment


class TicketRead(TicketSummary):
    messages: list[MessageRead]


class StatusDayRead(Answer):
    """Checks of one day: one a minute, of which so many were good."""

    day: date
    checks: int
    good: int


class ComponentHistory(Answer):
    """One part of the platform, with the days on which it was measured, oldest first. `uptime` is per cent of
    all checks, null before the first."""

    name: Identifier
    uptime: float | None
    history: list[StatusDayRead]


class StatusHistory(Answer):
    days: int
    components: list[ComponentHistory]
