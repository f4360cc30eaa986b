"""Forum in-process, with a course, its people and outsiders."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from conftest import OpenHarness
from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from libs.common.events.learning import EnrollmentState
from libs.common.runtime.clock import system_clock
from libs.common.testing.harness import Harness, Person

FORUMS = "/api/core/forums/"
DISCUSSIONS = "/api/core/discussions/"
REPLIES = "/api/core/replies/"
MODERATION = "/api/core/moderation/"


@pytest.fixture
async def forum(open_service: OpenHarness) -> Harness:
    return await open_service("forum")


def user_state(uuid: UUID, name: str, role: str = "student", last: str = "Lovelace") -> UserState:
    return UserState(
        uuid=uuid, email=f"{name.lower()}@lectern.example", first_name=name, last_name=last,
        full_name=f"{name} {last}", role=role, is_active=True, is_verified=True, avatar=None, bio="",
        locale="en", time_zone="UTC", date_joined=system_clock(),
    )  # fmt: skip


def course_state(uuid: UUID, instructor: UUID, title: str = "Optics", **fields: Any) -> CourseState:
    values: dict[str, Any] = dict(
        uuid=uuid, title=title, slug="optics", short_description="", status="published", level="beginner",
        language="en", category=None, tags=(), instructor=instructor, instructors=(instructor,),
        thumbnail=None, preview_video=None, is_featured=False, duration_hours=None, enrollment_limit=None,
        revision=1, modules=(), draft_modules=(), prerequisites=(), created_at=system_clock(),
        updated_at=system_clock(), published_at=system_clock(),
    )  # fmt: skip
    return CourseState(**values | fields)


def enrollment_state(
    course: UUID, student: UUID, status: str = "enrolled", uuid: UUID | None = None
) -> EnrollmentState:
    return EnrollmentState(
        uuid=uuid or uuid4(), course=course, student=student, status=status, progress_percentage=0,
        completed_lessons=(), enrolled_at=system_clock(), started_at=None, completed_at=None,
        last_accessed=None,
    )  # fmt: skip


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
