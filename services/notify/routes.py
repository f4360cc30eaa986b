"""HTTP of notify (api.md §6)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from libs.common.data.db import SessionDep, publish_live
from libs.common.live.hub import Hub
from libs.common.live.tickets import TICKET_SECONDS
from libs.common.security.auth import CurrentUser
from libs.common.web.clock import Now
from libs.common.web.paging import Page, PagingDep, choose, choose_bool, paginate_by_cursor
from services.notify import service
from services.notify.kinds import TYPES
from services.notify.live import count_frame
from services.notify.models import Notification
from services.notify.queries import notifications_of, unread_count
from services.notify.schemas import (
    DetailRead,
    MarkedRead,
    NotificationRead,
    NotificationUpdate,
    SocketTicketRead,
    UnreadCount,
    render,
)

router = APIRouter(tags=["notifications"])
PATH = "/api/core/notifications"


@router.post("/api/ws-ticket/", status_code=201, response_model=SocketTicketRead)
async def make_socket_ticket(who: CurrentUser, request: Request) -> Any:
    """A ticket for one socket, good once and for thirty seconds."""
    hub: Hub = request.app.state.hub
    return {"ticket": await hub.tickets.mint(who), "expires_in": TICKET_SECONDS}


@router.get(f"{PATH}/", response_model=Page[NotificationRead])
async def list_notifications(
    session: SessionDep,
    who: CurrentUser,
    page: PagingDep,
    is_read: str | None = None,
    notification_type: str | None = None,
) -> Any:
    """Own notifications, newest first."""
    query = notifications_of(who.user)
    read = choose_bool("is_read", is_read)
    if read is not None:
        query = query.where(Notification.is_read == read)
    kind = choose("notification_type", notification_type, TYPES)
    if kind is not None:
        query = query.where(Notification.notification_type == kind)
    answer = await paginate_by_cursor(session, query, page, [Notification.created_at, Notification.uuid])
    answer["results"] = [render(row) for row in answer["results"]]
    return answer


@router.get(f"{PATH}/unread-count/", response_model=UnreadCount)
async def get_unread_count(session: SessionDep, who: CurrentUser) -> Any:
    """How many are unread: counted, never kept."""
    return {"unread_count": await unread_count(session, who.user)}


@router.post(f"{PATH}/mark-all-read/", response_model=MarkedRead)
async def mark_all_notifications_read(session: SessionDep, who: CurrentUser) -> Any:
    """Mark all of them read."""
    marked = await service.mark_all_read(session, who)
    publish_live(session, count_frame(who.user, 0))
    return {"unread_count": 0, "marked": marked}


@router.patch(f"{PATH}/{{uuid}}/", response_model=NotificationRead)
async def change_notification(
    uuid: UUID, body: NotificationUpdate, session: SessionDep, who: CurrentUser
) -> Any:
    """Mark one read or unread."""
    row = await service.mark_read(session, who, uuid, is_read=body.is_read)
    await session.flush()
    publish_live(session, count_frame(who.user, await unread_count(session, who.user)))
    return render(row)


@router.delete(f"{PATH}/{{uuid}}/", response_model=DetailRead)
async def delete_notification(uuid: UUID, session: SessionDep, who: CurrentUser, now: Now) -> Any:
    """Delete one of them."""
    await service.delete_notification(session, who, uuid, now)
    await session.flush()
    publish_live(session, count_frame(who.user, await unread_count(session, who.user)))
    return {"detail": "Deleted."}
