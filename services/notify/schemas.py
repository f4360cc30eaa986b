"""Request and response bodies of notify."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel

from libs.common.web.schemas import Body, Identifier, Moment, PlainText, UriReference


class NotificationRead(BaseModel):
    uuid: UUID
    id: UUID
    notification_type: Identifier
    type: Identifier
    title: PlainText
    message: PlainText
    action_url: UriReference
    course: UUID | None
    is_read: bool
    created_at: Moment


class NotificationUpdate(Body):
    is_read: bool


class UnreadCount(BaseModel):
    unread_count: int


class MarkedRead(UnreadCount):
    marked: int


class DetailRead(BaseModel):
    detail: PlainText


class SocketTicketRead(BaseModel):
    """A single-use ticket for one socket."""

    ticket: Identifier
    expires_in: int


def render(notification: Any) -> NotificationRead:
    return NotificationRead(
        uuid=notification.uuid,
        id=notification.uuid,
        notification_type=notification.notification_type,
        type=notification.notification_type,
        title=notification.title,
        message=notification.message,
        action_url=notification.action_url,
        course=notification.course,
        is_read=notification.is_read,
        created_at=notification.created_at,
    )
