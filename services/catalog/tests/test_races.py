"""What happens at the same moment: nobody gets a 5xx, and what is read is whole."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import DESCRIPTION, School, ok

Call = Callable[[], Awaitable[httpx.Response]]


async def while_running(work: Awaitable[Any], *calls: Call) -> list[httpx.Response]:
    """What the calls answer, again and again, until `work` is done."""
    answers: list[httpx.Response] = []
    running = asyncio.ensure_future(work)

    async def repeat(call: Call) -> None:
        while not running.done():
            answers.append(await call())

    await asyncio.gather(running, *(repeat(call) for call in calls))
    assert answers
    return answers


async def test_a_review_found_helpful_while_it_goes_is_404(catalog: Harness, school: School, teacher: Person):
    course = await school.published(teacher)
    people = [await school.person(f"Student Number{n}", "student") for n in range(4)]
    author = people[0]
    await school.enroll(course, author)
    for _ in range(12):
        body = {"course": course["uuid"], "rating": 4}
        path = f"/api/reviews/{ok(await author.client.post('/api/reviews/', json=body), 201)['uuid']}/"
        answers = await asyncio.gather(
            *(person.client.post(f"{path}helpful/") for person in people[1:]),
            author.client.delete(path),
            *(person.client.post(f"{path}helpful/") for person in people[1:]),
        )
        assert {answer.status_code for answer in answers} <= {200, 404}


async def test_a_course_read_while_it_is_deleted_is_whole_or_404(
    catalog: Harness, school: School, teacher: Person, manager: Person
):
    courses = [await school.published(teacher, f"Course {n}") for n in range(8)]

    async def delete_all() -> None:
        for course in courses:
            ok(await teacher.client.delete(f"/api/courses/{course['uuid']}/"))

    def read(person: Person, number: int) -> Call:
        return lambda: person.client.get(f"/api/courses/{courses[number]['uuid']}/")

    answers = await while_running(delete_all(), *(read(manager, number) for number in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 404}


async def test_a_category_read_while_it_is_deleted_is_whole_or_404(catalog: Harness, manager: Person):
    for number in range(8):
        ok(await manager.client.post("/api/categories/", json={"name": f"Subject {number}"}), 201)

    async def delete_all() -> None:
        for number in range(8):
            ok(await manager.client.delete(f"/api/categories/subject-{number}/"))

    client = catalog.client()
    reads = [lambda n=n: client.get(f"/api/categories/subject-{n}/") for n in range(8)]
    answers = await while_running(delete_all(), *reads)
    assert {answer.status_code for answer in answers} <= {200, 404}


async def test_readers_see_one_structure_whatever_happens_meanwhile(
    catalog: Harness, school: School, teacher: Person, manager: Person, student: Person
):
    course = await school.course(teacher)
    one, two = [await school.module(teacher, course, title) for title in ("One", "Two")]
    lessons = [await school.lesson(teacher, one, f"Lesson {n}") for n in range(4)]
    path = f"/api/courses/{course['uuid']}/"
    ids = [lesson["uuid"] for lesson in lessons]
    left = [{"uuid": one["uuid"], "lessons": ids}, {"uuid": two["uuid"], "lessons": []}]
    right = [{"uuid": two["uuid"], "lessons": ids[::-1]}, {"uuid": one["uuid"], "lessons": []}]
    ok(await teacher.client.post(f"{path}publish/"))

    async def change() -> None:
        for _ in range(4):
            for tree in (right, left) * 5:
                ok(await teacher.client.post(f"{path}reorder/", json={"modules": tree}))
            extra = await school.lesson(teacher, two, "Extra")
            ok(await teacher.client.post(f"{path}publish/"))
            ok(await teacher.client.delete(f"{path}lessons/{extra['uuid']}/"))
            ok(await teacher.client.post(f"{path}publish/"))

    readers = [lambda p=person: p.client.get(path) for person in (manager, manager, student)]
    for answer in await while_running(change(), *readers):
        seen = ok(answer)
        inside = [lesson["uuid"] for module in seen["modules"] for lesson in module["lessons"]]
        assert inside == [lesson["uuid"] for lesson in seen["lessons"]]
        assert seen["total_lessons"] == len(inside)
        tree = [
            {
                "uuid": module["uuid"],
                "lessons": [lesson["uuid"] for lesson in module["lessons"] if lesson["uuid"] in ids],
            }
            for module in seen["modules"]
        ]
        assert tree in (left, right)
        if seen["can_edit"]:
            continue
        # The first revision has four lessons, and then every other one a fifth.
        assert (seen["revision"], len(inside)) in {(n, 4 if n % 2 else 5) for n in range(1, 10)}


async def test_two_prerequisites_at_once_do_not_close_a_circle(school: School, teacher: Person):
    for _ in range(4):
        one, two = await school.course(teacher), await school.course(teacher)

        def require(course: dict, other: dict) -> Awaitable[httpx.Response]:
            path = f"/api/courses/{course['uuid']}/prerequisites/"
            return teacher.client.put(path, json={"prerequisites": [other["uuid"]]})

        answers = await asyncio.gather(require(one, two), require(two, one))
        assert sorted(answer.status_code for answer in answers) == [200, 422]


async def test_courses_of_one_title_at_once_have_slugs_of_their_own(school: School, teacher: Person):
    answers = await asyncio.gather(*(school.course(teacher, "Graphs, gently") for _ in range(6)))
    slugs = {answer["slug"] for answer in answers}
    assert slugs == {"graphs-gently", *(f"graphs-gently-{number}" for number in range(2, 7))}
    body = {"title": "Trees", "description": DESCRIPTION, "slug": "trees"}
    wanted = await asyncio.gather(*(teacher.client.post("/api/courses/", json=body) for _ in range(4)))
    assert {ok(answer, 201)["slug"] for answer in wanted} == {"trees", "trees-2", "trees-3", "trees-4"}
    numbered = await asyncio.gather(
        *(
            teacher.client.post("/api/courses/", json=body | {"slug": slug})
            for slug in ("oaks", "oaks-2", "oaks", "oaks-2-2", "a" * 100, "a" * 100)
        )
    )
    assert len({ok(answer, 201)["slug"] for answer in numbered}) == 6
