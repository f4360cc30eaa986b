"""The live stream of notifications: `/ws/notifications/` (api.md §9)."""

from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, WebSocket

from libs.common.live.hub import Frames, Hub, Socket, Stream
from libs.common.live.sockets import serve_socket
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from services.notify import service
from services.notify.models import Person
from services.notify.queries import newest_seq, notifications_after, unread_count
from services.notify.schemas import render

router = APIRouter()


@router.websocket("/ws/notifications/")
async def live_notifications(websocket: WebSocket) -> None:
    hub: Hub = websocket.app.state.hub

    async def enter(who: Principal) -> Stream:
        return await notification_stream(hub, who)

    await serve_socket(websocket, hub, enter)


async def notification_stream(hub: Hub, who: Principal) -> Stream:
    """Own notifications, numbered; the unread count comes along after each change."""
    db = hub.db
    async with db.sessions() as session:
        person = await session.get(Person, who.user)

    async def newest() -> int:
        async with db.sessions() as session:
            return await newest_seq(session, who.user)

    async def after(seq: int, most: int) -> Frames:
        async with db.sessions() as session:
            rows = await notifications_after(session, who.user, seq, most)
        if rows:
            await announce_count(hub, who.user)
        return [
            (row.seq, orjson.dumps({"type": "notification", "seq": row.seq, "notification": _plain(row)}))
            for row in rows
        ]

    async def hello() -> list[dict[str, Any]]:
        async with db.sessions() as session:
            return [{"type": "unread_count", "unread_count": await unread_count(session, who.user)}]

    async def receive(socket: Socket, frame: dict[str, Any]) -> None:
        await act(hub, socket.principal, frame)

    async def allowed() -> bool:
        return True

    return Stream(
        room=service.room_of(who.user),
        user={"uuid": str(who.user), "full_name": person.full_name if person else ""},
        newest=newest,
        after=after,
        receive=receive,
        allowed=allowed,
        hello=hello,
    )


def _plain(row: Any) -> dict[str, Any]:
    return render(row).model_dump(mode="json")


async def act(hub: Hub, who: Principal, frame: dict[str, Any]) -> None:
    """What a client may send. Raises Unprocessable for anything else."""
    action = frame.get("action")
    async with hub.db.session() as session:
        if action == "mark_all_read":
            await service.mark_all_read(session, who)
        elif action == "mark_read":
            try:
                uuid = UUID(str(frame.get("notification_id")))
            except ValueError:
                raise Unprocessable.field("notification_id", "must be a UUID") from None
            await service.mark_read(session, who, uuid, is_read=True)
        else:
            raise Unprocessable.field("action", "must be one of: mark_read, mark_all_read, resume")
    await announce_count(hub, who.user)


async def announce_count(hub: Hub, user: UUID) -> None:
    """Tell all of a user's sockets how many are unread."""
    async with hub.db.sessions() as session:
        hub.db.notifier.publish(count_frame(user, await unread_count(session, user)))


def count_frame(user: UUID, count: int) -> str:
    """The live payload that tells every socket of a user how many are unread."""
    frame = {"type": "unread_count", "unread_count": count}
    return orjson.dumps({"room": service.room_of(user), "frame": frame}).decode()
