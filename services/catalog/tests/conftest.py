"""Catalog in-process, people known to its replica, and a short way to a course."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from conftest import OpenHarness
from libs.common.events.learning import EnrollmentState
from libs.common.runtime.clock import SettableClock
from libs.common.testing import states
from libs.common.testing.harness import Harness, Person
from libs.common.testing.states import user_state

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DESCRIPTION = "What vertices and edges are, and why walks, trees and colourings follow from them."
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"


@pytest.fixture
async def catalog(open_service: OpenHarness) -> Harness:
    return await open_service("catalog")


def enrollment_state(
    course: str,
    student: UUID,
    status: str = "enrolled",
    completed: tuple[str, ...] = (),
    uuid: UUID | None = None,
) -> EnrollmentState:
    return states.enrollment_state(course, student, status, completed_lessons=completed, uuid=uuid or uuid4())


@dataclass
class School:
    """Makes people and courses through the API, as a front end would."""

    catalog: Harness

    async def person(self, name: str, role: str) -> Person:
        person = self.catalog.person(role)
        await self.catalog.deliver(user_state(person.uuid, name, role))
        return person

    async def course(self, teacher: Person, title: str = "Graphs from the ground up", **fields: Any) -> dict:
        body = {"title": title, "description": DESCRIPTION} | fields
        return ok(await teacher.client.post("/api/courses/", json=body), 201)

    async def module(self, teacher: Person, course: dict, title: str = "First steps", **fields: Any) -> dict:
        body = {"course": course["uuid"], "title": title} | fields
        return ok(await teacher.client.post("/api/modules/", json=body), 201)

    async def lesson(
        self, teacher: Person, module: dict, title: str = "What a graph is", **fields: Any
    ) -> dict:
        body = {"module": module["uuid"], "title": title, "content_type": "text", "text_content": "*Edges*."}
        path = f"/api/courses/{module['course']}/lessons/"
        return ok(await teacher.client.post(path, json=body | fields), 201)

    async def published(
        self, teacher: Person, title: str = "Graphs from the ground up", **fields: Any
    ) -> dict:
        """A published course of one module with a text and a preview lesson."""
        course = await self.course(teacher, title, **fields)
        module = await self.module(teacher, course)
        await self.lesson(teacher, module)
        await self.lesson(teacher, module, "A taste", is_preview=True)
        return ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))

    async def enroll(self, course: dict, student: Person, **fields: Any) -> None:
        await self.catalog.deliver(enrollment_state(course["uuid"], student.uuid, **fields))


async def swept(catalog: Harness, task: str, clock: SettableClock | None = None) -> None:
    """Let a sweep find what nothing uses, and an hour later delete it."""
    clock = clock or SettableClock(datetime.now(UTC))
    await catalog.run_task(f"catalog.sweep_{task}", clock=clock)
    clock.advance(minutes=61)
    await catalog.run_task(f"catalog.sweep_{task}", clock=clock)


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str | None = None) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["detail"]
    assert code is None or body["code"] == code
    return body


@pytest.fixture
def school(catalog: Harness) -> School:
    return School(catalog)


@pytest.fixture
async def teacher(school: School) -> Person:
    return await school.person("Tara Teacher", "teacher")


@pytest.fixture
async def manager(school: School) -> Person:
    return await school.person("Mona Manager", "manager")


@pytest.fixture
async def student(school: School) -> Person:
    return await school.person("Sami Student", "student")
