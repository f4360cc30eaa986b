"""What people have learnt: added up from learning's enrolments."""

from typing import Any
from uuid import UUID, uuid4

from libs.common.events.learning import EnrollmentState
from libs.common.testing.harness import Harness
from libs.common.testing.states import enrollment_state
from services.identity.tests.conftest import Account, People

ME = "/api/accounts/users/me/"


def enrollment(student: UUID, status: str = "in_progress", **fields: Any) -> EnrollmentState:
    return enrollment_state(uuid4(), student, status, progress_percentage=50, **fields)


async def numbers(account: Account) -> tuple[int, float, int]:
    profile = (await account.client.get(ME)).json()["profile"]
    return profile["courses_completed"], profile["total_study_hours"], profile["points_earned"]


async def test_a_profile_tells_what_was_learnt(identity: Harness, people: People):
    ada, eve = await people.join("ada@lectern.example"), await people.join("eve@lectern.example")
    student = UUID(ada.user["uuid"])
    assert await numbers(ada) == (0, 0, 0)
    tag = (await ada.client.get(ME)).headers["etag"]
    first = enrollment(student, study_seconds=1800, points=10)
    second = enrollment(student, status="completed", study_seconds=3600, points=30)
    other = enrollment(UUID(eve.user["uuid"]), study_seconds=36)
    await identity.deliver((first, 1), (second, 1), (other, 1), (first, 1))
    assert await numbers(ada) == (1, 1.5, 40)
    assert await numbers(eve) == (0, 0.01, 0)
    changed = await ada.client.get(ME, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["etag"].partition("-")[0]) == (200, tag.partition("-")[0])
    await identity.deliver((first.model_copy(update={"study_seconds": 5400}), 2))
    assert await numbers(ada) == (1, 2.5, 40)


async def test_learning_of_somebody_unknown_is_no_error(identity: Harness):
    outcome = await identity.deliver(enrollment(uuid4(), study_seconds=60))
    assert (outcome.applied, outcome.parked) == (1, 0)
