"""Notify in-process, with people, a course, and a mail server."""

from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from conftest import Mailbox, OpenHarness
from libs.common.events.catalog import CourseState
from libs.common.events.identity import UserState
from libs.common.testing import states
from libs.common.testing.harness import Harness, Person


def user_state(uuid: UUID, name: str, locale: str = "en") -> UserState:
    return states.user_state(uuid, f"{name} L", locale=locale)


def course_state(uuid: UUID, title: str) -> CourseState:
    return states.course_state(uuid, title=title)


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
