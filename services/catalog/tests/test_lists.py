"""The list: filters, order, pages, facets; categories."""

import asyncio

import pytest

from libs.common.testing.harness import Harness, Person
from services.catalog.courses.schemas import CourseList
from services.catalog.tests.conftest import School, ok, refused


async def titles(client, query: str) -> list[str]:
    return [row["title"] for row in ok(await client.get(f"/api/courses/?{query}"))["results"]]


async def test_filters_and_orders(
    school: School, teacher: Person, manager: Person, student: Person, catalog: Harness
):
    science = ok(await manager.client.post("/api/categories/", json={"name": "Science"}), 201)
    body = {"name": "Mathematics", "parent": "science"}
    maths = ok(await manager.client.post("/api/categories/", json=body), 201)
    graphs = await school.published(
        teacher, "Graphs", category=maths["uuid"], tags=["Proofs"], duration_hours=4
    )
    await school.published(
        teacher, "Optics", category="science", level="advanced", language="ar", duration_hours=1
    )
    await school.enroll(graphs, student)
    client = catalog.client()
    assert await titles(client, "") == ["Optics", "Graphs"]
    for query, expected in {
        "category=science": ["Optics", "Graphs"],
        "category=mathematics": ["Graphs"],
        f"category={maths['uuid']}": ["Graphs"],
        "category=none": [],
        "tag=proofs": ["Graphs"],
        "tag=x": [],
        "level=advanced": ["Optics"],
        "language=AR": ["Optics"],
        f"instructor={teacher.uuid}&level=beginner": ["Graphs"],
        "min_rating=1": [],
        "is_featured=true": [],
        "sortBy=popular": ["Graphs", "Optics"],
        "sortBy=duration": ["Optics", "Graphs"],
        "sortBy=newest": ["Optics", "Graphs"],
        "unknown=1": ["Optics", "Graphs"],
        "sortBy=rating&page_size=500": None,
        "sortBy=relevance": ["Optics", "Graphs"],
        "search=": ["Optics", "Graphs"],
    }.items():
        found = await titles(client, query)
        assert expected is None or found == expected, query
    tree = ok(await client.get("/api/categories/"))["results"]
    assert [(row["slug"], row["depth"], row["courses_count"]) for row in tree] == [
        ("science", 0, 2),
        ("mathematics", 1, 1),
    ]
    assert tree[0]["children"][0]["uuid"] == maths["uuid"]
    assert ok(await client.get("/api/tags/"))["results"][0]["name"] == "Proofs"
    assert science["parent"] is None


@pytest.mark.parametrize(
    "query",
    [
        "sortBy=best",
        "level=expert",
        "is_featured=maybe",
        "facets=maybe",
        "status=hidden",
        "instructor=me",
        "min_rating=9",
        "min_rating=x",
        "page=0",
        "page=x",
        "my_courses=perhaps",
        "search=%00",
        "category=a%00",
        "tag=%00",
    ],
)
async def test_an_unknown_filter_value_is_a_400(catalog: Harness, query: str):
    body = refused(await catalog.client().get(f"/api/courses/?{query}"), 400)
    if query.startswith("sortBy"):
        assert "relevance, newest, popular, rating, duration" in body["detail"]


async def test_an_empty_filter_is_none(school: School, teacher: Person, catalog: Harness):
    await school.published(teacher)
    found = ok(
        await catalog.client().get("/api/courses/?min_rating=&level=&category=&search=&tag=&instructor=")
    )
    assert found["count"] == 1


async def test_a_subject_counts_what_lies_below_it(
    school: School, teacher: Person, manager: Person, catalog: Harness
):
    ok(await manager.client.post("/api/categories/", json={"name": "Maths"}), 201)
    ok(await manager.client.post("/api/categories/", json={"name": "Logic", "parent": "maths"}), 201)
    await school.published(teacher, "Numbers", category="maths")
    await school.published(teacher, "Proofs", category="logic")
    facets = ok(await catalog.client().get("/api/courses/?facets=true"))["facets"]
    counted = {row["slug"]: row["count"] for row in facets["category"]}
    assert counted == {"maths": 2, "logic": 1}
    for slug, count in counted.items():
        assert ok(await catalog.client().get(f"/api/courses/?category={slug}"))["count"] == count


async def test_pages_link_to_each_other(school: School, teacher: Person, catalog: Harness):
    for number in range(3):
        await school.published(teacher, f"Course {number}")
    first = ok(await catalog.client().get("/api/courses/?page_size=2&level=beginner"))
    assert (first["count"], len(first["results"]), first["previous"]) == (3, 2, None)
    assert first["next"].endswith("/api/courses/?page_size=2&level=beginner&page=2")
    second = ok(await catalog.client().get("/api/courses/?page_size=2&page=2"))
    assert (len(second["results"]), second["next"]) == (1, None)
    assert second["previous"].endswith("page=1")


async def test_a_renamed_category_is_told_by_its_courses(
    school: School, teacher: Person, manager: Person, catalog: Harness
):
    ok(await manager.client.post("/api/categories/", json={"name": "Maths"}), 201)
    course = await school.course(teacher, category="maths")
    changed = ok(await manager.client.patch("/api/categories/maths/", json={"name": "Mathematics"}))
    assert (changed["name"], changed["slug"]) == ("Mathematics", "maths")
    assert ok(await teacher.client.get(f"/api/courses/{course['uuid']}/"))["category_name"] == "Mathematics"
    kinds = [(kind, seq) for kind, _, seq in await catalog.published()]
    assert kinds[-3:] == [
        ("catalog.category_updated.v1", 2),
        ("catalog.course_updated.v1", 2),
        ("catalog.course.v1", 2),
    ]
    refused(await manager.client.delete("/api/categories/maths/"), 409, "category_in_use")


