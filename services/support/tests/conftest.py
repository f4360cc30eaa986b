"""Support in-process, with people that it has heard of."""

from dataclasses import dataclass

import pytest

from conftest import OpenHarness
from libs.common.events.identity import UserState
from libs.common.testing import states
from libs.common.testing.harness import Harness, Person


@pytest.fixture
async def support(open_service: OpenHarness) -> Harness:
    return await open_service("support")


def user_state(person: Person, name: str, *, is_active: bool = True) -> UserState:
    return states.user_state(person.uuid, f"{name} L", person.role, is_active=is_active)


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
