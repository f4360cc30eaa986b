"""The socket of a discussion's room: `/ws/chat/{discussion}/` (api.md §9)."""

from uuid import UUID

from fastapi import APIRouter, WebSocket

from libs.common.live.hub import UNKNOWN, SocketClosed, Stream
from libs.common.live.sockets import serve_socket
from libs.common.security.tokens import Principal
from services.forum.chat.service import Chat

router = APIRouter()


@router.websocket("/ws/chat/{discussion}/")
async def chat(websocket: WebSocket, discussion: str) -> None:
    state = websocket.app.state

    async def enter(who: Principal) -> Stream:
        try:
            uuid = UUID(discussion)
        except ValueError:
            raise SocketClosed(UNKNOWN, "there is no such discussion") from None
        return await Chat(state.hub, state.attendance, who, uuid, state.clock).enter()

    await serve_socket(websocket, state.hub, enter)
