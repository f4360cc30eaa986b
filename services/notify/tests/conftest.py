"""Notify in-process, with people, a course, and a mail server."""

from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from conftest import Mailbox, OpenHarness
from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from libs.common.runtime.clock import system_clock
from libs.common.testing.harness import Harness, Person


def user_state(uuid: UUID, name: str, locale: str = "en") -> UserState:
    return UserState(
        uuid=uuid, email=f"{name.lower()}@lectern.example", first_name=name, last_name="L",
        full_name=f"{name} L", role="student", is_active=True, is_verified=True, avatar=None, bio="",
        locale=locale, time_zone="UTC", date_joined=system_clock(),
    )  # fmt: skip


def course_state(uuid: UUID, title: str) -> CourseState:
    now = system_clock()
    return CourseState(
        uuid=uuid, title=title, slug="s", short_description="", status="published", level="beginner",
        language="en", category=None, tags=(), instructor=uuid4(), instructors=(), thumbnail=None,
        preview_video=None, is_featured=False, duration_hours=0, enrollment_limit=None, revision=1,
        modules=(), draft_modules=(), prerequisites=(), created_at=now, updated_at=now, published_at=now,
    )  # fmt: skip


@dataclass
class Scene:
    service: Harness
    mailbox: Mailbox
    ada: Person
    eve: Person
    course: UUID


@pytest.fixture
async def scene(open_service: OpenHarness, mailbox: Mailbox) -> Scene:
    service = await open_service("notify")
    service.settings.smtp_url = mailbox.url
    scene = Scene(service, mailbox, service.person(), service.person(), uuid4())
    await service.deliver(
        user_state(scene.ada.uuid, "Ada"),
        user_state(scene.eve.uuid, "Eve", "ar"),
        course_state(scene.course, "Algebra"),
    )
    return scene
