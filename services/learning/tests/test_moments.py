"""Moments in which a course changes under those who learn in it: revisions that come, courses that close."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.common.bus.inbox import apply_in
from libs.common.bus.received import decode
from libs.common.testing.harness import Person, as_record, eventually
from services.learning.lessons import completion
from services.learning.tests.conftest import School, done, module

PAUSE = 0x1EC7
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def waiting_for(school: School, course: UUID, names: tuple[str, ...]) -> list[Person]:
    """People on the waitlist of a course, in this order."""
    people = [await school.person(name) for name in names]
    for person in people:
        school.clock.advance(seconds=1)
        done(await person.client.post(f"/api/courses/{course}/enroll/", json={"waitlist": True}), 201)
    return people


async def seated(person: Person) -> int:
    return int(done(await person.client.get("/api/enrollments/?status=enrolled"))["count"])


@pytest.mark.parametrize("closed", ["draft", "archived"])
async def test_nobody_gets_a_seat_while_the_course_is_closed(school: School, closed: str) -> None:
    """Neither when somebody leaves, nor when the limit is raised or goes: seats are given when it opens."""
    course = await school.course(enrollment_limit=1)
    holder = await school.enrolled(course, "Holder")
    first, second, third = await waiting_for(school, course, ("First", "Second", "Third"))
    await school.change_course(course, status=closed)
    done(await holder.client.post(f"/api/courses/{course}/unenroll/"))
    await school.change_course(course, enrollment_limit=2)
    await school.change_course(course, enrollment_limit=None)
    await school.change_course(course, enrollment_limit=2)
    assert [await seated(person) for person in (first, second, third)] == [0, 0, 0]
    assert await school.events("student_enrolled") == ["student_enrolled"]
    await school.change_course(course, status="published")
    assert [await seated(person) for person in (first, second, third)] == [1, 1, 0]
    assert await school.events("student_enrolled") == ["student_enrolled"] * 3


async def test_a_next_revision_of_a_closed_course_fills_no_seat(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    await school.enrolled(course, "Holder")
    [first] = await waiting_for(school, course, ("First",))
    await school.change_course(course, status="draft", enrollment_limit=5)
    await school.republish(course, uuid4())
    assert await seated(first) == 0


async def test_a_lesson_is_completed_against_the_revision_that_came_meanwhile(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short way has read the course, and waits; a revision comes and moves the seat; then it goes on."""
    paused = completion.SEATS.replace(
        "LEFT JOIN users u",
        f"LEFT JOIN (SELECT u.* FROM users u, (SELECT pg_advisory_xact_lock_shared({PAUSE}) OFFSET 0) p) u",
    )
    assert paused != completion.SEATS
    monkeypatch.setattr(completion, "SEATS", paused)
    one, two, three = uuid4(), uuid4(), uuid4()
    course = await school.course(one, two)
    student = await school.enrolled(course)

    async def is_waiting() -> bool:
        async with school.harness.db.sessions() as other:
            query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :n AND NOT granted"
            return bool(await other.scalar(text(query), {"n": PAUSE}))

    async with school.harness.db.session() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": PAUSE})
        answer = asyncio.ensure_future(school.complete(student, course, one))
        await eventually(is_waiting)
        await school.republish(course, one, two, three)
    assert await answer == {"progress_percentage": 33.33, "course_completed": False}
    [row] = done(await student.client.get("/api/enrollments/my-courses/"))
    assert (row["progress"], row["next_lesson"]["uuid"]) == (33.33, str(two))


async def test_a_lesson_whose_seat_is_being_moved_is_completed_against_the_revision_it_moves_to(
    school: School,
) -> None:
    """The seat is locked by whoever applies the revision, so the request waits, and has read the course."""
    one, two, three = uuid4(), uuid4(), uuid4()
    course = await school.course(one, two)
    student = await school.enrolled(course)
    modules = (module(one, two, three),)
    state = school.states[course].model_copy(update={"modules": modules, "revision": 2})
    subscription = school.harness.subscription
    assert subscription is not None

    async def is_waiting() -> bool:
        async with school.harness.db.sessions() as other:
            return bool(await other.scalar(text(WAITING)))

    async with school.harness.db.session() as session:
        await apply_in(session, subscription, [decode(subscription, as_record(state, 2))])
        answer = asyncio.ensure_future(school.complete(student, course, one))
        await eventually(is_waiting)
    assert await answer == {"progress_percentage": 33.33, "course_completed": False}


async def test_a_full_course_gives_no_seat_whatever_its_next_state_says(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    await school.enrolled(course, "Holder")
    [first] = await waiting_for(school, course, ("First",))
    await school.change_course(course, title="Graphs, again")
    await school.change_course(course, enrollment_limit=0)
    assert await seated(first) == 0


async def test_the_last_lesson_of_an_older_revision_completes_no_course(school: School) -> None:
    one, two = uuid4(), uuid4()
    course = await school.course(one)
    student = await school.enrolled(course)
    await school.republish(course, one, two)
    assert await school.complete(student, course, one) == {
        "progress_percentage": 50,
        "course_completed": False,
    }
    await school.republish(course, two)
    assert await school.complete(student, course, two) == {
        "progress_percentage": 100,
        "course_completed": True,
    }
