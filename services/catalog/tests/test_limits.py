"""What is too much: modules and lessons of a course, plans far ahead, categories within each other."""

import asyncio

import pytest
from sqlalchemy import text

from libs.common.runtime.clock import SettableClock
from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import School, ok, refused

# Control characters take six bytes each of JSON, the most there is.
FILL_MODULES = """INSERT INTO modules (uuid, course_uuid, title, description, position, version)
 SELECT gen_random_uuid(), CAST(:course AS uuid), repeat(chr(1), 200), '', 900000 + n, 1
 FROM generate_series(1, :number) AS n"""
FILL_LESSONS = """INSERT INTO lessons (uuid, course_uuid, module_uuid, title, description, content_type,
  text_content, estimated_time_minutes, is_preview, is_published, points, requires_submission, resources,
  position, version)
 SELECT gen_random_uuid(), CAST(:course AS uuid), m.uuid, repeat(chr(1), 200), '', 'interactive', '', 100000,
  false, true, 100000, false, '[]', 900000 + n, 1
 FROM generate_series(1, :number) AS n,
  LATERAL (SELECT uuid FROM modules WHERE course_uuid = CAST(:course AS uuid) ORDER BY position
   OFFSET n % (SELECT count(*) FROM modules WHERE course_uuid = CAST(:course AS uuid)) LIMIT 1) AS m"""


async def fill(catalog: Harness, course: dict, statement: str, number: int) -> None:
    async with catalog.db.session() as session:
        await session.execute(text(statement), {"course": course["uuid"], "number": number})


async def test_a_course_takes_a_hundred_modules_and_five_hundred_lessons_under_any_race(
    catalog: Harness, school: School, teacher: Person, manager: Person
):
    course = await school.course(teacher)
    module = await school.module(teacher, course)
    await fill(catalog, course, FILL_MODULES, 97)
    await fill(catalog, course, FILL_LESSONS, 498)
    lesson = {"module": module["uuid"], "title": "One more", "content_type": "text"}
    for path, body in (
        ("/api/modules/", {"course": course["uuid"], "title": "One more"}),
        (f"/api/courses/{course['uuid']}/lessons/", lesson),
    ):
        answers = await asyncio.gather(
            *(person.client.post(path, json=body) for person in [teacher, manager] * 3)
        )
        assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
        refused(await teacher.client.post(path, json=body), 409, "course_too_large")
    path = f"/api/courses/{course['uuid']}/"
    copy = ok(await teacher.client.post(f"{path}duplicate/"), 201)
    assert (len(copy["modules"]), len(copy["lessons"])) == (100, 500)
    first = next(row for row in ok(await teacher.client.get(path))["lessons"] if row["title"] == "One more")
    ok(await teacher.client.delete(f"{path}lessons/{first['uuid']}/"))
    ok(await teacher.client.post(f"{path}lessons/", json=lesson), 201)
    await fill(catalog, course, FILL_LESSONS.replace("900000", "950000"), 1)  # as it was before the limit
    refused(await teacher.client.post(f"{path}duplicate/"), 409, "course_too_large")


async def test_the_largest_course_fits_into_one_message(catalog: Harness, school: School, teacher: Person):
    texts = {"short_description": "\x01" * 500, "tags": [f"{n:02}" + "\x01" * 48 for n in range(20)]}
    course = await school.course(teacher, "\x01" * 200, **texts)
    await fill(catalog, course, FILL_MODULES, 100)
    await fill(catalog, course, FILL_LESSONS, 500)
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))
    async with catalog.db.sessions() as session:
        size = await session.scalar(text("SELECT max(length(payload)) FROM outbox"))
    assert 900_000 < size < 1_000_000


async def test_states_carry_whole_titles_but_for_absurd_ones(
    catalog: Harness, school: School, teacher: Person
):
    course = await school.course(teacher)
    module = await school.module(teacher, course, "图" * 200)
    await school.lesson(teacher, module, "🎓" * 200)
    async with catalog.db.sessions() as session:
        newest = "SELECT convert_from(payload, 'UTF8')::json FROM outbox ORDER BY seq DESC LIMIT 1"
        state = (await session.scalar(text(newest)))["draft_modules"][0]
    assert (state["title"], state["lessons"][0]["title"]) == ("图" * 200, "🎓" * 150)


@pytest.mark.parametrize(
    "moment",
    ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z", "2036-03-04T09:00:00Z"],
)
async def test_a_plan_lies_within_ten_years(catalog: Harness, school: School, teacher: Person, moment: str):
    catalog.app.state.clock = SettableClock()
    course = await school.course(teacher)
    await school.lesson(teacher, await school.module(teacher, course))
    path = f"/api/courses/{course['uuid']}/publish/"
    answer = refused(await teacher.client.post(path, json={"publish_at": moment}), 422, "invalid_input")
    assert answer["errors"][0]["field"] == "publish_at"
    late = ok(await teacher.client.post(path, json={"publish_at": "2036-03-01T09:00:00Z"}))
    assert (late["status"], late["publish_at"]) == ("draft", "2036-03-01T09:00:00Z")
    # What is past is now, however far; "" is not given; only null ends a plan.
    assert ok(await teacher.client.post(path, json={"publish_at": ""}))["status"] == "published"
    long_ago = {"publish_at": "0001-01-01T00:00:00+14:00"}
    assert ok(await teacher.client.post(path, json=long_ago))["publish_at"] is None


async def test_categories_lie_within_each_other_up_to_twenty_levels(catalog: Harness, manager: Person):
    async def make(name: str, parent: str | None):
        return await manager.client.post("/api/categories/", json={"name": name, "parent": parent})

    for level in range(20):
        ok(await make(f"Level {level}", f"level-{level - 1}" if level else None), 201)
    answer = refused(await make("Level 20", "level-19"), 422, "category_too_deep")
    assert answer["errors"][0]["field"] == "parent"
    ok(await make("Other", None), 201)
    ok(await make("Below", "other"), 201)
    path = "/api/categories/other/"
    refused(await manager.client.patch(path, json={"parent": "level-18"}), 422, "category_too_deep")
    ok(await manager.client.patch(path, json={"parent": "level-17"}))
    tree = ok(await catalog.client().get("/api/categories/"))["results"]
    assert max(row["depth"] for row in tree) == 19
