"""Thumbnails: taken in, made anew, shown to all, swept away."""

from io import BytesIO

import pytest
from PIL import Image

from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import School, ok, refused, swept


def picture(kind: str = "JPEG", size: tuple[int, int] = (1600, 900)) -> bytes:
    out = BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "canary-in-exif"
    Image.new("RGB", size, "teal").save(out, kind, exif=exif)
    return out.getvalue()


def form(data: bytes, name: str = "photo.jpg") -> dict:
    return {"files": {"thumbnail": (name, data, "image/jpeg")}}


async def upload(person: Person, course: dict, data: bytes | None = None):
    path = f"/api/courses/{course['uuid']}/upload-image/"
    return await person.client.post(path, **form(data or picture()))


async def fetch(catalog: Harness, url: str):
    return await catalog.client().get(url[url.index("/media/") :])


async def test_a_thumbnail_is_made_anew_in_three_widths_for_all(
    catalog: Harness, school: School, teacher: Person
):
    course = await school.published(teacher)
    seen = ok(await upload(teacher, course))
    assert seen["thumbnail"] == seen["thumbnail_variants"]["1280"]
    for width, url in seen["thumbnail_variants"].items():
        answer = await fetch(catalog, url)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert b"canary" not in answer.content
        with Image.open(BytesIO(answer.content)) as image:
            assert (image.format, image.width) == ("WEBP", int(width))
    card = ok(await catalog.client().get("/api/courses/"))["results"][0]
    assert card["thumbnail"] == seen["thumbnail"]
    assert (await catalog.published())[-2][0] == "catalog.course_updated.v1"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "photo.jpg"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "photo.svg"),
        (b"\x89PNG\r\n\x1a\n<script>", "photo.png"),
        (picture()[:400], "photo.jpg"),
        (picture(), "photo.html"),
        (picture("PNG", (9000, 5000)), "bomb.png"),
    ],
)
async def test_what_is_no_picture_is_refused(school: School, teacher: Person, data: bytes, name: str):
    course = await school.course(teacher)
    path = f"/api/courses/{course['uuid']}/upload-image/"
    refused(await teacher.client.post(path, **form(data, name)), 422, "picture_refused")


async def test_a_thumbnail_is_capped_and_for_the_courses_teacher(
    catalog: Harness, school: School, teacher: Person, student: Person
):
    course = await school.published(teacher)
    path = f"/api/courses/{course['uuid']}/upload-image/"
    refused(await teacher.client.post(path, **form(b"\xff\xd8\xff" + bytes(10 * 1024 * 1024))), 413)
    refused(await teacher.client.post(path, files={"other": ("a.jpg", picture())}), 422, "file_missing")
    refused(await upload(student, course), 403)
    refused(await catalog.client().post(path, **form(picture())), 401)


async def test_a_replaced_picture_goes_after_an_hour(catalog: Harness, school: School, teacher: Person):
    course = await school.published(teacher)
    first = ok(await upload(teacher, course))["thumbnail"]
    second = ok(await upload(teacher, course))["thumbnail"]
    await swept(catalog, "thumbnails")
    assert (await fetch(catalog, first)).status_code == 404
    assert (await fetch(catalog, second)).status_code == 200
