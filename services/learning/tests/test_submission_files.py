"""Files that are handed in: what is taken, who reads them, what is kept and what is swept away."""

from io import BytesIO
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from sqlalchemy import text

from libs.common.files.storage import Storage
from libs.common.security.revocation import Revocation
from libs.common.testing.harness import Person
from services.learning.assignments.uploads import taken_types
from services.learning.tests.conftest import School, done, refused

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n"
Files = list[tuple[str, bytes]]


async def send(who: Person, assignment: dict[str, Any], files: Files, **fields: str) -> httpx.Response:
    parts = [("files", (name, data, "application/octet-stream")) for name, data in files]
    path = f"/api/assignments/{assignment['uuid']}/submissions/"
    return await who.client.post(path, files=parts, data=fields)


async def read(school: School, file: dict[str, Any], **headers: str) -> httpx.Response:
    url = file["url"]
    return await school.harness.client(**headers).get(url[url.index("/media/") :])


async def stored(school: School) -> set[str]:
    """Objects of every test so far."""
    return set(await Storage(school.harness.settings).list_folder("submissions"))


async def rows(school: School) -> int:
    async with school.harness.db.sessions() as session:
        return int(await session.scalar(text("SELECT count(*) FROM submission_files")) or 0)


async def test_files_are_kept_by_version_and_read_by_signed_urls(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course)
    first = done(
        await send(student, assignment, [("plan.pdf", PDF), ("notes.md", b"# Notes\n")], text="V1"), 201
    )
    assert [(file["name"], file["media_type"], file["size"]) for file in first["files"]] == [
        ("plan.pdf", "application/pdf", len(PDF)), ("notes.md", "text/plain", 8),
    ]  # fmt: skip
    second = done(await send(student, assignment, [("plan.pdf", PDF + b"%2")]), 201)
    assert (second["version"], second["text"], len(second["files"])) == (2, "", 1)
    assert [len(version["files"]) for version in second["versions"]] == [2, 1]
    seen = done(await school.teacher.client.get(f"/api/submissions/{first['uuid']}/"))
    for file, data in zip(
        seen["versions"][0]["files"] + seen["files"], (PDF, b"# Notes\n", PDF + b"%2"), strict=True
    ):
        answer = await read(school, file)
        assert (answer.status_code, answer.content) == (200, data)
    part = await read(school, seen["files"][0], Range="bytes=0-3")
    assert (part.status_code, part.content) == (206, b"%PDF")
    forged = {"url": seen["files"][0]["url"].replace(seen["files"][0]["uuid"], str(uuid4()))}
    assert (await read(school, forged)).status_code == 404


async def test_only_the_learner_and_the_teachers_see_files(school: School):
    course = await school.course()
    student, classmate = await school.enrolled(course), await school.enrolled(course, "Eve Else")
    rival = await school.person("Rita Rival", "teacher")
    assignment = await school.assignment(course)
    work = done(await send(student, assignment, [("plan.pdf", PDF)]), 201)
    for person in (classmate, rival):
        refused(await person.client.get(f"/api/submissions/{work['uuid']}/"), 404, "not_found")
    assert (
        done(await classmate.client.get(f"/api/assignments/{assignment['uuid']}/submissions/"))["count"] == 0
    )
    before = await stored(school)
    refused(await send(rival, assignment, [("plan.pdf", PDF)]), 404, "not_found")
    refused(await send(school.teacher, assignment, [("plan.pdf", PDF)]), 403, "not_enrolled")
    assert (await stored(school), await rows(school)) == (before, 1)


@pytest.mark.parametrize(
    ("name", "data", "rules", "status", "code"),
    [
        ("page.html", b"<html></html>", {}, 422, "file_type_refused"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", {}, 422, "file_type_refused"),
        ("photo.png", PDF, {}, 422, "file_type_refused"),
        ("program.pdf", b"MZ\x90\0", {}, 422, "file_type_refused"),
        ("empty.pdf", b"", {}, 422, "file_type_refused"),
        ("plan", PDF, {}, 422, "file_type_refused"),
        ("plan.pdf", PDF, {"allowed_types": ["docx"]}, 422, "file_type_refused"),
        ("plan.pdf", PDF, {"max_bytes": len(PDF) - 1}, 413, "payload_too_large"),
    ],
)
async def test_what_the_assignment_does_not_take_is_refused_and_not_stored(
    school: School, name: str, data: bytes, rules: dict[str, Any], status: int, code: str
):
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course, **rules)
    before, facts = await stored(school), await school.published()
    refused(await send(student, assignment, [("ok.txt", b"fine"), (name, data)], text="x"), status, code)
    assert (await stored(school), await rows(school), await school.published()) == (before, 0, facts)


