"""Who has lost a standing has lost its rights, in every service: all rows of the access matrix, in one town.

The town's events have all arrived before each request: what is refused is refused by what the services know,
not because a replica is late.
"""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from conftest import OpenHarness
from libs.common.runtime.clock import SettableClock
from libs.common.security.revocation import Revocation
from tests.security import world as things
from tests.security.matrix import MATRIX
from tests.security.row import Row
from tests.security.test_access_matrix import OPERATIONS, call
from tests.security.world import ROLES, World
from tests.stories.town import SERVICES, Citizen, Town
from tests.support import Visitor

pytestmark = pytest.mark.timeout(240)

REFUSED = (401, 403, 404)
OWN = {
    "catalog_change_review", "catalog_remove_review", "learning_get_attempt", "learning_get_submission",
    "learning_get_own_grades", "learning_explain_grade", "learning_list_certificates",
    "learning_get_certificate", "learning_download_certificate", "learning_reissue_certificate",
    "learning_unenroll_from_course", "notify_change_notification", "notify_delete_notification",
    "support_get_ticket", "support_add_ticket_message", "support_change_ticket_status",
    "support_reopen_ticket", "support_rate_ticket",
}  # fmt: skip
"""What people keep when they leave a course: their work, certificates, reviews, notifications and tickets;
and to leave again changes nothing."""


class Resident(Visitor):
    """Somebody of the town, with the manners of a visitor of the suite."""

    def __init__(self, citizen: Citizen) -> None:
        self.citizen, self.user, self.access = citizen, {"uuid": str(citizen.uuid)}, ""

    async def raw(self, method: str, path: str, **options: Any) -> httpx.Response:
        await self.citizen.town.drain()
        return await self.citizen.raw(method, path, **options)

    async def becomes(self, role: str) -> None:
        """Another role, and the token of a new login."""
        self.citizen.role = role
        self.citizen.clients.clear()
        await self.citizen.town.introduce(self.citizen)


@pytest.fixture
async def world(open_service: OpenHarness) -> World:
    harnesses = {name: await open_service(name) for name in (*SERVICES, "support")}
    clock = SettableClock()
    for harness in harnesses.values():
        harness.app.state.clock = clock
    town = Town(harnesses, clock)
    people: dict[str, Visitor] = {}
    for name in ROLES[1:]:
        role = {"owner": "teacher", "member": "student"}.get(name, name)
        people[name] = Resident(await town.citizen(f"{name.title()} Lovelace", role))
    return World(SimpleNamespace(mark=uuid4().hex[:8]), people)  # type: ignore[arg-type]


def asked_as(row: Row, name: str) -> str:
    """The column of a row that speaks of the teacher (`owner`) or the learner (`member`) of the course."""
    return {"owner": "member", "member": "owner"}[name] if row.learner else name


def rights(name: str) -> list[str]:
    """Operations that this person may call and another student may not; reads first, deletions last, so that
    none is refused for want of the thing."""
    found = []
    for operation, row in MATRIX.items():
        statuses = dict(zip(ROLES, row.statuses.split(), strict=True))
        mine = statuses[asked_as(row, name)] == "2xx" and statuses["student"] != "2xx"
        if mine and not operation.startswith("identity_"):
            found.append(operation)
    return sorted(
        found, key=lambda operation: ["GET", "POST", "PUT", "PATCH", "DELETE"].index(method(operation))
    )


def method(operation: str) -> str:
    return OPERATIONS[operation][0]


async def answers(world: World, operations: list[str], name: str) -> dict[str, int]:
    """Status of each operation, called by this person on a thing that is made once."""
    seen = {}
    for operation in operations:
        row = MATRIX[operation]
        thing = world.shared[row.make.__name__] if row.make else None
        seen[operation] = (await call(world, row, operation, asked_as(row, name), thing)).status_code
    return seen


async def prepare(world: World, operations: list[str], name: str) -> None:
    """Make the things, and see that the reads among the operations are answered to this person."""
    await make_all(world, operations)
    reads = [operation for operation in operations if method(operation) == "GET"]
    assert {o: s for o, s in (await answers(world, reads, name)).items() if s >= 300} == {}


async def make_all(world: World, operations: list[str]) -> None:
    await world.once(things.platform_forum)
    for operation in operations:
        if (make := MATRIX[operation].make) is not None:
            await world.once(make)


def still(seen: dict[str, int]) -> dict[str, int]:
    """What was not refused."""
    return {operation: status for operation, status in seen.items() if status not in REFUSED}


@pytest.mark.promise("object access")
async def test_a_teacher_who_becomes_a_student_has_no_right_of_an_instructor_left(world: World) -> None:
    operations = rights("owner")
    await prepare(world, operations, "owner")
    await world.owner.becomes("student")
    assert still(await answers(world, operations, "owner")) == {}


@pytest.mark.promise("object access")
async def test_who_leaves_a_course_keeps_nothing_but_their_own(world: World) -> None:
    operations = [operation for operation in rights("member") if operation not in OWN]
    await prepare(world, operations, "member")
    for enrollment in (await world.member.get("/api/enrollments/?page_size=100"))["results"]:
        await world.member.post(f"/api/courses/{enrollment['course']['uuid']}/unenroll/")
    assert still(await answers(world, operations, "member")) == {}


@pytest.mark.promise("revocation")
async def test_who_is_disabled_is_nobody_to_every_operation(world: World) -> None:
    operations = [
        operation
        for operation, row in MATRIX.items()
        if row.statuses.startswith("401") and not operation.startswith("identity_")
    ]
    await make_all(world, operations)
    for name in ("owner", "member"):
        citizen = world.people[name].citizen
        for harness in citizen.town.harnesses.values():
            harness.app.state.revocations.revoke(Revocation(citizen.uuid, version=2))
        seen = await answers(world, operations, name)
        assert {operation: status for operation, status in seen.items() if status != 401} == {}
