"""A learning service with a teacher, a course in its replica, and a clock that tests set."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.common.events.catalog import CourseState, LessonState, ModuleState
from libs.common.events.identity import UserState
from libs.common.runtime.clock import SettableClock
from libs.common.testing.harness import Harness, Person

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def module(*lessons: UUID, kind: str = "text") -> ModuleState:
    """A module of lessons, ten points each."""
    return ModuleState(
        uuid=uuid4(),
        title="A module",
        order=0,
        lessons=tuple(
            LessonState(
                uuid=lesson,
                title=f"Lesson {order}",
                content_type=kind,
                order=order,
                estimated_time_minutes=5,
                points=10,
                is_preview=False,
                requires_submission=False,
            )
            for order, lesson in enumerate(lessons)
        ),
    )


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
        uuid = uuid4()
        modules = (module(*(lessons or (uuid4(), uuid4()))),)
        values: dict[str, Any] = {
            "uuid": uuid,
            "title": "Graphs from the ground up",
            "slug": f"graphs-{uuid}",
            "short_description": "Vertices, edges, walks.",
            "status": "published",
            "level": "beginner",
            "language": "en",
            "category": {"uuid": uuid4(), "name": "Mathematics", "slug": "mathematics"},
            "tags": ("graphs",),
            "instructor": self.teacher.uuid,
            "instructors": (self.teacher.uuid,),
            "thumbnail": None,
            "preview_video": None,
            "is_featured": False,
            "duration_hours": 1.5,
            "enrollment_limit": None,
            "revision": 1,
            "modules": modules,
            "draft_modules": modules,
            "prerequisites": (),
            "created_at": LONG_AGO,
            "updated_at": LONG_AGO,
            "published_at": LONG_AGO,
        }
        await self._deliver(CourseState(**(values | changes)))
        return uuid

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
    first, _, last = name.partition(" ")
    return UserState(
        uuid=uuid,
        email=f"{first.lower()}@example.org",
        first_name=first,
        last_name=last,
        full_name=name,
        role=role,
        is_active=True,
        is_verified=True,
        avatar=None,
        bio="",
        locale="en",
        time_zone=time_zone,
        date_joined=LONG_AGO,
    )


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
