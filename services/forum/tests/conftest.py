"""Forum in-process, with a course, its people and outsiders."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from conftest import OpenHarness
from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from libs.common.events.learning import EnrollmentState
from libs.common.testing import states
from libs.common.testing.harness import Harness, Person
from libs.common.testing.states import enrollment_state

FORUMS = "/api/core/forums/"
DISCUSSIONS = "/api/core/discussions/"
REPLIES = "/api/core/replies/"
MODERATION = "/api/core/moderation/"


@pytest.fixture
async def forum(open_service: OpenHarness) -> Harness:
    return await open_service("forum")


def user_state(uuid: UUID, name: str, role: str = "student", last: str = "Lovelace") -> UserState:
    return states.user_state(uuid, f"{name} {last}", role)


def course_state(uuid: UUID, instructor: UUID, title: str = "Optics", **fields: Any) -> CourseState:
    return states.course_state(uuid, instructor, title=title, **fields)


@dataclass
class Cast:
    """`ada` and `bob` learn in the course of `teacher`; `eve` and `rival` (a teacher) do not."""

    ada: Person
    bob: Person
    eve: Person
    teacher: Person
    rival: Person
    moderator: Person
    manager: Person
    course: UUID
    forum: str
    enrollment: EnrollmentState


@pytest.fixture
async def cast(forum: Harness) -> Cast:
    roles = {
        "ada": "student", "bob": "student", "eve": "student", "teacher": "teacher", "rival": "teacher",
        "moderator": "moderator", "manager": "manager",
    }  # fmt: skip
    people = {name: forum.person(role) for name, role in roles.items()}
    for name, person in people.items():
        await forum.deliver(user_state(person.uuid, name.title(), person.role))
    course = uuid4()
    enrollment = enrollment_state(course, people["ada"].uuid)
    await forum.deliver(
        course_state(course, people["teacher"].uuid),
        enrollment,
        enrollment_state(course, people["bob"].uuid, "completed"),
        enrollment_state(course, people["eve"].uuid, "dropped"),
    )
    listed = (await people["ada"].client.get(f"{FORUMS}?course={course}")).json()
    return Cast(**people, course=course, forum=listed["results"][0]["uuid"], enrollment=enrollment)


async def started(person: Person, cast: Cast, **fields: Any) -> dict[str, Any]:
    body = {
        "forum": cast.forum,
        "title": "Why is the sky blue?",
        "content": "And not violet?",
        "discussion_type": "question",
    }
    answer = await person.client.post(DISCUSSIONS, json=body | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def replied(person: Person, discussion: dict[str, Any], content: str = "x", **fields: Any) -> Any:
    body = {"discussion": discussion["uuid"], "content": content}
    answer = await person.client.post(REPLIES, json=body | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def kinds(forum: Harness) -> list[str]:
    """Facts that wait in the outbox, by short names."""
    names = [kind.removeprefix("forum.").removesuffix(".v1") for kind, _, _ in await forum.published()]
    return [name for name in names if name != "discussion"]
