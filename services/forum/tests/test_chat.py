"""The chat of a discussion: real servers, real sockets, one database."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import uvicorn
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from libs.common.events.topics import TOPICS, create_topics
from libs.common.live import sockets
from libs.common.live.tickets import Tickets
from libs.common.security.revocation import Revocation
from libs.common.security.tokens import KeySet, Principal
from libs.common.service.serve import uvicorn_config
from libs.common.testing.harness import TEST_KEY, CollectedQueue, Harness, Person, eventually
from services.forum.app import make_app
from services.forum.tests.conftest import (
    DISCUSSIONS,
    REPLIES,
    Cast,
    enrollment_state,
    kinds,
    replied,
    started,
)


class Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@dataclass
class Replica:
    """One process of forum, as far as it matters: an application of its own on a port of its own."""

    app: Any
    port: int
    tickets: Tickets
    """As notify makes them: forum may only take them."""

    async def ticket(self, person: Person, session: Any = None) -> str:
        return await self.tickets.mint(Principal(person.uuid, session or uuid4(), person.role, 1, 0))

    @asynccontextmanager
    async def chat(
        self, person: Person, discussion: str, query: str = "", session: Any = None
    ) -> AsyncIterator["Peer"]:
        url = f"ws://127.0.0.1:{self.port}/ws/chat/{discussion}/?ticket={await self.ticket(person, session)}"
        async with connect(url + query) as connection:
            yield Peer(connection)


@dataclass
class Peer:
    connection: ClientConnection

    async def frame(self, *kinds: str) -> dict[str, Any]:
        """The next frame of these types; others are passed over."""
        async with asyncio.timeout(10):
            while True:
                frame: dict[str, Any] = json.loads(await self.connection.recv())
                if not kinds or frame["type"] in kinds:
                    return frame

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def say(self, content: str, **fields: Any) -> None:
        await self.send(action="message", content=content, **fields)

    async def messages(self, count: int) -> list[tuple[int, str]]:
        frames = [await self.frame("message") for _ in range(count)]
        return [(frame["seq"], frame["message"]["content"]) for frame in frames]

    async def present(self, count: int) -> list[str]:
        """Wait until the room is told to hold `count` people."""
        while len(users := (await self.frame("presence"))["users"]) != count:
            pass
        return [user["full_name"] for user in users]

    async def closed(self) -> int:
        async with asyncio.timeout(10):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006


@pytest.fixture(scope="module")
async def _replicas(servers, open_service) -> AsyncIterator[tuple[Replica, Replica]]:
    harness = await open_service("forum")
    prefix = f"{uuid4().hex[:8]}."
    identity = [each for each in TOPICS if each.name == "identity.events"]
    await create_topics(servers.kafka, prefix, partitions=1, topics=identity)
    settings = harness.settings.model_copy(update={"topic_prefix": prefix})
    notify = settings.model_copy(update={"valkey_url": f"{servers.valkey_of('notify')}/0"})

    @asynccontextmanager
    async def running() -> AsyncIterator[Replica]:
        app = make_app(settings, keys=KeySet.static([TEST_KEY]), queue=CollectedQueue())
        server = Server(uvicorn_config(app, "127.0.0.1", 0))
        task = asyncio.create_task(server.serve())
        await eventually(lambda: server.started)
        yield Replica(app, server.servers[0].sockets[0].getsockname()[1], tickets)
        server.should_exit = True
        await task

    tickets = Tickets(notify)
    async with running() as one, running() as two:
        yield one, two
    await tickets.close()


@pytest.fixture
async def replicas(_replicas, cast: Cast) -> AsyncIterator[tuple[Replica, Replica]]:
    yield _replicas
    # Sockets of one test must not write into the tables of the next.
    hubs = [each.app.state.hub for each in _replicas]
    await eventually(lambda: not any(hub.rooms for hub in hubs))


@pytest.fixture
def server(replicas) -> Replica:
    return replicas[0]


@pytest.fixture
async def room(cast: Cast) -> str:
    return (await started(cast.ada, cast))["uuid"]


async def test_a_message_is_a_reply_that_everybody_in_the_room_gets(
    forum: Harness, replicas: tuple[Replica, Replica], cast: Cast, room: str
):
    one, two = replicas
    async with one.chat(cast.ada, room) as ada, two.chat(cast.teacher, room) as teacher:
        ready = await ada.frame("ready")
        assert ready == {
            "type": "ready",
            "user": {"uuid": str(cast.ada.uuid), "full_name": "Ada Lovelace"},
            "seq": 0,
        }
        await teacher.frame("ready")
        await ada.say("**Hello**", client_id="c1")
        for peer in (ada, teacher):
            frame = await peer.frame("message")
            assert (frame["seq"], frame["client_id"]) == (1, "c1")
            message = frame["message"]
            assert (message["content"], message["author_name"]) == ("**Hello**", "Ada Lovelace")
        await teacher.say("Hello Ada", parent=message["uuid"])
        answer = (await ada.frame("message"))["message"]
        assert (answer["parent"], answer["is_instructor_reply"]) == (message["uuid"], True)
        await replied(cast.bob, {"uuid": room}, "over HTTP")
        assert await ada.messages(1) == [(3, "over HTTP")]
    page = (await cast.bob.client.get(f"{REPLIES}?discussion={room}")).json()
    stored = page["results"][0]
    assert stored["children"][0]["is_chat"] is True
    assert set(stored) == set(message)
    seen = (await cast.bob.client.get(f"{DISCUSSIONS}{room}/")).json()
    assert (seen["replies_count"], seen["latest_reply"]["content"]) == (3, "over HTTP")
    assert (await kinds(forum))[2:] == ["reply_posted"] * 3


async def test_the_same_client_id_is_posted_once(server: Replica, cast: Cast, room: str):
    async with server.chat(cast.ada, room) as ada, server.chat(cast.bob, room) as bob:
        await ada.frame("ready")
        for _ in range(3):
            await ada.say("once", client_id="c1")
        await bob.say("mine", client_id="c1")
        await ada.say("twice", client_id="c2")
        contents = [content for _, content in await ada.messages(3)]
        assert sorted(contents) == ["mine", "once", "twice"]
    async with server.chat(cast.ada, room) as again:
        assert (await again.frame("ready"))["seq"] == 3
        await again.say("once", client_id="c1")
        frame = await again.frame("message")
        assert (frame["message"]["content"], frame["client_id"]) == ("once", "c1")
        await again.say("new")
        assert await again.messages(1) == [(4, "new")]


async def test_who_comes_back_misses_nothing_and_hears_nothing_twice(
    replicas: tuple[Replica, Replica], cast: Cast, room: str
):
    one, two = replicas
    async with one.chat(cast.ada, room) as ada:
        await ada.frame("ready")
        await ada.say("first")
        last = (await ada.messages(1))[0][0]

    async def talk(person: Person, replica: Replica) -> None:
        async with replica.chat(person, room) as peer:
            for number in range(20):
                await peer.say(f"{person.role} {number}", client_id=f"{person.role} {number}")
            while (await peer.frame("message")).get("client_id") != f"{person.role} 19":
                pass

    async def write() -> None:
        for number in range(10):
            await replied(cast.bob, {"uuid": room}, f"http {number}")

    talking = asyncio.gather(talk(cast.bob, one), talk(cast.teacher, two), write())
    async with two.chat(cast.ada, room, f"&after={last}") as back:
        heard = await back.messages(50)
    await talking
    assert [seq for seq, _ in heard] == list(range(2, 52))
    assert len({content for _, content in heard}) == 50


async def test_presence_names_everybody_once_over_all_replicas(
    replicas: tuple[Replica, Replica], cast: Cast, room: str
):
    one, two = replicas
    async with one.chat(cast.ada, room) as ada:
        assert await ada.present(1) == ["Ada Lovelace"]
        async with two.chat(cast.bob, room), two.chat(cast.ada, room):
            assert await ada.present(2) == ["Ada Lovelace", "Bob Lovelace"]
        assert await ada.present(1) == ["Ada Lovelace"]


async def test_a_process_that_was_killed_takes_its_people_with_it(
    forum: Harness, server: Replica, cast: Cast, room: str
):
    async with forum.db.session() as session:
        await session.execute(
            text("INSERT INTO presence VALUES (:d, gen_random_uuid(), :u, now() - interval '30 seconds')"),
            {"d": room, "u": cast.bob.uuid},
        )
    async with server.chat(cast.ada, room) as ada:
        assert await ada.present(2) == ["Ada Lovelace", "Bob Lovelace"]
        async with forum.db.session() as session:
            await session.execute(
                text("UPDATE presence SET seen_at = seen_at - interval '1 minute' WHERE \"user\" = :u"),
                {"u": cast.bob.uuid},
            )
        await server.app.state.attendance.beat()
        assert await ada.present(1) == ["Ada Lovelace"]


async def test_typing_is_told_to_the_others(replicas: tuple[Replica, Replica], cast: Cast, room: str):
    one, two = replicas
    async with one.chat(cast.ada, room) as ada, two.chat(cast.bob, room) as bob:
        await bob.frame("ready")
        await ada.send(action="typing")
        assert (await bob.frame("typing"))["user"]["full_name"] == "Ada Lovelace"
        await ada.say("done")
        assert (await ada.frame("message", "typing"))["type"] == "message"


async def test_only_those_who_may_read_the_discussion_enter(server: Replica, cast: Cast, room: str):
    for outsider in (cast.eve, cast.rival):
        async with server.chat(outsider, room) as peer:
            assert await peer.closed() == 4403
    for unknown in (str(uuid4()), "x"):
        async with server.chat(cast.ada, unknown) as peer:
            assert await peer.closed() == 4404
    for insider in (cast.bob, cast.teacher, cast.moderator):
        async with server.chat(insider, room) as peer:
            assert (await peer.frame())["type"] == "ready"


async def test_who_drops_out_is_put_out(
    forum: Harness, server: Replica, cast: Cast, room: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sockets, "RECHECK_SECONDS", 0.05)
    dropped = enrollment_state(cast.course, cast.ada.uuid, "dropped", uuid=cast.enrollment.uuid)
    async with server.chat(cast.ada, room) as ada:
        await ada.frame("ready")
        await forum.deliver(dropped)
        assert await ada.closed() == 4403


async def test_a_message_of_somebody_who_dropped_out_is_not_posted(
    forum: Harness, server: Replica, cast: Cast, room: str
):
    dropped = enrollment_state(cast.course, cast.ada.uuid, "dropped", uuid=cast.enrollment.uuid)
    async with server.chat(cast.ada, room) as ada:
        await ada.frame("ready")
        await forum.deliver(dropped)
        await ada.say("still here?")
        assert await ada.closed() == 4403
    assert "reply_posted" not in await kinds(forum)


async def test_what_is_said_after_somebody_dropped_out_never_reaches_them(
    forum: Harness, server: Replica, cast: Cast, room: str
):
    dropped = enrollment_state(cast.course, cast.ada.uuid, "dropped", uuid=cast.enrollment.uuid)
    async with server.chat(cast.ada, room) as ada:
        await ada.frame("ready")
        await forum.deliver(dropped)
        await replied(cast.bob, {"uuid": room}, "among ourselves")
        with pytest.raises(ConnectionClosed) as closed:
            await ada.frame("message")
        assert closed.value.rcvd.code == 4403


async def test_a_deleted_discussion_closes_its_room(
    server: Replica, cast: Cast, room: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sockets, "RECHECK_SECONDS", 0.05)
    async with server.chat(cast.bob, room) as bob:
        await bob.frame("ready")
        await cast.ada.client.delete(f"{DISCUSSIONS}{room}/")
        assert await bob.closed() == 4403


async def test_logging_out_closes_the_chat(server: Replica, cast: Cast, room: str):
    session = uuid4()
    async with server.chat(cast.ada, room, session=session) as ada:
        await ada.frame("ready")
        server.app.state.revocations.revoke(Revocation(cast.ada.uuid, session=session))
        assert await ada.closed() == 4401


async def test_a_bad_frame_is_answered_and_posts_nothing(
    forum: Harness, server: Replica, cast: Cast, room: str
):
    async with server.chat(cast.ada, room) as ada:
        await ada.frame("ready")
        for frame, code in (
            ({"action": "dance"}, "unknown_action"), ({}, "unknown_action"),
            ({"action": "message"}, "invalid_input"),
            ({"action": "message", "content": " "}, "invalid_input"),
            ({"action": "message", "content": 5}, "invalid_input"),
            ({"action": "message", "content": "a\0b"}, "invalid_input"),
            ({"action": "message", "content": "x", "seq": 1}, "invalid_input"),
            ({"action": "message", "content": "x", "parent": "x"}, "invalid_input"),
            ({"action": "message", "content": "x", "parent": str(uuid4())}, "parent_elsewhere"),
            ({"action": "message", "content": "x" * 20_001}, "invalid_input"),
            ({"action": "message", "content": "x", "client_id": "c" * 101}, "invalid_input"),
            ({"action": "message", "content": "x", "client_id": 7}, "invalid_input"),
        ):  # fmt: skip
            await ada.send(**frame)
            error = await ada.frame("error")
            assert error["code"] == code, frame
            assert error["detail"]
        await ada.say("", client_id="mine")
        assert (await ada.frame("error"))["client_id"] == "mine"
        await cast.teacher.client.post(f"{DISCUSSIONS}{room}/lock/")
        await ada.say("too late")
        assert (await ada.frame("error"))["code"] == "discussion_locked"
    assert "reply_posted" not in await kinds(forum)


async def test_a_deleted_message_keeps_its_number_and_loses_its_text(server: Replica, cast: Cast, room: str):
    gone = await replied(cast.bob, {"uuid": room}, "regretted")
    await replied(cast.bob, {"uuid": room}, "kept")
    await cast.bob.client.delete(f"{REPLIES}{gone['uuid']}/")
    async with server.chat(cast.ada, room, "&after=0") as ada:
        assert await ada.messages(2) == [(1, ""), (2, "kept")]


async def test_no_script_is_rendered_in_the_chat(server: Replica, cast: Cast, room: str):
    async with server.chat(cast.ada, room) as ada:
        source = "<script>alert(1)</script><b onclick=alert(1)>hi</b>"
        await ada.say(source)
        message = (await ada.frame("message"))["message"]
        assert message["content"] == source
        assert "<b>hi</b>" in message["content_html"]
        assert "script" not in message["content_html"]
        assert "onclick" not in message["content_html"]
