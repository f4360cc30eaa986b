"""How long a socket acts, and how much it may send."""

import time
from uuid import uuid4

import pytest
from sqlalchemy import text
from websockets.asyncio.client import connect

from libs.common.live.sockets import BURST, MOST_REFUSED, Budget, SocketClosed
from libs.common.security.revocation import Revocation
from libs.common.security.tokens import Principal
from libs.common.testing.harness import Harness, Person
from services.forum.tests.conftest import Cast
from services.forum.tests.test_chat import Peer, Replica, _replicas, replicas, room, server

__all__ = ["_replicas", "replicas", "room", "server"]


async def count(forum: Harness) -> int:
    async with forum.db.sessions() as session:
        return await session.scalar(text("SELECT count(*) FROM replies"))


async def url_of(server: Replica, person: Person, room: str, expires_at: int) -> str:
    who = Principal(person.uuid, uuid4(), person.role, 1, expires_at)
    ticket = await server.tickets.mint(who)
    return f"ws://127.0.0.1:{server.port}/ws/chat/{room}/?ticket={ticket}"


@pytest.mark.promise("WebSocket")
async def test_a_socket_ends_with_the_token_that_opened_it(server: Replica, cast: Cast, room: str):
    async with connect(await url_of(server, cast.ada, room, int(time.time()) + 2)) as connection:
        peer = Peer(connection)
        await peer.frame("ready")
        assert await peer.closed() == 4401
    async with connect(await url_of(server, cast.ada, room, int(time.time()) - 1)) as connection:
        assert await Peer(connection).closed() == 4401


@pytest.mark.promise("WebSocket")
async def test_what_is_said_with_an_expired_token_is_not_posted(
    forum: Harness, server: Replica, cast: Cast, room: str
):
    async with connect(await url_of(server, cast.ada, room, int(time.time()) + 600)) as connection:
        peer = Peer(connection)
        await peer.frame("ready")
        hub = server.app.state.hub
        (socket,) = hub.members(f"discussion:{room}")
        object.__setattr__(socket.principal, "expires_at", int(time.time()))
        await peer.say("Too late")
        assert await peer.closed() == 4401
    assert await count(forum) == 0


@pytest.mark.promise("WebSocket")
async def test_a_teacher_who_is_demoted_or_disabled_is_put_out(server: Replica, cast: Cast, room: str):
    async with server.chat(cast.teacher, room) as teacher:
        await teacher.frame("ready")
        server.app.state.revocations.revoke(Revocation(cast.teacher.uuid, version=2))
        assert await teacher.closed() == 4401


@pytest.mark.promise("WebSocket")
async def test_frames_beyond_the_limit_are_refused_once_and_a_flood_ends_the_socket(
    forum: Harness, server: Replica, cast: Cast, room: str
):
    async with server.chat(cast.ada, room) as ada:
        await ada.frame("ready")
        for _ in range(BURST + 60):
            await ada.send(action="typing")
        error = await ada.frame("error")
        assert error["code"] == "too_many_frames"
    async with server.chat(cast.bob, room) as bob:
        await bob.frame("ready")
        for _ in range(700):
            await bob.send(action="typing")
        assert await bob.closed() == 1008


def test_a_budget_allows_a_burst_then_a_rate_and_loses_patience():
    now = [0.0]
    budget = Budget(lambda: now[0])
    assert [budget.take() for _ in range(BURST + 1)] == [True] * BURST + [False]
    now[0] = 1.0
    assert [budget.take() for _ in range(21)] == [True] * 20 + [False]
    for _ in range(MOST_REFUSED - 1):
        assert not budget.take()
    with pytest.raises(SocketClosed):
        budget.take()


@pytest.mark.promise("WebSocket")
async def test_thirty_messages_a_minute_are_posted_and_the_next_is_refused_with_its_name(
    forum: Harness, server: Replica, cast: Cast, room: str
):
    async with server.chat(cast.ada, room) as ada:
        await ada.frame("ready")
        for number in range(31):
            await ada.say(f"Message {number}", client_id=f"c{number}")
        error = await ada.frame("error")
        assert (error["code"], error["client_id"]) == ("posting_too_fast", "c30")
        await ada.say("Message 3", client_id="c3")  # was posted: no error
        await ada.say("Message 31", client_id="c31")
        assert (await ada.frame("error"))["client_id"] == "c31"
    assert await count(forum) == 30
