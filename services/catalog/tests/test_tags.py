"""Tags: made by their first use, renamed and deleted by managers on every course that carries them."""

import asyncio

from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import DESCRIPTION, School, ok, refused


async def tags(client) -> dict[str, dict]:
    return {tag["name"]: tag for tag in ok(await client.get("/api/tags/"))["results"]}


async def carried(person: Person, course: dict) -> list[str]:
    return ok(await person.client.get(f"/api/courses/{course['uuid']}/"))["tags"]


async def test_managers_rename_and_delete_tags_on_every_course(
    catalog: Harness, school: School, teacher: Person, manager: Person
):
    course = await school.published(teacher, tags=["Graphs", "Proofs"])
    other = await school.course(teacher, "Another", tags=["graphs"])
    known = await tags(manager.client)
    path = f"/api/tags/{known['Graphs']['uuid']}/"
    renamed = await manager.client.patch(path, json={"name": "Graph theory"})
    assert (ok(renamed)["slug"], ok(renamed)["courses_count"]) == ("graph-theory", 1)
    assert await carried(teacher, course) == ["Graph theory", "Proofs"]
    assert await carried(teacher, other) == ["Graph theory"]
    found = ok(await catalog.client().get("/api/courses/", params={"tag": "graph-theory"}))
    assert [card["uuid"] for card in found["results"]] == [course["uuid"]]
    assert ok(await catalog.client().get("/api/courses/", params={"tag": "Graphs"}))["results"] == []
    told = [key for kind, key, _ in await catalog.published() if kind == "catalog.course_updated.v1"]
    assert sorted(told) == sorted([course["uuid"], other["uuid"]])

    stale = {"If-Match": '"1"'}
    refused(await manager.client.delete(path, headers=stale), 412)
    ok(await manager.client.delete(path, headers={"If-Match": renamed.headers["etag"]}))
    assert await carried(teacher, course) == ["Proofs"]
    assert await carried(teacher, other) == []
    assert set(await tags(manager.client)) == {"Proofs"}
    refused(await manager.client.delete(path), 404)


async def test_a_name_is_there_once_whatever_its_case(school: School, teacher: Person, manager: Person):
    made = ok(await manager.client.post("/api/tags/", json={"name": "Trees"}), 201)
    refused(await manager.client.post("/api/tags/", json={"name": "TREES"}), 409, "tag_taken")
    await school.course(teacher, tags=["Walks"])
    path = f"/api/tags/{made['uuid']}/"
    refused(await manager.client.patch(path, json={"name": "walks"}), 409, "tag_taken")
    assert ok(await manager.client.patch(path, json={"name": "trees"}))["name"] == "trees"
    for body in ({"name": ""}, {"name": "x" * 51}, {"name": "a\0b"}, {"colour": "red"}):
        refused(await manager.client.post("/api/tags/", json=body), 422)
    refused(await teacher.client.post("/api/tags/", json={"name": "Mine"}), 403)
    assert set(await tags(teacher.client)) == {"trees", "Walks"}


async def test_courses_that_get_a_tag_while_it_is_renamed_have_one_of_its_names(
    school: School, teacher: Person, manager: Person
):
    made = ok(await manager.client.post("/api/tags/", json={"name": "Name 0"}), 201)
    courses = [await school.course(teacher, f"Course {number}") for number in range(6)]

    async def rename() -> None:
        for number in range(1, 7):
            ok(await manager.client.patch(f"/api/tags/{made['uuid']}/", json={"name": f"Name {number}"}))

    async def tag(course: dict) -> None:
        for number in range(3):
            body = {"tags": [f"Name {number}", "Other"]}
            ok(await teacher.client.patch(f"/api/courses/{course['uuid']}/", json=body))

    async def make() -> None:
        body = {"title": "New", "description": DESCRIPTION, "tags": ["Name 0"]}
        for _ in range(3):
            ok(await teacher.client.post("/api/courses/", json=body), 201)

    await asyncio.gather(rename(), make(), *(tag(course) for course in courses))
    known = set(await tags(manager.client))
    for course in ok(await teacher.client.get("/api/courses/teacher/")):
        assert set(course["tags"]) <= known, "a course carries a tag that there is not"
