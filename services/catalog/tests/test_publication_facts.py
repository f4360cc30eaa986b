"""What `course_published` says: the revision, how much is in it, and which lessons are new in it."""

from typing import Any

from sqlalchemy import text

from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import School, ok


async def publish(catalog: Harness, teacher: Person, course: dict) -> dict[str, Any]:
    """The newest fact after publishing."""
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))
    async with catalog.db.sessions() as session:
        newest = (
            "SELECT convert_from(payload, 'UTF8')::json FROM outbox"
            " WHERE type = 'catalog.course_published.v1' ORDER BY seq DESC LIMIT 1"
        )
        fact: dict[str, Any] = await session.scalar(text(newest))
    return {name: fact[name] for name in ("revision", "module_count", "lesson_count", "added_lessons")}


async def test_a_revision_names_the_lessons_that_it_adds_and_no_others(
    catalog: Harness, school: School, teacher: Person
):
    course = await school.course(teacher)
    module = await school.module(teacher, course)
    one, two = [(await school.lesson(teacher, module, title))["uuid"] for title in ("One", "Two")]
    path = f"/api/courses/{course['uuid']}/"
    first = {"revision": 1, "module_count": 1, "lesson_count": 2, "added_lessons": [one, two]}
    assert await publish(catalog, teacher, course) == first

    three = (await school.lesson(teacher, module, "Three"))["uuid"]
    other = await school.module(teacher, course, "Second steps")
    four = (await school.lesson(teacher, other, "Four"))["uuid"]
    second = {"revision": 2, "module_count": 2, "lesson_count": 4, "added_lessons": [three, four]}
    assert await publish(catalog, teacher, course) == second

    ok(await teacher.client.delete(f"{path}lessons/{one}/"))
    ok(await teacher.client.patch(f"{path}lessons/{two}/", json={"title": "Two, rewritten"}))
    third = {"revision": 3, "module_count": 2, "lesson_count": 3, "added_lessons": []}
    assert await publish(catalog, teacher, course) == third


async def test_a_course_that_is_opened_again_unchanged_adds_nothing(
    catalog: Harness, school: School, teacher: Person
):
    course = await school.published(teacher)
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/unpublish/"))
    again = {"revision": 1, "module_count": 1, "lesson_count": 2, "added_lessons": []}
    assert await publish(catalog, teacher, course) == again


async def test_lessons_in_another_order_are_not_new(catalog: Harness, school: School, teacher: Person):
    course = await school.course(teacher)
    one, two = [await school.module(teacher, course, title) for title in ("One", "Two")]
    lessons = [(await school.lesson(teacher, one, f"Lesson {n}"))["uuid"] for n in range(3)]
    await publish(catalog, teacher, course)
    tree = [{"uuid": two["uuid"], "lessons": lessons[::-1]}, {"uuid": one["uuid"], "lessons": []}]
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/reorder/", json={"modules": tree}))
    moved = await publish(catalog, teacher, course)
    assert (moved["revision"], moved["lesson_count"], moved["added_lessons"]) == (2, 3, [])
