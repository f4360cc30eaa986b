"""Links to files: for one person and their session, while the right behind them holds."""

from uuid import uuid4

import pytest

from libs.common.security.revocation import Revocation
from libs.common.testing.harness import Harness, Person, access_token
from services.catalog.tests.conftest import PDF, School, enrollment_state, ok
from services.catalog.tests.test_files import fetch, upload


async def published(school: School, teacher: Person, kind: str = "pdf", **fields) -> tuple[dict, str]:
    course = await school.course(teacher)
    lesson = await school.lesson(teacher, await school.module(teacher, course), content_type=kind, **fields)
    path = f"/api/courses/{course['uuid']}/lessons/{lesson['uuid']}/"
    ok(await upload(teacher, path, *((PDF, "a.pdf") if kind != "interactive" else (ZIP, "a.zip"))))
    return ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/")), path


ZIP = bytes.fromhex("504b0506") + bytes(18)


@pytest.mark.parametrize("kind", ["pdf", "slides", "interactive", "text", "assignment", "quiz"])
async def test_a_lesson_with_a_file_has_an_attachment(
    catalog: Harness, school: School, teacher: Person, student: Person, kind: str
):
    course, path = await published(school, teacher, kind)
    assert ok(await student.client.get(path))["file_attachment"] is None, "locked"
    await school.enroll(course, student)
    lesson = ok(await student.client.get(path))
    assert lesson["file_attachment"] == lesson["file_url"] == lesson["file"]["url"]
    answer = await fetch(catalog, lesson["file_attachment"])
    assert (answer.status_code, answer.content) == (200, ZIP if kind == "interactive" else PDF)
    plain = await school.lesson(teacher, await school.module(teacher, course, "Second"))
    assert plain["file_attachment"] is None


@pytest.mark.promise("object access")
async def test_a_link_ends_with_the_right_behind_it(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    course, path = await published(school, teacher)
    seat = uuid4()
    await school.enroll(course, student, uuid=seat)

    async def link() -> str:
        return ok(await student.client.get(path))["file_attachment"]

    async def status(url: str) -> int:
        return (await fetch(catalog, url)).status_code

    url = await link()
    assert await status(url) == 200
    await school.enroll(course, student, uuid=seat, status="dropped")
    assert await status(url) == 404
    await school.enroll(course, student, uuid=seat)
    assert await status(url) == 200
    ok(await upload(teacher, path, PDF + b"2", "b.pdf"))
    assert await status(url) == 200, "the draft's file is not the learners' yet"
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))
    assert await status(url) == 404, "replaced"
    url = await link()
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/unpublish/"))
    assert await status(url) == 404
    mine = ok(await teacher.client.get(path))["file_attachment"]
    assert await status(mine) == 200


@pytest.mark.promise("revocation")
async def test_a_link_ends_with_the_session_and_with_the_account(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    course, path = await published(school, teacher)
    await school.enroll(course, student)
    session, urls = uuid4(), []
    for each in (session, uuid4()):
        token = access_token(catalog.settings, student.uuid, session=each)
        urls.append(ok(await catalog.client(token).get(path))["file_attachment"])
    catalog.app.state.revocations.revoke(Revocation(student.uuid, session=session))
    assert [(await fetch(catalog, url)).status_code for url in urls] == [404, 200]
    catalog.app.state.revocations.revoke(Revocation(student.uuid, version=2))
    assert [(await fetch(catalog, url)).status_code for url in urls] == [404, 404]


@pytest.mark.promise("object access")
async def test_a_preview_is_linked_for_anybody_for_five_minutes_while_it_is_one(
    catalog: Harness, school: School, teacher: Person
):
    course, path = await published(school, teacher, is_preview=True)
    url = ok(await catalog.client().get(path))["file_attachment"]
    assert "reader=" not in url
    assert (await fetch(catalog, url)).status_code == 200
    ok(await teacher.client.patch(path, json={"is_preview": False}))
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))
    assert (await fetch(catalog, url)).status_code == 404


@pytest.mark.promise("object access")
async def test_a_link_of_the_library_is_its_owners(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    made = ok(await teacher.client.post("/api/core/media/", files={"file": ("a.pdf", PDF)}), 201)
    path = f"/api/core/media/{made['uuid']}/"
    url = ok(await teacher.client.get(f"{path}download/?redirect=false"))["url"]
    course = await school.course(teacher)
    module = await school.module(teacher, course)
    lesson = await school.lesson(teacher, module, resources=[{"media": made["uuid"]}])
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))
    await school.enroll(course, student)
    learn = f"/api/courses/{course['uuid']}/lessons/{lesson['uuid']}/"
    (resource,) = ok(await student.client.get(learn))["resources"]
    for each in (url, resource["url"]):
        assert (await fetch(catalog, each)).status_code == 200
    ok(await teacher.client.put(f"{path}file/", files={"file": ("b.pdf", PDF + b"2")}))
    for each in (url, resource["url"]):
        assert (await fetch(catalog, each)).status_code == 404, "replaced"
    (resource,) = ok(await student.client.get(learn))["resources"]
    ok(await teacher.client.patch(learn, json={"resources": []}))
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))
    assert (await fetch(catalog, resource["url"])).status_code == 404
    await catalog.deliver(enrollment_state(course["uuid"], student.uuid, "dropped"))
