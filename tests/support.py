"""Driving the whole suite through the gateway, as a front end would."""

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import websockets
from aiokafka import AIOKafkaConsumer, TopicPartition
from jose import jwt

from deploy.local.project import Project
from deploy.local.testing import kafka_settings
from libs.common.runtime.connections import kafka_arguments
from libs.common.testing.harness import eventually

PASSWORD = "Learn-together-1"
RENEW_BEFORE = 120.0
"""Seconds of its life that a token must still have."""
Json = dict[str, Any]


@dataclass
class Visitor:
    """Somebody at the gateway; anonymous until they log in."""

    project: Project
    email: str = ""
    user: Json = field(default_factory=dict)
    access: str = ""
    refresh: str = ""

    def __post_init__(self) -> None:
        self.http = httpx.AsyncClient(base_url=self.project.gateway_url, timeout=30)

    @property
    def uuid(self) -> str:
        return str(self.user["uuid"])

    async def raw(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = options.pop("headers", {})
        if self.access:
            await self._renew()
            headers = {"Authorization": f"Bearer {self.access}"} | headers
        return await self.http.request(method, path, headers=headers, **options)

    async def _renew(self) -> None:
        """Take a new token before the old one runs out, as a front end does: some people stay for long."""
        claims = jwt.get_unverified_claims(self.access)
        if self.refresh and time.time() > claims["exp"] - RENEW_BEFORE:
            answer = await self.http.post("/api/accounts/refresh/", json={"refresh": self.refresh})
            assert answer.status_code == 200, answer.text
            self.access, self.refresh = answer.json()["access"], answer.json()["refresh"]

    async def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """The JSON of an answer that has this status; an AssertionError shows any other."""
        answer = await self.raw(method, path, **options)
        shown = f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        assert answer.status_code == status, shown
        return answer.json()

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return await self.call("GET", path, status, **options)

    async def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        return await self.call("POST", path, status, json=body if body is not None else {}, **options)

    async def login(self, password: str = PASSWORD) -> "Visitor":
        answer = await self.post("/api/accounts/login/", {"email": self.email, "password": password})
        self.access, self.refresh, self.user = answer["access"], answer["refresh"], answer["user"]
        return self

    @asynccontextmanager
    async def socket(self, path: str, after: int | None = None) -> AsyncIterator["Socket"]:
        """An open socket, after its `ready`."""
        ticket = (await self.post("/api/ws-ticket/", status=201))["ticket"]
        url = self.project.gateway_url.replace("http", "ws") + f"{path}?ticket={ticket}"
        if after is not None:
            url += f"&after={after}"
        async with websockets.connect(url) as connection:
            socket = Socket(connection)
            socket.ready = await socket.next(lambda frame: frame["type"] == "ready")
            yield socket


async def read_log(project: Project, topic: str) -> list[Any]:
    """Every message of a topic, as the client gives it."""
    consumer = AIOKafkaConsumer(**kafka_arguments(kafka_settings(project)))
    await consumer.start()
    try:
        await consumer._client.add_topic(topic)
        partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        found: list[Any] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                found += batch
        return found
    finally:
        await consumer.stop()


@dataclass
class Socket:
    """One WebSocket; frames that nobody waited for are kept."""

    connection: Any
    ready: Json = field(default_factory=dict)
    seen: list[Json] = field(default_factory=list)

    async def next(self, wanted: Callable[[Json], bool], timeout: float = 10) -> Json:
        """The first frame that fits, from those that came already or come within the time."""
        for index, frame in enumerate(self.seen):
            if wanted(frame):
                return self.seen.pop(index)

        async def receive() -> Json:
            import asyncio

            frame: Json = orjson.loads(await asyncio.wait_for(self.connection.recv(), timeout))
            return frame

        while True:
            frame = await receive()
            if wanted(frame):
                return frame
            self.seen.append(frame)

    async def send(self, **frame: Any) -> None:
        await self.connection.send(orjson.dumps(frame).decode())


class Stage:
    """The suite's people, by what they are; every name is made afresh, so that stories do not meet."""

    def __init__(self, project: Project, mark: str) -> None:
        self.project = project
        self.mark = mark
        self.visitors: list[Visitor] = []

    def visitor(self, name: str = "") -> Visitor:
        email = f"{name}.{self.mark}@lectern.example" if name else ""
        visitor = Visitor(self.project, email)
        self.visitors.append(visitor)
        return visitor

    async def mails(self, to: str) -> list[Json]:
        """Mails to an address, newest first."""
        async with httpx.AsyncClient() as client:
            found = (await client.get(f"{self.project.mail_url}/api/messages")).json()
        return [mail for mail in found if to in str(mail["to"])]

    async def join(self, name: str, role: str = "student") -> Visitor:
        """Register, read the code in the mail, verify: logged in."""
        visitor = self.visitor(name)
        body = {
            "email": visitor.email, "password": PASSWORD, "first_name": name.title(), "last_name": "Lovelace",
            "role": role,
        }  # fmt: skip
        await visitor.post("/api/accounts/register/", body, 201)
        mail = (await eventually(lambda: self.mails(visitor.email), 30))[0]
        code = re.findall(r"\b\d{6}\b", mail["text"])[0]
        answer = await visitor.post(
            "/api/accounts/verify-email/", {"email": visitor.email, "verification_code": code}
        )
        visitor.access, visitor.refresh = answer["tokens"]["access"], answer["tokens"]["refresh"]
        visitor.user = answer["user"]
        return visitor

    async def close(self) -> None:
        for visitor in self.visitors:
            await visitor.http.aclose()
