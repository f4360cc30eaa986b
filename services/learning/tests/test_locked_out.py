"""People who are locked out wait for no seat."""

from typing import Any

from services.learning.tests.conftest import School, done, user_state


async def test_a_disabled_person_waits_no_longer_and_the_next_one_gets_the_freed_seat(school: School) -> None:
    course = await school.course(enrollment_limit=1)
    url = f"/api/courses/{course}/enroll/"
    people = [await school.person(name) for name in ("Ada", "Bob", "Cid")]
    done(await people[0].client.post(url), 201)
    for person in people[1:]:
        done(await person.client.post(url, json={"waitlist": True}), 201)
    state: Any = user_state(people[1].uuid, "Bob", "student", "UTC")
    await school.harness.deliver(state.model_copy(update={"is_active": False}))
    waiting = done(await people[2].client.get("/api/enrollments/?status=waitlisted"))["results"]
    assert waiting[0]["waitlist_position"] == 1
    done(await people[0].client.post(f"/api/courses/{course}/unenroll/"))
    assert done(await people[2].client.get("/api/enrollments/?status=enrolled"))["count"] == 1
    assert await school.events("waitlist_left", "student_enrolled") == [
        "student_enrolled", "waitlist_left", "student_enrolled",
    ]  # fmt: skip
