"""Files of lessons and pictures: counted against the quota, and kept as long as somebody reads them."""

from io import BytesIO

import pytest
from PIL import Image
from sqlalchemy import select

from libs.common.testing.harness import Harness, Person
from services.catalog.models import LessonObject
from services.catalog.tests.conftest import PDF, School, ok, refused, swept

CANARY = b"canary-in-exif"


def photo() -> bytes:
    out, exif = BytesIO(), Image.Exif()
    exif[0x010E] = CANARY.decode()
    Image.new("RGB", (60, 40), "teal").save(out, "JPEG", exif=exif)
    assert CANARY in out.getvalue()
    return out.getvalue()


async def lesson_of(school: School, teacher: Person, **fields) -> tuple[dict, str]:
    course = await school.course(teacher)
    lesson = await school.lesson(teacher, await school.module(teacher, course), **fields)
    return course, f"/api/courses/{course['uuid']}/lessons/{lesson['uuid']}/"


async def upload(teacher: Person, path: str, data: bytes = PDF, name: str = "a.pdf"):
    return await teacher.client.post(f"{path}upload/", files={"file": (name, data)})


async def fetch(catalog: Harness, url: str):
    return await catalog.client().get(url[url.index("/media/") :])


@pytest.mark.promise("uploads")
async def test_a_picture_is_kept_without_what_the_camera_wrote(
    catalog: Harness, school: School, teacher: Person
):
    _, path = await lesson_of(school, teacher, content_type="text")
    of_lesson = ok(await upload(teacher, path, photo(), "photo.jpg"))["file"]["url"]
    made = ok(await teacher.client.post("/api/core/media/", files={"file": ("photo.jpg", photo())}), 201)
    of_library = ok(await teacher.client.get(f"/api/core/media/{made['uuid']}/download/?redirect=false"))
    for url in (of_lesson, of_library["url"]):
        data = (await fetch(catalog, url)).content
        assert CANARY not in data
        with Image.open(BytesIO(data)) as image:
            assert (image.format, image.size) == ("JPEG", (60, 40))


async def test_files_of_lessons_count_against_the_quota(
    catalog: Harness, school: School, teacher: Person, monkeypatch
):
    monkeypatch.setattr(catalog.settings, "media_quota", 2 * len(PDF))
    _, first = await lesson_of(school, teacher, content_type="pdf")
    _, second = await lesson_of(school, teacher, content_type="pdf")
    _, third = await lesson_of(school, teacher, content_type="pdf")
    ok(await upload(teacher, first))
    ok(await upload(teacher, second))
    ok(await upload(teacher, second))  # in the place of the one before
    refused(await upload(teacher, third), 409, "media_quota_exceeded")
    library = {"file": ("a.pdf", PDF)}
    refused(await teacher.client.post("/api/core/media/", files=library), 409, "media_quota_exceeded")
    assert ok(await teacher.client.get(third))["file"] is None
    ok(await teacher.client.delete(first))
    ok(await upload(teacher, third))


async def test_a_file_goes_when_neither_lesson_nor_revision_has_it(
    catalog: Harness, school: School, teacher: Person
):
    course, path = await lesson_of(school, teacher, content_type="pdf", is_preview=True)
    ok(await upload(teacher, path))
    ok(await teacher.client.post(f"/api/courses/{course['uuid']}/publish/"))
    ok(await upload(teacher, path, PDF + b"2", "b.pdf"))
    await swept(catalog, "media")
    shown = ok(await catalog.client().get(path))["file"]
    assert (await fetch(catalog, shown["url"])).content == PDF, "learners read the revision that has it"
    ok(await upload(teacher, path, PDF + b"33", "c.pdf"))
    between = ok(await teacher.client.get(path))["file"]["url"]
    await swept(catalog, "media")
    assert (await fetch(catalog, between)).content == PDF + b"33"
    async with catalog.db.sessions() as session:
        sizes = await session.scalars(select(LessonObject.size).order_by(LessonObject.size))
        assert sizes.all() == [len(PDF), len(PDF) + 2], "what was replaced unseen is gone"


async def test_an_unchanged_file_of_the_library_is_a_304(teacher: Person):
    made = ok(await teacher.client.post("/api/core/media/", files={"file": ("a.pdf", PDF)}), 201)
    path = f"/api/core/media/{made['uuid']}/"
    tag = (await teacher.client.get(path)).headers["etag"]
    assert (await teacher.client.get(path, headers={"If-None-Match": tag})).status_code == 304
    ok(await teacher.client.patch(path, json={"title": "Another"}, headers={"If-Match": tag}))
    assert (await teacher.client.get(path, headers={"If-None-Match": tag})).status_code == 200
