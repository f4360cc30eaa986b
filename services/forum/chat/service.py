"""The chat room of a discussion (api.md §9): every message is a reply, numbered like those over HTTP."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.live.hub import NOT_ALLOWED, UNKNOWN, Frames, Hub, Socket, SocketClosed, Stream, broadcast
from libs.common.runtime.clock import Clock
from libs.common.runtime.errors import NotFound, Unprocessable
from libs.common.security.tokens import Principal
from services.forum.access import access_discussion
from services.forum.chat.presence import Attendance, present_users
from services.forum.chat.schemas import ChatMessageCreate
from services.forum.errors import PostingTooFast, UnknownAction
from services.forum.models import Discussion, Person, Reply
from services.forum.replies.queries import replies_after, reply_answers
from services.forum.replies.schemas import ReplyRead
from services.forum.replies.service import post_reply, room_of

TYPING_SECONDS = 1.0


class Chat:
    """One person's view of one room: what `serve_socket` asks for."""

    def __init__(
        self, hub: Hub, attendance: Attendance, who: Principal, discussion: UUID, clock: Clock
    ) -> None:
        self.hub = hub
        self.attendance = attendance
        self.who = who
        self.discussion = discussion
        self.user: dict[str, Any] = {"uuid": str(who.user), "full_name": ""}
        self._clock = clock
        self._typed_at = 0.0

    async def enter(self) -> Stream:
        """Raises SocketClosed: 4404 for a discussion that is not there, 4403 for one closed to `who`."""
        async with self.hub.db.sessions() as session:
            known = await session.get(Discussion, self.discussion)
            if known is None or known.deleted_at is not None:
                raise SocketClosed(UNKNOWN, "there is no such discussion")
            if not await self._may_read(session):
                raise SocketClosed(NOT_ALLOWED, "not allowed")
            person = await session.get(Person, self.who.user)
            self.user["full_name"] = person.full_name if person else ""
        return Stream(
            room=room_of(self.discussion),
            user=self.user,
            newest=self.newest,
            after=self.after,
            receive=self.receive,
            allowed=self.allowed,
            hello=self.hello,
            joined=self.attend,
            left=self.attend,
        )

    async def _may_read(self, session: AsyncSession) -> bool:
        try:
            await access_discussion(session, self.who, self.discussion)
        except NotFound:
            return False
        return True

    async def allowed(self) -> bool:
        async with self.hub.db.sessions() as session:
            return await self._may_read(session)

    async def newest(self) -> int:
        async with self.hub.db.sessions() as session:
            query = select(Discussion.last_seq).where(Discussion.uuid == self.discussion)
            return await session.scalar(query) or 0

    async def after(self, seq: int, most: int) -> Frames:
        async with self.hub.db.sessions() as session:
            replies = await replies_after(session, self.discussion, seq, most)
            if not replies:
                return []
            # Asked again with what is new: whoever was let go meanwhile reads none of it.
            if not await self._may_read(session):
                raise SocketClosed(NOT_ALLOWED, "no longer allowed")
            answers = await reply_answers(session, replies, self.who.user)
        return [
            (reply.seq, message_frame(reply, answer)) for reply, answer in zip(replies, answers, strict=True)
        ]

    async def hello(self) -> list[dict[str, Any]]:
        async with self.hub.db.sessions() as session:
            return [{"type": "presence", "users": await present_users(session, self.discussion)}]

    async def attend(self) -> None:
        await self.attendance.update(self.discussion, self.who.user)

    async def receive(self, socket: Socket, frame: dict[str, Any]) -> None:
        """Take one frame of the client; who may not any longer is put out."""
        if frame.get("action") == "message":
            await self._post(socket, frame)
        elif frame.get("action") == "typing":
            await self._typing()
        else:
            raise UnknownAction

    async def _post(self, socket: Socket, frame: dict[str, Any]) -> None:
        message = parse_message(frame)
        try:
            async with self.hub.db.session() as session:
                await self._check_pace(session, message.client_id)
                reply = await post_reply(
                    session,
                    self.who,
                    self.discussion,
                    message.content,
                    message.parent,
                    is_chat=True,
                    client_id=message.client_id,
                )
        except NotFound:
            raise SocketClosed(NOT_ALLOWED, "no longer allowed") from None
        if reply.seq <= socket.since:
            # Posted before this connection, which therefore has not been told: the sender waits for it.
            async with self.hub.db.sessions() as session:
                answer = (await reply_answers(session, [reply], self.who.user))[0]
            await socket.send(message_frame(reply, answer))

    async def _check_pace(self, session: AsyncSession, client_id: str | None) -> None:
        """Raises PostingTooFast, but not for a message that is there already."""
        mine = select(func.count()).where(Reply.author == self.who.user, Reply.is_chat)
        recent = await session.scalar(mine.where(Reply.created_at > self._clock() - timedelta(minutes=1)))
        if (recent or 0) < self.hub.db.settings.chat_messages_minute:  # type: ignore[attr-defined]
            return
        again = mine.where(Reply.discussion == self.discussion, Reply.client_id == client_id)
        if client_id is None or not await session.scalar(again):
            raise PostingTooFast

    async def _typing(self) -> None:
        if time.monotonic() - self._typed_at < TYPING_SECONDS:
            return
        self._typed_at = time.monotonic()
        if not await self.allowed():
            raise SocketClosed(NOT_ALLOWED, "no longer allowed")
        frame = {"type": "typing", "user": self.user}
        broadcast(self.hub, room_of(self.discussion), frame, skip=self.who.user)


def message_frame(reply: Reply, answer: dict[str, Any]) -> bytes:
    frame = {
        "type": "message",
        "seq": reply.seq,
        "message": ReplyRead.model_validate(answer).model_dump(mode="json"),
    }
    if reply.client_id is not None:
        frame["client_id"] = reply.client_id
    return orjson.dumps(frame)


def parse_message(frame: dict[str, Any]) -> ChatMessageCreate:
    try:
        return ChatMessageCreate.model_validate_json(orjson.dumps(frame))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "frame"
        message = str(first["msg"]).removeprefix("Value error, ")
        raise Unprocessable.field(field, message[:1].lower() + message[1:]) from None
