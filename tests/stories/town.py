"""Five services in this process and the people who use them; `settle()` lets every event and task arrive.

Paths are answered by the service to which the gateway would send them, and the time is everybody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx

from gateway.routes import RouteTable
from libs.common.runtime.clock import SettableClock
from libs.common.testing.harness import Harness, access_token, drain
from libs.common.testing.states import user_state

Json = dict[str, Any]
SERVICES = ("catalog", "learning", "forum", "analytics", "notify")
ABOUT = "What vertices and edges are, and why walks, trees and colourings follow from them."
TABLE = RouteTable()


@dataclass
class Citizen:
    """Somebody with a token; `version` numbers their states."""

    town: "Town"
    uuid: UUID
    name: str
    role: str
    time_zone: str = "UTC"
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    async def raw(self, method: str, path: str, **options: Any) -> httpx.Response:
        match = TABLE.match(path.partition("?")[0])
        assert match is not None, path
        service = match.route.service
        if service not in self.clients:
            harness = self.town.harnesses[service]
            self.clients[service] = harness.client(access_token(harness.settings, self.uuid, self.role))
        return await self.clients[service].request(method, path, **options)

    async def call(self, method: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """The JSON of an answer that has this status."""
        answer = await self.raw(method, path, json=body, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:600]}"
        return answer.json()

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return await self.call("GET", path, None, status, **options)

    async def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        return await self.call("POST", path, body, status, **options)

    async def renamed(self, name: str) -> None:
        """What identity tells once they have another name."""
        self.name = name
        await self.town.introduce(self)

    async def told(self) -> list[str]:
        """Types of their notifications, newest first."""
        return [row["notification_type"] for row in (await self.get("/api/core/notifications/"))["results"]]


@dataclass
class Town:
    """The services, and the clock of those that have one."""

    harnesses: dict[str, Harness]
    clock: SettableClock

    async def drain(self) -> None:
        """Deliver outboxes and run tasks until nothing moves any more."""
        await drain(self.harnesses.values())

    async def sweep(self, task: str) -> None:
        """Run a sweep as beat would, and what follows from it."""
        service = task.partition(".")[0]
        await self.harnesses[service].run_task(task, clock=self.clock)
        await self.drain()

    async def citizen(self, name: str, role: str = "student", time_zone: str = "UTC") -> Citizen:
        person = Citizen(self, uuid4(), name, role, time_zone)
        await self.introduce(person)
        return person

    async def introduce(self, person: Citizen) -> None:
        first = person.name.partition(" ")[0].lower()
        email = f"{first}.{person.uuid.hex[:6]}@lectern.example"
        state = user_state(person.uuid, person.name, person.role, email=email, time_zone=person.time_zone)
        for harness in self.harnesses.values():
            await harness.deliver(state)

    async def course(self, teacher: Citizen, *lessons: str, publish: bool = True, **fields: Any) -> Json:
        """A course of one module with these text lessons: `uuid`, `module`, `lessons` in their order."""
        body = {"title": f"Graphs {uuid4().hex[:6]}", "description": ABOUT} | fields
        course = await teacher.post("/api/courses/", body, 201)
        module = await teacher.post("/api/modules/", {"course": course["uuid"], "title": "One"}, 201)
        made = {"uuid": course["uuid"], "module": module["uuid"], "lessons": []}
        for title in lessons or ("First", "Second"):
            made["lessons"].append(await self.lesson(teacher, made, title))
        if publish:
            await self.publish(teacher, made)
        return made

    async def lesson(self, teacher: Citizen, course: Json, title: str, **fields: Any) -> str:
        body = {
            "module": course["module"],
            "title": title,
            "content_type": "text",
            "text_content": "Read this.",
        }
        lesson = await teacher.post(f"/api/courses/{course['uuid']}/lessons/", body | fields, 201)
        return str(lesson["uuid"])

    async def publish(self, teacher: Citizen, course: Json) -> None:
        await teacher.post(f"/api/courses/{course['uuid']}/publish/")
        await self.drain()

    async def enrolled(self, course: Json, *names: str) -> list[Citizen]:
        """New students with seats, known to everybody."""
        people = [await self.citizen(name) for name in names or ("Ada Lovelace",)]
        for person in people:
            await person.post(f"/api/courses/{course['uuid']}/enroll/", {}, 201)
        await self.drain()
        return people

    async def complete(self, who: Citizen, course: Json, lessons: Sequence[str]) -> Json:
        """The answer to the last of them."""
        for lesson in lessons:
            answer = await who.post(f"/api/courses/{course['uuid']}/lessons/{lesson}/complete/")
        await self.drain()
        found: Json = answer
        return found

    async def quiz(self, teacher: Citizen, course: Json, *questions: Json, **fields: Any) -> Json:
        """A published quiz."""
        body = {"course": course["uuid"], "title": "Check yourself"} | fields
        quiz = await teacher.post("/api/quizzes/", body, 201)
        for question in questions:
            await teacher.post(f"/api/quizzes/{quiz['uuid']}/questions/", question, 201)
        whole: Json = await teacher.post(f"/api/quizzes/{quiz['uuid']}/publish/")
        await self.drain()
        return whole
