"""The media library: taking in, reading, replacing, using, deleting, forgetting."""

import asyncio

import httpx
import pytest

from libs.common.testing.harness import Harness, Person
from libs.common.testing.privacy import erase, export
from services.catalog.media.schemas import MediaRead
from services.catalog.tests.conftest import PDF, School, ok, refused, swept


async def take(person: Person, data: bytes = PDF, name: str = "notes.pdf", **fields: str) -> httpx.Response:
    files = {"file": (name, data, "application/octet-stream")}
    return await person.client.post("/api/core/media/", files=files, data=fields)


async def fetch(catalog: Harness, url: str, **headers: str) -> httpx.Response:
    return await catalog.client(**headers).get(url[url.index("/media/") :])


async def test_a_file_is_stored_listed_and_read_by_a_signed_url(
    catalog: Harness, school: School, teacher: Person, student: Person, manager: Person
):
    made = ok(await take(teacher, title="Notes"), 201)
    MediaRead.model_validate(made)
    assert (made["kind"], made["size"], made["title"]) == ("document", len(PDF), "Notes")
    path = f"/api/core/media/{made['uuid']}/"
    other = await school.person("Tomas Tutor", "teacher")
    refused(await other.client.get(path), 404)
    refused(await student.client.get(path), 403)
    refused(await catalog.client().get("/api/core/media/"), 401)
    assert ok(await manager.client.get(path))["uuid"] == made["uuid"]
    assert ok(await other.client.get("/api/core/media/"))["count"] == 0
    assert ok(await teacher.client.get("/api/core/media/?kind=document&search=not"))["count"] == 1
    assert ok(await teacher.client.get("/api/core/media/?kind=video"))["count"] == 0
    refused(await teacher.client.get("/api/core/media/?kind=song"), 400)
    moved = await teacher.client.get(f"{path}download/")
    assert moved.status_code == 302
    signed = ok(await teacher.client.get(f"{path}download/?redirect=false"))
    for url in (moved.headers["location"], signed["url"]):
        answer = await fetch(catalog, url, Range="bytes=0-3")
        assert (answer.status_code, answer.content) == (206, b"%PDF")
    assert (await fetch(catalog, signed["url"].replace("library", "lessons"))).status_code == 404


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("page.html", b"<html></html>"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("photo.png", PDF),
        ("notes.txt", b"\xff\xfe\xfd"),
        ("noextension", PDF),
        ("empty.pdf", b""),
        ("program.pdf", b"MZ\x90\x00"),
    ],
)
async def test_what_is_not_what_its_name_says_is_refused(teacher: Person, name: str, data: bytes):
    refused(await take(teacher, data, name), 422, "file_type_refused")


async def test_names_are_generated_and_shown_names_harmless(catalog: Harness, teacher: Person):
    made = ok(await take(teacher, name="..\\..\\etc/pass\r\nwd.pdf"), 201)
    assert not set(made["name"]) & set('/\\\r\n"')
    url = ok(await teacher.client.get(f"/api/core/media/{made['uuid']}/download/?redirect=false"))["url"]
    assert (await fetch(catalog, url)).status_code == 200


async def test_lessons_have_resources_and_what_they_have_stays(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    media = ok(await take(teacher, title="Slides"), 201)
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    lesson = f"{path}lessons/{course['lessons'][0]['uuid']}/"
    wanted = {"resources": [{"media": media["uuid"], "title": ""}]}
    other = await school.person("Tomas Tutor", "teacher")
    foreign = ok(await take(other), 201)
    bad = {"resources": [{"media": foreign["uuid"]}]}
    assert refused(await teacher.client.patch(lesson, json=bad), 422)["errors"][0]["field"] == "resources"
    shown = ok(await teacher.client.patch(lesson, json=wanted))["resources"][0]
    assert (shown["title"], shown["kind"]) == ("Slides", "document")
    ok(await teacher.client.post(f"{path}publish/"))
    await school.enroll(course, student)
    seen = ok(await student.client.get(lesson))["resources"][0]
    assert (await fetch(catalog, seen["url"])).content == PDF
    assert ok(await catalog.client().get(lesson))["resources"] == []
    one = f"/api/core/media/{media['uuid']}/"
    used = ok(await teacher.client.get(one))
    assert (used["usage_count"], used["used_in"][0]["lesson_title"]) == (1, "What a graph is")
    answer = refused(await teacher.client.delete(one), 409, "media_in_use")
    assert "What a graph is" in answer["detail"]
    newer = PDF + b"\n% second\n"
    replaced = ok(await teacher.client.put(f"{one}file/", files={"file": ("b.pdf", newer)}))
    assert (replaced["uuid"], replaced["size"]) == (media["uuid"], len(newer))
    seen = ok(await student.client.get(lesson))["resources"][0]
    assert (await fetch(catalog, seen["url"])).content == newer
    # Out of the working structure, but learners still read the revision that has it.
    ok(await teacher.client.patch(lesson, json={"resources": []}))
    refused(await teacher.client.delete(one), 409, "media_in_use")
    ok(await teacher.client.post(f"{path}publish/"))
    ok(await teacher.client.delete(one))
    refused(await teacher.client.get(one), 404)


async def test_a_library_has_a_quota_under_any_race(catalog: Harness, teacher: Person, monkeypatch):
    monkeypatch.setattr(catalog.settings, "media_quota", 2 * len(PDF))
    answers = await asyncio.gather(*(take(teacher) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
    refused(await take(teacher), 409, "media_quota_exceeded")
    monkeypatch.setattr(catalog.settings, "file_limit", 20)
    refused(await take(teacher), 413)


async def test_objects_that_no_file_is_are_swept_away(catalog: Harness, teacher: Person):
    made = ok(await take(teacher), 201)
    one = f"/api/core/media/{made['uuid']}/"
    before = ok(await teacher.client.get(f"{one}download/?redirect=false"))["url"]
    tag = (await teacher.client.get(one)).headers["etag"]
    ok(await teacher.client.put(f"{one}file/", files={"file": ("b.pdf", PDF)}, headers={"If-Match": tag}))
    refused(await teacher.client.patch(one, json={"title": "Late"}, headers={"If-Match": tag}), 412)
    await swept(catalog, "media")
    assert (await fetch(catalog, before)).status_code == 404
    after = ok(await teacher.client.get(f"{one}download/?redirect=false"))["url"]
    assert (await fetch(catalog, after)).content == PDF


async def test_an_erased_teachers_unused_files_go(catalog: Harness, school: School, teacher: Person):
    used, unused = ok(await take(teacher), 201), ok(await take(teacher, name="private.pdf"), 201)
    module = await school.module(teacher, await school.course(teacher))
    await school.lesson(teacher, module, resources=[{"media": used["uuid"]}])
    paths = [
        ok(await teacher.client.get(f"/api/core/media/{row['uuid']}/download/?redirect=false"))["url"]
        for row in (used, unused)
    ]
    assert len((await export(catalog, teacher.uuid))["files"]) == 2
    await erase(catalog, teacher.uuid)
    await catalog.run_tasks()
    assert [(await fetch(catalog, url)).status_code for url in paths] == [200, 404]