@pytest.mark.promise("uploads")
async def test_a_photo_does_not_tell_where_it_was_taken(school: School):
    exif = Image.Exif()
    exif[0x010E] = "canary-place"
    photo = BytesIO()
    Image.new("RGB", (40, 30), "teal").save(photo, "JPEG", exif=exif)
    student = await school.enrolled(course := await school.course())
    assignment = await school.assignment(course)
    work = done(await send(student, assignment, [("photo.jpg", photo.getvalue())]), 201)
    seen = done(await school.teacher.client.get(f"/api/submissions/{work['uuid']}/"))
    kept = await read(school, seen["files"][0])
    assert Image.open(BytesIO(kept.content)).size == (40, 30)
    assert b"canary" in photo.getvalue()
    assert b"canary" not in kept.content
    assert len(kept.content) == seen["files"][0]["size"]
    broken = [("photo.jpg", photo.getvalue()[:200])]
    refused(await send(student, assignment, broken), 422, "file_type_refused")


async def test_types_are_named_by_extension_or_media_type(school: School):
    course = await school.course()
    made = await school.assignment(course, allowed_types=[".PDF", "image/jpeg"], max_bytes=1000)
    assert (made["allowed_types"], made["max_bytes"]) == (["pdf", "jpg", "jpeg"], 1000)
    assert (await school.assignment(course))["allowed_types"] == []
    assert taken_types(["jpeg"]) == {"jpg", "jpeg"}
    body = {"course": str(course), "title": "x", "allowed_types": ["exe"]}
    refused(await school.teacher.client.post("/api/assignments/", json=body), 422, "invalid_input")
    path = f"/api/assignments/{made['uuid']}/"
    changed = done(await school.teacher.client.patch(path, json={"allowed_types": None, "max_bytes": None}))
    assert (changed["allowed_types"], changed["max_bytes"]) == ([], None)


async def test_work_needs_a_text_or_a_file_and_nothing_else(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course)
    path = f"/api/assignments/{assignment['uuid']}/submissions/"
    nothing = await student.client.post(path, files={"text": (None, "")})
    refused(nothing, 422, "invalid_input")
    refused(await send(student, assignment, [("a.txt", b"a")], grade="20"), 422, "invalid_input")
    eleven = [(f"{n}.txt", b"a") for n in range(11)]
    assert (await send(student, assignment, eleven)).status_code == 400
    refused(await student.client.post(path, content=b"{"), 400, "malformed_json")
    for body in (b"[]", b'{"text": 5}', b'{"text": "a\\u0000"}', b'{"text": "x", "files": []}'):
        refused(await student.client.post(path, content=body), 422, "invalid_input")
    long = await student.client.post(path, content=b'{"text": "' + b"x" * 1_100_000 + b'"}')
    refused(long, 413, "payload_too_large")
    assert (await school.events("assignment_submitted"), await rows(school)) == ([], 0)


async def test_names_are_harmless_and_paths_our_own(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course)
    work = done(await send(student, assignment, [("..\\..\\etc/pass\r\nwd.txt", b"text")]), 201)
    assert not set(work["files"][0]["name"]) & set('/\\\r\n"')
    answer = await read(school, work["files"][0])
    assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")


async def test_files_that_are_not_handed_in_are_swept_away(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course, max_submissions=1)
    kept = done(await send(student, assignment, [("a.txt", b"a")]), 201)
    before = await stored(school)
    refused(await send(student, assignment, [("b.txt", b"b")]), 409, "no_submissions_left")
    assert len(await stored(school)) == len(before) + 1
    await school.harness.run_task("learning.sweep_files")
    assert await rows(school) == 2
    async with school.harness.db.session() as session:
        await session.execute(
            text("UPDATE submission_files SET created_at = created_at - interval '2 hours'")
        )
    await school.harness.run_task("learning.sweep_files")
    assert (await stored(school), await rows(school)) == (before, 1)
    assert (await read(school, kept["files"][0])).content == b"a"


@pytest.mark.promise("object access")
async def test_a_link_to_handed_in_work_is_its_readers_while_they_may_read_it(school: School):
    course = await school.course()
    student = await school.enrolled(course)
    assignment = await school.assignment(course)
    (file,) = done(await send(student, assignment, [("plan.pdf", PDF)]), 201)["files"]
    submission = done(await student.client.get(f"/api/assignments/{assignment['uuid']}/submissions/"))
    of_teacher = done(
        await school.teacher.client.get(f"/api/submissions/{submission['results'][0]['uuid']}/")
    )["files"][0]
    for each in (file, of_teacher):
        answer = await read(school, each)
        assert (answer.status_code, answer.content) == (200, PDF)
        part = await read(school, each, **{"Range": "bytes=1-3", "If-Range": answer.headers["etag"]})
        assert (part.status_code, part.content) == (206, PDF[1:4])
    revocations = school.harness.app.state.revocations
    revocations.revoke(Revocation(student.uuid, version=2))
    assert (await read(school, file)).status_code == 404
    revocations.revoke(Revocation(school.teacher.uuid, version=2))
    assert (await read(school, of_teacher)).status_code == 404
