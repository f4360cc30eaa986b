"""Modules, lessons, files."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import PDF, School, ok, refused


def stored_files(catalog: Harness) -> list[Path]:
    return [path for path in catalog.settings.storage_directory.rglob("*") if path.is_file()]


@pytest.fixture
def storage_before(catalog: Harness) -> set[Path]:
    return set(stored_files(catalog))


async def outline(person: Person, course: dict) -> list[tuple[str, list[str]]]:
    seen = ok(await person.client.get(f"/api/courses/{course['uuid']}/"))
    return [
        (module["title"], [lesson["title"] for lesson in module["lessons"]]) for module in seen["modules"]
    ]


async def test_modules_and_lessons_keep_their_order(school: School, teacher: Person):
    course = await school.course(teacher)
    second = await school.module(teacher, course, "Two", order=2)
    first = await school.module(teacher, course, "One", order=1)
    await school.module(teacher, course, "Middle", order=2)
    await school.lesson(teacher, first, "b", order=2)
    await school.lesson(teacher, first, "a", order=1)
    moved = await school.lesson(teacher, first, "c")
    assert (second["order"], moved["order"]) == (2, 3)
    assert await outline(teacher, course) == [("One", ["a", "b", "c"]), ("Middle", []), ("Two", [])]
    lesson = f"/api/courses/{course['uuid']}/lessons/{moved['uuid']}/"
    ok(await teacher.client.patch(lesson, json={"module": second["uuid"]}))
    ok(await teacher.client.patch(f"/api/modules/{first['uuid']}/", json={"order": 9, "title": "Last"}))
    assert await outline(teacher, course) == [("Middle", []), ("Two", ["c"]), ("Last", ["a", "b"])]
    listed = ok(await teacher.client.get(f"/api/modules/?course={course['uuid']}"))
    assert [module["title"] for module in listed["results"]] == ["Middle", "Two", "Last"]
    ok(await teacher.client.delete(f"/api/modules/{second['uuid']}/"))
    refused(await teacher.client.get(f"/api/modules/{second['uuid']}/"), 404)
    refused(await teacher.client.get(lesson), 404)


async def test_the_whole_tree_is_reordered_at_once(school: School, teacher: Person):
    course = await school.course(teacher)
    one, two = await school.module(teacher, course, "One"), await school.module(teacher, course, "Two")
    a, b = await school.lesson(teacher, one, "a"), await school.lesson(teacher, one, "b")
    path = f"/api/courses/{course['uuid']}/reorder/"
    order = [{"uuid": two["uuid"], "lessons": [b["uuid"], a["uuid"]]}, {"uuid": one["uuid"], "lessons": []}]
    refused(await teacher.client.post(path, json={"modules": order[:1]}), 422, "incomplete_tree")
    assert await outline(teacher, course) == [("One", ["a", "b"]), ("Two", [])]
    ok(await teacher.client.post(path, json={"modules": order}))
    assert await outline(teacher, course) == [("Two", ["b", "a"]), ("One", [])]


async def test_a_lesson_moves_one_down_and_up_again(school: School, teacher: Person):
    course = await school.course(teacher)
    module = await school.module(teacher, course)
    lessons = [await school.lesson(teacher, module, f"Lesson {n}") for n in range(3)]
    path = f"/api/courses/{course['uuid']}/lessons/"

    async def titles() -> list[str]:
        return [lesson["title"] for lesson in ok(await teacher.client.get(path))["results"]]

    ok(await teacher.client.patch(f"{path}{lessons[0]['uuid']}/", json={"order": 1}))
    assert await titles() == ["Lesson 1", "Lesson 0", "Lesson 2"]
    ok(await teacher.client.patch(f"{path}{lessons[0]['uuid']}/", json={"order": 0}))
    assert await titles() == ["Lesson 0", "Lesson 1", "Lesson 2"]


async def test_the_same_order_again_is_no_change(school: School, teacher: Person):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/"
    seen = ok(await teacher.client.get(path))
    tree = [{"uuid": m["uuid"], "lessons": [x["uuid"] for x in m["lessons"]]} for m in seen["modules"]]
    before = (await teacher.client.get(path)).headers["etag"]
    ok(await teacher.client.post(f"{path}reorder/", json={"modules": tree}))
    assert (await teacher.client.get(path)).headers["etag"] == before


async def test_every_change_of_the_tree_is_one_version_on_both_topics(
    school: School, teacher: Person, catalog: Harness
):
    course = await school.course(teacher)
    module = await school.module(teacher, course)
    await asyncio.gather(*(school.lesson(teacher, module, f"Lesson {n}") for n in range(4)))
    rows = [row for row in await catalog.published() if row[1] == course["uuid"]]
    facts = [seq for kind, _, seq in rows if kind != "catalog.course.v1"]
    states = [seq for kind, _, seq in rows if kind == "catalog.course.v1"]
    assert facts == states == [1, 2, 3, 4, 5, 6]
    seen = ok(await teacher.client.get(f"/api/courses/{course['uuid']}/"))
    assert sorted(lesson["order"] for lesson in seen["lessons"]) == [0, 1, 2, 3]
    assert seen["total_lessons"] == 4


async def test_bodies_are_for_the_enrolled_and_previews_for_all(
    school: School, teacher: Person, student: Person, catalog: Harness
):
    course = await school.published(teacher)
    locked, preview = course["lessons"]
    path = f"/api/courses/{course['uuid']}/lessons/"
    for client in (catalog.client(), student.client):
        shown = ok(await client.get(path))["results"]
        assert [row["is_locked"] for row in shown] == [True, False]
        one = ok(await client.get(f"{path}{locked['uuid']}/"))
        assert (one["title"], one["content"], one["text_source"], one["video_url"]) == (
            "What a graph is",
            None,
            None,
            None,
        )
        assert ok(await client.get(f"{path}{preview['uuid']}/"))["text_source"] == "*Edges*."
    await school.enroll(course, student)
    assert ok(await student.client.get(f"{path}{locked['uuid']}/"))["text_source"] == "*Edges*."
    await school.enroll(course, await school.person("Sofia Scholar", "student"), status="waitlisted")
    other = await school.published(teacher, "Another")
    refused(await student.client.get(f"{path}{other['lessons'][0]['uuid']}/"), 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content_type", "film"),
        ("title", ""),
        ("module", "x"),
        ("module", str(uuid4())),
        ("points", -1),
        ("video_url", "javascript:alert(1)"),
        ("order", -1),
        ("file", {}),
        ("is_preview", "perhaps"),
        ("content", "other"),
        ("estimated_time_minutes", 1.5),
    ],
)
async def test_a_bad_lesson_is_a_422(school: School, teacher: Person, catalog: Harness, field: str, value):
    course = await school.course(teacher)
    module = await school.module(teacher, course)
    before = len(await catalog.published())
    body = {"module": module["uuid"], "title": "A", "content_type": "text", "text_content": "b", field: value}
    refused(await teacher.client.post(f"/api/courses/{course['uuid']}/lessons/", json=body), 422)
    assert len(await catalog.published()) == before


async def test_strangers_change_nothing_inside_a_course(
    school: School, teacher: Person, student: Person, catalog: Harness
):
    course = await school.published(teacher)
    other = await school.person("Tomas Tutor", "teacher")
    module, lesson = course["modules"][0], course["lessons"][0]
    draft = await school.course(other)
    inside = await school.module(other, draft)
    lessons = f"/api/courses/{course['uuid']}/lessons/"
    body = {"module": module["uuid"], "title": "A", "content_type": "text"}
    for person in (student, other):
        refused(await person.client.post(lessons, json=body), 403)
        refused(await person.client.patch(f"{lessons}{lesson['uuid']}/", json={"title": "B"}), 403)
        refused(await person.client.delete(f"/api/modules/{module['uuid']}/"), 403)
        refused(
            await person.client.post(f"{lessons}{lesson['uuid']}/upload/", files={"file": ("a.pdf", PDF)}),
            403,
        )
    refused(await teacher.client.get(f"/api/modules/{inside['uuid']}/"), 404)
    refused(await teacher.client.post("/api/modules/", json={"course": draft["uuid"], "title": "Mine"}), 404)
    # A module of somebody else's course cannot be named, nor a lesson reached through another course.
    body["module"] = inside["uuid"]
    refused(await teacher.client.post(lessons, json=body), 422)
    refused(
        await other.client.patch(
            f"/api/courses/{draft['uuid']}/lessons/{lesson['uuid']}/", json={"title": "B"}
        ),
        404,
    )
    refused(await catalog.client().get("/api/modules/"), 400, "course_required")
    refused(await catalog.client().get("/api/modules/?course=x"), 400)


async def test_a_lesson_changed_meanwhile_is_a_412(school: School, teacher: Person):
    course = await school.course(teacher)
    module = await school.module(teacher, course)
    lesson = await school.lesson(teacher, module)
    path = f"/api/courses/{course['uuid']}/lessons/{lesson['uuid']}/"
    tag = (await teacher.client.get(path)).headers["etag"]
    await school.lesson(teacher, module, "Another")
    ok(await teacher.client.patch(path, json={"title": "First"}, headers={"If-Match": tag}))
    refused(await teacher.client.patch(path, json={"title": "Second"}, headers={"If-Match": tag}), 412)


async def test_code_in_a_lesson_survives_an_editor_that_changes_nothing(
    school: School, teacher: Person, catalog: Harness
):
    course = await school.course(teacher)
    source = "Look:\n\n```html\n<script>alert(1)</script>\n```\n"
    lesson = await school.lesson(teacher, await school.module(teacher, course), text_content=source)
    assert lesson["text_source"] == source
    assert "<script" not in lesson["text_content"]
    assert "&lt;script&gt;" in lesson["text_content"]
    assert lesson["text_content"] == lesson["text_html"] == lesson["content"]
    path = f"/api/courses/{course['uuid']}/lessons/{lesson['uuid']}/"
    shown = lesson["text_content"]
    for text_content in (shown, shown.strip(), shown.replace("&lt;", "&#60;"), source):
        for sent in ({}, {"text_source": source}):
            ok(await teacher.client.patch(path, json={"text_content": text_content, "title": "Code", **sent}))
            async with catalog.db.sessions() as session:
                assert await session.scalar(text("SELECT text_content FROM lessons")) == source


async def test_a_lesson_takes_its_new_text_under_each_of_its_names(school: School, teacher: Person):
    course = await school.course(teacher)
    lesson = await school.lesson(teacher, await school.module(teacher, course), text_content="*One*")
    path = f"/api/courses/{course['uuid']}/lessons/{lesson['uuid']}/"
    for number, name in enumerate(("text_source", "text_content", "content")):
        # Whatever else was shown comes along as it was.
        sent = {field: lesson[field] for field in ("text_source", "text_content", "content")}
        new = f"  *Edition {number}* <String>\r\n"
        lesson = ok(await teacher.client.patch(path, json=sent | {name: new}))
        assert lesson["text_source"] == new
        assert lesson["text_content"] == f"<p><em>Edition {number}</em> &lt;String&gt;</p>\n"
    refused(await teacher.client.patch(path, json={"text_source": "One", "content": "Another"}), 422)
    # What an editor of HTML made of the rendered form is new text, and nothing of it is lost.
    edited = lesson["text_content"].replace("Edition", "Third edition")
    lesson = ok(await teacher.client.patch(path, json={"text_content": edited}))
    assert lesson["text_source"] == edited
    assert lesson["text_content"].strip() == edited.strip()
    assert ok(await teacher.client.patch(path, json={"text_source": ""}))["text_source"] == ""


async def pdf_lesson(school: School, teacher: Person) -> tuple[dict, str]:
    course = await school.course(teacher)
    lesson = await school.lesson(
        teacher, await school.module(teacher, course), content_type="pdf", is_preview=True
    )
    return course, f"/api/courses/{course['uuid']}/lessons/{lesson['uuid']}/"


@pytest.mark.promise("uploads")
@pytest.mark.parametrize("field", ["file", "resource"])
async def test_a_file_is_read_by_a_signed_url(school: School, teacher: Person, catalog: Harness, field: str):
    course, path = await pdf_lesson(school, teacher)
    answer = ok(
        await teacher.client.post(f"{path}upload/", files={field: ("../../Hand out.pdf", PDF, "text/html")})
    )
    file = answer["file"]
    assert (file["name"], file["media_type"], file["size"]) == ("Hand out.pdf", "application/pdf", len(PDF))
    assert "path" not in file
    url = file["url"].removeprefix(catalog.settings.public_url)
    read = await catalog.client().get(url)
    assert (read.status_code, read.content, read.headers["content-type"]) == (200, PDF, "application/pdf")
    part = await catalog.client().get(url, headers={"Range": "bytes=0-4"})
    assert (part.status_code, part.content) == (206, b"%PDF-")
    refused(await catalog.client().get(url.partition("?")[0]), 404)
    refused(await catalog.client().get(url.replace("application", "text")), 404)
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))
    again = ok(await teacher.client.post(f"{path}upload/", files={"file": ("new.pdf", PDF + b"2")}))
    assert again["file"]["size"] == len(PDF) + 1
    seen = ok(await catalog.client().get(path))
    assert seen["file"]["name"] == "Hand out.pdf"
    assert [kind for kind, _, _ in await catalog.published()].count("catalog.lesson_file_uploaded.v1") == 2


@pytest.mark.promise("uploads")
@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("a.html", PDF, 422),
        ("a.pdf", b"<html><script>1</script>" + PDF, 422),
        ("a.pdf", b"", 422),
        ("a.pdf", b"MZ" + PDF, 422),
        ("a.svg", b"<svg onload=alert(1)>", 422),
        ("a.pdf", PDF + b"x" * 5000, 413),
        ("..%2f..%2fa.pdf\r\nX-Evil: 1", b"GIF89a", 422),
    ],
)
async def test_a_refused_file_leaves_nothing(
    school: School,
    teacher: Person,
    catalog: Harness,
    storage_before,
    monkeypatch,
    name: str,
    data: bytes,
    status: int,
):
    monkeypatch.setattr(catalog.settings, "file_limit", 4000)
    _, path = await pdf_lesson(school, teacher)
    before = len(await catalog.published())
    refused(await teacher.client.post(f"{path}upload/", files={"file": (name, data)}), status)
    assert set(stored_files(catalog)) == storage_before
    assert len(await catalog.published()) == before
    assert ok(await teacher.client.get(path))["file"] is None


async def test_an_upload_without_a_file_is_refused_and_a_mislabelled_one_taken(
    school: School, teacher: Person
):
    _, path = await pdf_lesson(school, teacher)
    refused(await teacher.client.post(f"{path}upload/", data={"file": "text"}), 422, "file_missing")
    refused(await teacher.client.post(f"{path}upload/", json={}), 422, "file_missing")
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
        + PDF
        + b"\r\n--x--\r\n"
    )
    headers = {"Content-Type": "application/json"}
    assert (
        ok(await teacher.client.post(f"{path}upload/", content=body, headers=headers))["file"]["name"]
        == "a.pdf"
    )
