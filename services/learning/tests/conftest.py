"""A learning service with a teacher, a course in its replica, and a clock that tests set."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from libs.common.runtime.clock import SettableClock
from libs.common.testing import states
from libs.common.testing.harness import Harness, Person
from libs.common.testing.states import course_state
from libs.common.testing.states import module_state as module


@dataclass
class School:
    """The service and those who use it."""

    harness: Harness
    clock: SettableClock
    teacher: Person
    states: dict[UUID, CourseState] = field(default_factory=dict)

    async def person(self, name: str, role: str = "student", time_zone: str = "UTC") -> Person:
        """Somebody in the replica of users."""
        person = self.harness.person(role)
        await self.harness.deliver(user_state(person.uuid, name, role, time_zone))
        return person

    async def course(self, *lessons: UUID, **changes: Any) -> UUID:
        """A published course of the teacher's with these lessons (two without any)."""
        modules = (module(*(lessons or (uuid4(), uuid4()))),)
        values: dict[str, Any] = {
            "category": {"uuid": uuid4(), "name": "Mathematics", "slug": "mathematics"},
            "tags": ("graphs",),
            "modules": modules,
            "draft_modules": modules,
        }
        state = course_state(uuid4(), self.teacher.uuid, **(values | changes))
        await self._deliver(state)
        return state.uuid

    async def change_course(self, uuid: UUID, **changes: Any) -> None:
        await self._deliver(self.states[uuid].model_copy(update=changes))

    async def republish(self, uuid: UUID, *lessons: UUID) -> None:
        """The course's next revision, with these lessons."""
        modules = (module(*lessons),)
        await self.change_course(
            uuid, modules=modules, draft_modules=modules, revision=(self.states[uuid].revision or 0) + 1
        )

    async def _deliver(self, state: CourseState) -> None:
        self.states[state.uuid] = state
        outcome = await self.harness.deliver(state)
        assert outcome.applied == 1, outcome

    def lessons(self, course: UUID) -> list[UUID]:
        return [lesson.uuid for part in self.states[course].modules for lesson in part.lessons]

    async def enrolled(self, course: UUID, name: str = "Ada Lovelace") -> Person:
        """A new student with a seat."""
        person = await self.person(name)
        done(await person.client.post(f"/api/courses/{course}/enroll/"), 201)
        return person

    async def complete(self, who: Person, course: UUID, lesson: UUID) -> dict[str, Any]:
        return done(await who.client.post(f"/api/courses/{course}/lessons/{lesson}/complete/"))

    async def quiz(self, course: UUID, *questions: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """A published quiz; two questions without any."""
        body = {"course": str(course), "title": "Check yourself", **changes}
        quiz = done(await self.teacher.client.post("/api/quizzes/", json=body), 201)
        for question in questions or (CHOICE, TRUTH):
            done(
                await self.teacher.client.post(f"/api/quizzes/{quiz['uuid']}/questions/", json=question), 201
            )
        return done(await self.teacher.client.post(f"/api/quizzes/{quiz['uuid']}/publish/"))

    async def assignment(self, course: UUID, **changes: Any) -> dict[str, Any]:
        body = {"course": str(course), "title": "Draw a graph", "points": 20, **changes}
        return done(await self.teacher.client.post("/api/assignments/", json=body), 201)

    async def events(self, *kinds: str) -> list[str]:
        """Types of what was published, without `learning.` and `.v1`; only of these kinds."""
        names = [kind.removeprefix("learning.").removesuffix(".v1") for kind, _, _ in await self.published()]
        return [name for name in names if not kinds or name in kinds]

    async def published(self) -> list[tuple[str, str, int]]:
        return await self.harness.published()


CHOICE: dict[str, Any] = {
    "kind": "multiple_choice",
    "text": "Which are graphs?",
    "points": 3,
    "explanation": "canary-explanation",
    "options": [
        {"text": "a triangle", "is_correct": True, "feedback": "canary-feedback"},
        {"text": "a path", "is_correct": True},
        {"text": "a number", "is_correct": False},
    ],
}
TRUTH: dict[str, Any] = {"kind": "true_false", "text": "A tree has a cycle.", "points": 1, "correct": False}


def user_state(uuid: UUID, name: str, role: str = "student", time_zone: str = "UTC") -> UserState:
    email = f"{name.partition(' ')[0].lower()}@example.org"
    return states.user_state(uuid, name, role, email=email, time_zone=time_zone)


def done(response: httpx.Response, status: int = 200) -> Any:
    """The body of an answer that has this status."""
    assert response.status_code == status, (response.status_code, response.text)
    return response.json()


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem of an answer that was refused like this."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    assert body["detail"]
    return body


@pytest.fixture
async def school(open_service: Callable[[str], Awaitable[Harness]]) -> School:
    harness = await open_service("learning")
    clock = SettableClock()
    harness.app.state.clock = clock
    teacher = harness.person("teacher")
    await harness.deliver(user_state(teacher.uuid, "Tess Teacher", "teacher"))
    return School(harness, clock, teacher)