async def test_a_slug_of_a_category_that_is_taken_gets_a_number(manager: Person):
    async def post(**body: str) -> str:
        return ok(await manager.client.post("/api/categories/", json=body), 201)["slug"]

    assert [await post(name="Maths") for _ in range(3)] == ["maths", "maths-2", "maths-3"]
    assert [await post(name="Sums", slug="maths"), await post(name="数学")] == ["maths-4", "category"]
    ok(await manager.client.delete("/api/categories/maths-2/"))
    at_once = await asyncio.gather(*(post(name="Other", slug="maths") for _ in range(4)))
    assert sorted(at_once) == ["maths-2", "maths-5", "maths-6", "maths-7"]
    changed = ok(await manager.client.patch("/api/categories/category/", json={"slug": "maths"}))
    assert changed["slug"] == "maths-8"
    same = ok(await manager.client.patch("/api/categories/maths-8/", json={"slug": "maths-8"}))
    assert same["slug"] == "maths-8"


async def test_a_course_without_a_duration_has_that_of_its_lessons(
    catalog: Harness, school: School, teacher: Person
):
    long = await school.published(teacher, "Long", duration_hours=3)
    course = await school.course(teacher, "Summed")
    path = f"/api/courses/{course['uuid']}/"
    assert course["duration_hours"] == 0
    module = await school.module(teacher, course)
    await school.lesson(teacher, module, estimated_time_minutes=90)
    video = await school.lesson(
        teacher, module, content_type="video", video_url="https://example.com/v.mp4", video_duration=61
    )
    assert ok(await teacher.client.get(path))["duration_hours"] == 1.53
    ok(await teacher.client.post(f"{path}publish/"))
    ok(await teacher.client.patch(f"{path}lessons/{video['uuid']}/", json={"estimated_time_minutes": 60}))
    assert ok(await catalog.client().get(path))["duration_hours"] == 1.53, "not published yet"
    ok(await teacher.client.post(f"{path}publish/"))
    cards = ok(await catalog.client().get("/api/courses/?sortBy=duration"))["results"]
    assert [(card["title"], card["duration_hours"]) for card in cards] == [("Summed", 2.5), ("Long", 3)]
    # What is sent back as it was shown is still what the lessons take.
    ok(await teacher.client.patch(path, json={"duration_hours": 2.5, "level": "advanced"}))
    ok(await teacher.client.patch(f"{path}lessons/{video['uuid']}/", json={"estimated_time_minutes": 30}))
    ok(await teacher.client.post(f"{path}publish/"))
    assert ok(await teacher.client.get(path))["duration_hours"] == 2
    ok(await teacher.client.patch(f"/api/courses/{long['uuid']}/", json={"duration_hours": None}))
    assert ok(await teacher.client.get(f"/api/courses/{long['uuid']}/"))["duration_hours"] == 0


async def test_categories_are_the_managers(manager: Person, teacher: Person, catalog: Harness):
    refused(await teacher.client.post("/api/categories/", json={"name": "Maths"}), 403)
    ok(await manager.client.post("/api/categories/", json={"name": "Maths"}), 201)
    ok(await manager.client.post("/api/categories/", json={"name": "Logic", "parent": "maths"}), 201)
    refused(
        await manager.client.patch("/api/categories/maths/", json={"parent": "logic"}), 422, "category_cycle"
    )
    refused(await manager.client.patch("/api/categories/maths/", json={"colour": "red"}), 422)
    one = await catalog.client().get("/api/categories/logic/")
    tag = one.headers["etag"]
    ok(await manager.client.patch("/api/categories/logic/", json={"order": 3}, headers={"If-Match": tag}))
    refused(await manager.client.delete("/api/categories/logic/", headers={"If-Match": tag}), 412)
    ok(await manager.client.delete("/api/categories/logic/"))
    refused(await catalog.client().get("/api/categories/logic/"), 404)
    ok(await manager.client.post("/api/categories/", json={"name": "Logic"}), 201)


async def test_facets_count_what_each_filter_would_leave(
    school: School, teacher: Person, manager: Person, catalog: Harness
):
    ok(await manager.client.post("/api/categories/", json={"name": "Maths"}), 201)
    await school.published(teacher, "Graphs", category="maths", tags=["Proofs", "Trees"])
    await school.published(teacher, "Graphs again", category="maths", tags=["Proofs"], level="advanced")
    await school.published(teacher, "Optics", language="ar")
    client = catalog.client()
    assert "facets" not in ok(await client.get("/api/courses/"))
    facets = ok(await client.get("/api/courses/?facets=true&level=advanced"))["facets"]
    assert [(row["slug"], row["count"]) for row in facets["category"]] == [("maths", 1)]
    assert [(row["value"], row["count"]) for row in facets["level"]] == [("beginner", 2), ("advanced", 1)]
    assert facets["language"] == [{"value": "en", "count": 1}]
    found = CourseList.model_validate(ok(await client.get("/api/courses/?facets=true&search=graphs")))
    assert found.facets is not None
    assert [(row.value, row.count) for row in found.facets.tag] == [("Proofs", 2), ("Trees", 1)]
    odd = ok(await client.get("/api/courses/?facets=1&search=grpahs&min_rating=1&tag=proofs&category=maths"))
    assert (odd["count"], odd["facets"]["level"]) == (0, [])
    refused(await client.get("/api/courses/?facets=all"), 400)
