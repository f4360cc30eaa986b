"""Publishing by plan, copies of courses, and races of editors."""

import asyncio

from sqlalchemy import text

from libs.common.runtime.clock import SettableClock
from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import PDF, School, ok, refused


async def ready(school: School, teacher: Person) -> dict:
    course = await school.course(teacher, tags=["Proofs"])
    await school.lesson(teacher, await school.module(teacher, course))
    return course


async def test_a_course_is_published_when_its_time_comes(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    clock = catalog.app.state.clock = SettableClock()
    empty = await school.course(teacher, "Empty so far")
    plan = {"publish_at": "2026-03-02T11:00:00+01:00"}
    refused(
        await teacher.client.post(f"/api/courses/{empty['uuid']}/publish/", json=plan),
        409,
        "nothing_to_publish",
    )
    course = await ready(school, teacher)
    path = f"/api/courses/{course['uuid']}/"
    refused(await teacher.client.post(f"{path}publish/", json={"publish_at": "2026-03-02T11:00:00"}), 422)
    planned = ok(await teacher.client.post(f"{path}publish/", json=plan))
    assert (planned["status"], planned["publish_at"]) == ("draft", "2026-03-02T10:00:00Z")
    clock.advance(minutes=59)
    await catalog.run_task("catalog.sweep_publications", clock=clock)
    refused(await student.client.get(path), 404)
    clock.advance(minutes=1)
    await asyncio.gather(*(catalog.run_task("catalog.sweep_publications", clock=clock) for _ in range(3)))
    seen = ok(await student.client.get(path))
    assert (seen["status"], seen["revision"], seen["publish_at"]) == ("published", 1, None)
    facts = [kind for kind, key, _ in await catalog.published() if key == course["uuid"]]
    assert facts.count("catalog.course_published.v1") == 1


async def test_a_plan_ends_by_null_by_unpublishing_and_by_archiving(
    catalog: Harness, school: School, teacher: Person
):
    clock = catalog.app.state.clock = SettableClock()
    course = await ready(school, teacher)
    path = f"/api/courses/{course['uuid']}/"
    plan = {"publish_at": "2026-03-02T10:00:00Z"}
    for end in ("publish/", "unpublish/", "archive/"):
        assert ok(await teacher.client.post(f"{path}publish/", json=plan))["publish_at"]
        body = {"json": {"publish_at": None}} if end == "publish/" else {}
        ended = ok(await teacher.client.post(f"{path}{end}", **body))
        assert ended["publish_at"] is None
    clock.advance(hours=2)
    await catalog.run_task("catalog.sweep_publications", clock=clock)
    assert ok(await teacher.client.get(path))["status"] == "archived"
    assert ok(await teacher.client.post(f"{path}publish/", json=plan))["status"] == "published"


async def test_an_empty_time_is_none_at_all(catalog: Harness, school: School, teacher: Person):
    catalog.app.state.clock = SettableClock()
    path = f"/api/courses/{(await ready(school, teacher))['uuid']}/publish/"
    assert ok(await teacher.client.post(path, json={"publish_at": "2026-03-02T10:00:00Z"}))["publish_at"]
    now = ok(await teacher.client.post(path, json={"publish_at": ""}))
    assert (now["publish_at"], now["status"]) == (None, "published")


async def test_one_course_that_cannot_be_published_holds_up_no_other(
    catalog: Harness, school: School, teacher: Person
):
    clock = catalog.app.state.clock = SettableClock()
    courses = [await ready(school, teacher) for _ in range(2)]
    for course in courses:
        body = {"publish_at": "2026-03-02T10:00:00Z"}
        ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/", json=body))
    broken = (
        f"ALTER TABLE course_revisions ADD CONSTRAINT broken CHECK (course_uuid <> '{courses[0]['uuid']}')"
    )
    async with catalog.db.session() as session:
        await session.execute(text(broken))
    try:
        clock.advance(hours=2)
        await catalog.run_task("catalog.sweep_publications", clock=clock)
    finally:
        async with catalog.db.session() as session:
            await session.execute(text("ALTER TABLE course_revisions DROP CONSTRAINT broken"))
    status = [ok(await teacher.client.get(f"/api/courses/{c['uuid']}/"))["status"] for c in courses]
    assert status == ["draft", "published"]
    await catalog.run_task("catalog.sweep_publications", clock=clock)
    assert ok(await teacher.client.get(f"/api/courses/{courses[0]['uuid']}/"))["status"] == "published"


async def test_a_copy_is_a_draft_of_ones_own_that_shares_files(
    catalog: Harness, school: School, teacher: Person, manager: Person, student: Person
):
    first = await school.published(teacher, "Before")
    course = await school.published(teacher, tags=["Proofs"], enrollment_limit=7)
    path = f"/api/courses/{course['uuid']}/"
    ok(await teacher.client.put(f"{path}prerequisites/", json={"prerequisites": [first["uuid"]]}))
    module = ok(await teacher.client.get(path))["modules"][0]
    lesson = await school.lesson(teacher, module, "Read", content_type="pdf")
    upload = f"{path}lessons/{lesson['uuid']}/upload/"
    ok(await teacher.client.post(upload, files={"file": ("a.pdf", PDF, "application/pdf")}))
    refused(await student.client.post(f"{path}duplicate/"), 403)
    other = await school.person("Tomas Tutor", "teacher")
    refused(await other.client.post(f"{path}duplicate/"), 403)
    copy = ok(await manager.client.post(f"{path}duplicate/"), 201)
    assert (copy["status"], copy["revision"], copy["title"]) == ("draft", None, f"{course['title']} (copy)")
    assert copy["instructor"]["uuid"] == str(manager.uuid)
    assert (copy["tags"], copy["enrollment_limit"], copy["total_lessons"]) == (["Proofs"], 7, 3)
    assert [row["uuid"] for row in copy["prerequisite_courses"]] == [first["uuid"]]
    original = ok(await teacher.client.get(path))
    assert [row["title"] for row in copy["lessons"]] == [row["title"] for row in original["lessons"]]
    assert not {row["uuid"] for row in copy["lessons"]} & {row["uuid"] for row in original["lessons"]}
    url = copy["lessons"][-1]["file"]["url"]
    assert (await catalog.client().get(url[url.index("/media/") :])).content == PDF
    mine = f"/api/courses/{copy['uuid']}/lessons/{copy['lessons'][0]['uuid']}/"
    ok(await manager.client.patch(mine, json={"title": "Changed in the copy"}))
    assert ok(await teacher.client.get(path))["lessons"][0]["title"] == "What a graph is"
    assert ("catalog.course_created.v1", copy["uuid"], 1) in await catalog.published()
    again = ok(await manager.client.post(f"{path}duplicate/"), 201)
    assert again["slug"] != copy["slug"]


async def test_of_editors_at_once_with_one_tag_one_wins(school: School, teacher: Person, manager: Person):
    course = await school.course(teacher)
    path = f"/api/courses/{course['uuid']}/"
    tag = {"If-Match": (await teacher.client.get(path)).headers["etag"]}
    answers = await asyncio.gather(
        *(
            person.client.patch(path, json={"title": f"Title number {n}"}, headers=tag)
            for n, person in enumerate([teacher, manager] * 3)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5
    won = next(answer for answer in answers if answer.status_code == 200).json()
    assert ok(await teacher.client.get(path))["title"] == won["title"]


async def test_reorders_at_once_leave_one_whole_tree(school: School, teacher: Person, manager: Person):
    course = await school.course(teacher)
    modules = [await school.module(teacher, course, f"Module {n}") for n in range(3)]
    lessons = [await school.lesson(teacher, module, f"Lesson {n}") for n, module in enumerate(modules * 2)]
    path = f"/api/courses/{course['uuid']}/"

    def turned(by: int) -> dict:
        inside = [lesson["uuid"] for lesson in lessons[by:] + lessons[:by]]
        order = modules[by % 3 :] + modules[: by % 3]
        cuts = [inside[:2], inside[2:4], inside[4:]]
        rows = zip(order, cuts, strict=True)
        return {"modules": [{"uuid": module["uuid"], "lessons": part} for module, part in rows]}

    wanted = [turned(by) for by in range(6)]
    answers = await asyncio.gather(
        *(
            (teacher, manager)[n % 2].client.post(f"{path}reorder/", json=body)
            for n, body in enumerate(wanted)
        )
    )
    assert [answer.status_code for answer in answers] == [200] * 6
    seen = [
        {"uuid": module["uuid"], "lessons": [lesson["uuid"] for lesson in module["lessons"]]}
        for module in ok(await teacher.client.get(path))["modules"]
    ]
    assert {"modules": seen} in wanted
