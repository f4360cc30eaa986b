"""Request and response bodies of support."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from libs.common.richtext import RichText
from libs.common.schemas import Answer, Body, EmptyIsNone, Moment, ShortText, Text
from services.support.rules import Priority, Status

Content = Annotated[Text, StringConstraints(min_length=1, max_length=20_000)]


def _slug(value: str) -> str:
    return value.lower() or "general"


class NewTicket(Body):
    subject: Annotated[ShortText, StringConstraints(min_length=5, max_length=200)]
    description: Annotated[Text, StringConstraints(min_length=20, max_length=20_000)]
    priority: Priority = "medium"
    category: Annotated[ShortText, StringConstraints(max_length=50), AfterValidator(_slug)] = "general"
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


class NewMessage(Body):
    content: Content
    is_internal: bool = False


class Assignment(Body):
    user: Annotated[UUID | None, EmptyIsNone] = Field(None, description="without it: who has least to do")


class StatusChange(Body):
    status: Status


class PriorityChange(Body):
    priority: Priority


class Rating(Body):
    rating: int = Field(ge=1, le=5)
    comment: Annotated[Text, StringConstraints(max_length=5000)] = ""


class PersonAnswer(BaseModel):
    uuid: UUID
    full_name: str
    avatar: str | None
    role: str


class MessageAnswer(Answer):
    uuid: UUID
    author: PersonAnswer
    content: RichText
    is_internal: bool
    created_at: Moment


class Sla(BaseModel):
    first_response_due: Moment
    resolution_due: Moment
    paused: bool
    breached: bool


class TicketCard(BaseModel):
    """A ticket as it stands in a list."""

    uuid: UUID
    ticket_number: str
    subject: str
    description: RichText
    status: Status
    priority: Priority
    category: str
    course: UUID | None
    course_title: str | None
    requester: PersonAnswer
    assigned_to: PersonAnswer | None
    sla: Sla
    rating: int | None
    rating_comment: str
    first_response_at: Moment | None
    resolved_at: Moment | None
    closed_at: Moment | None
    created_at: Moment
    updated_at: Moment


class TicketAnswer(TicketCard):
    messages: list[MessageAnswer]
