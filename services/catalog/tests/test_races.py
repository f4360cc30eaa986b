"""What happens at the same moment: nobody gets a 5xx, and what is read is whole."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.util import await_only

from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import DESCRIPTION, School, ok, refused

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


@dataclass
class Pause:
    """A place in a request: before its statement of this number."""

    number: int
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    passed: int = 0

    async def before_statement(self) -> None:
        if self.passed == self.number:
            self.reached.set()
            await self.go_on.wait()
        self.passed += 1


PAUSE: ContextVar[Pause | None] = ContextVar("pause", default=None)


@pytest.fixture
def pauses(catalog: Harness) -> Iterator[None]:
    """Requests of a task that has set `PAUSE` stop there."""
    engine = catalog.db.engine.sync_engine

    def listen(*_: object) -> None:
        if (pause := PAUSE.get()) is not None:
            await_only(pause.before_statement())

    event.listen(engine, "before_cursor_execute", listen)
    yield
    event.remove(engine, "before_cursor_execute", listen)


async def read_around(read: Call, change: Call, number: int) -> httpx.Response | None:
    """What a read answers before whose statement of this number the change happened; None past its last."""
    pause = Pause(number)

    async def reading() -> httpx.Response:
        PAUSE.set(pause)
        return await read()

    answer = asyncio.ensure_future(reading())
    reached = asyncio.ensure_future(pause.reached.wait())
    await asyncio.wait({answer, reached}, return_when=asyncio.FIRST_COMPLETED)
    if answer.done():
        reached.cancel()
        return None
    ok(await change())
    pause.go_on.set()
    return await answer


@pytest.mark.usefixtures("pauses")
async def test_a_course_read_while_it_is_deleted_is_whole_once_it_was_found(
    school: School, teacher: Person, manager: Person
):
    """Deleted before each statement of the read in turn: not found up to one of them, whole from there on."""
    answers: list[httpx.Response] = []
    for number in count():
        course = await school.published(teacher, f"Course {number}")
        path = f"/api/courses/{course['uuid']}/"
        whole = ok(await manager.client.get(path))
        answer = await read_around(
            partial(manager.client.get, path), partial(teacher.client.delete, path), number
        )
        if answer is None:
            break
        answers.append(answer)
        assert answer.status_code == 404 or answer.json() == whole
        refused(await manager.client.get(path), 404)
    statuses = [answer.status_code for answer in answers]
    assert statuses == sorted(statuses, reverse=True)
    assert set(statuses) == {200, 404}


@pytest.mark.usefixtures("pauses")
async def test_a_category_read_while_it_is_deleted_is_whole_or_gone(catalog: Harness, manager: Person):
    """It is looked up, then the tree is read, then the courses in it are counted."""
    client = catalog.client()
    statuses = []
    for number in range(3):
        path = f"/api/categories/subject-{number}/"
        ok(await manager.client.post("/api/categories/", json={"name": f"Subject {number}"}), 201)
        whole = ok(await client.get(path))
        answer = await read_around(partial(client.get, path), partial(manager.client.delete, path), number)
        assert answer is not None
        assert answer.status_code == 404 or answer.json() == whole
        statuses.append(answer.status_code)
        refused(await client.get(path), 404)
    assert statuses == [404, 404, 200]


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
