"""Support in-process, with people that it has heard of."""

from dataclasses import dataclass

import pytest

from conftest import OpenHarness
from libs.common.events.identity import UserState
from libs.common.runtime.clock import system_clock
from libs.common.testing.harness import Harness, Person


@pytest.fixture
async def support(open_service: OpenHarness) -> Harness:
    return await open_service("support")


def user_state(person: Person, name: str, *, is_active: bool = True) -> UserState:
    return UserState(
        uuid=person.uuid, email=f"{name.lower()}@lectern.example", first_name=name, last_name="L",
        full_name=f"{name} L", role=person.role, is_active=is_active, is_verified=True, avatar=None, bio="",
        locale="en", time_zone="UTC", date_joined=system_clock(),
    )  # fmt: skip


@dataclass
class Cast:
    ada: Person
    eve: Person
    moderator: Person
    manager: Person


@pytest.fixture
async def cast(support: Harness) -> Cast:
    people = Cast(support.person(), support.person(), support.person("moderator"), support.person("manager"))
    for name, person in vars(people).items():
        await support.deliver(user_state(person, name.title()))
    return people
