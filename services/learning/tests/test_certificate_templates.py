"""How certificates look: what teachers may say on them, and that none of it acts."""

import asyncio
import io
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pypdf import PdfReader

from services.learning.certificates.pictures import MOST_STORED, clean_picture
from services.learning.certificates.rules import is_number, is_readable
from services.learning.certificates.template_routes import SAMPLE_NUMBER
from services.learning.errors import PictureRefused
from services.learning.tests.conftest import School, done, refused


def place(course: object, rest: str = "") -> str:
    return f"/api/courses/{course}/certificate-template/{rest}"


def picture(
    size: tuple[int, int] = (1200, 400), kind: str = "PNG", mode: str = "RGBA", **options: Any
) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "#802040").save(out, kind, **options)
    return out.getvalue()


async def put(school: School, course: object, name: str, data: bytes, field: str = "image") -> httpx.Response:
    files = {field: ("picture.png", data, "image/png")}
    return await school.teacher.client.put(place(course, f"{name}/"), files=files)


def read(pdf: bytes) -> tuple[str, int, int]:
    """Words, pages and pictures of a PDF."""
    pages = PdfReader(io.BytesIO(pdf)).pages
    return pages[0].extract_text(), len(pages), len(pages[0].images)


async def test_a_template_changes_the_certificates_that_are_made_from_then_on(school: School) -> None:
    course = await school.course(uuid4())
    url = place(course)
    plain = await school.teacher.client.get(url)
    assert done(plain) == {
        "title": "Certificate of completion", "text": "has completed the course", "signer_name": "",
        "signer_title": "", "accent_color": "#1f3a5f", "has_logo": False, "has_signature": False,
        "updated_at": None,
    }  # fmt: skip
    assert plain.headers["etag"] == '"0"'
    words = {
        "title": "Diploma", "text": "has finished *all* of #it", "signer_name": "Grace Hopper",
        "signer_title": "Dean of computing", "accent_color": "#7A1F3A",
    }  # fmt: skip
    saved = await school.teacher.client.put(url, json=words, headers={"If-Match": '"0"'})
    assert done(saved) == {
        **words, "accent_color": "#7a1f3a", "has_logo": False, "has_signature": False,
        "updated_at": "2026-03-02T09:00:00Z",
    }  # fmt: skip
    stale = await school.teacher.client.put(url, json={}, headers={"If-Match": '"0"'})
    refused(stale, 412, "precondition_failed")
    assert done(await put(school, course, "logo", picture()))["has_logo"] is True
    assert done(await put(school, course, "signature", picture((900, 200))))["has_signature"] is True

    preview = await school.teacher.client.get(place(course, "preview/"))
    assert preview.headers["content-type"] == "application/pdf"
    text, pages, images = read(preview.content)
    assert (pages, images) == (1, 2)
    for part in ("Diploma", "has finished *all* of #it", "Grace Hopper", "Dean of computing", "SAMPLE"):
        assert part in text
    assert not is_number(SAMPLE_NUMBER)

    student = await school.enrolled(course)
    await school.complete(student, course, school.lessons(course)[0])
    await school.harness.run_tasks()
    [certificate] = done(await student.client.get("/api/certificates/"))["results"]
    pdf = await student.client.get(f"/api/certificates/{certificate['uuid']}/download/")
    text, pages, images = read(pdf.content)
    assert (pages, images) == (1, 2)
    assert "Ada Lovelace" in text
    assert "Grace Hopper" in text
    assert "SAMPLE" not in text
    assert await school.events("certificate_template_changed") == ["certificate_template_changed"] * 3


async def test_pictures_come_and_go(school: School) -> None:
    course = await school.course()
    teacher = school.teacher.client
    refused(await teacher.get(place(course, "logo/")), 404, "not_found")
    done(await put(school, course, "logo", picture(kind="JPEG", mode="RGB")))
    kept = await teacher.get(place(course, "logo/"))
    assert kept.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(kept.content)) as image:
        assert (image.format, image.size) == ("PNG", (900, 300))
    for _ in range(2):
        assert done(await teacher.delete(place(course, "logo/")))["has_logo"] is False
    refused(await teacher.get(place(course, "logo/")), 404, "not_found")
    refused(await teacher.get(place(course, "stamp/")), 404, "not_found")
    assert await school.events("certificate_template_changed") == ["certificate_template_changed"] * 2


@pytest.mark.parametrize(
    "body",
    [
        {"title": ""}, {"title": "x" * 81}, {"text": "x" * 241}, {"signer_name": "x" * 81},
        {"signer_title": "x" * 121}, {"title": "two\nlines"}, {"title": "turned \u202e round"},
        {"title": "nul \0"}, {"title": 5}, {"title": None}, {"accent_color": "red"},
        {"accent_color": "#12345"}, {"accent_color": "#ffff00"},
        {"accent_color": "#1f3a5f; fill: url(x)"}, {"font": "Comic"}, {"logo": "x"},
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_refused_and_nothing_is_saved(
    school: School, body: dict[str, Any]
) -> None:
    course = await school.course()
    refused(await school.teacher.client.put(place(course), json=body), 422, "invalid_input")
    assert done(await school.teacher.client.get(place(course)))["updated_at"] is None
    assert await school.events("certificate_template_changed") == []


async def test_pictures_that_are_none_are_refused(school: School) -> None:
    course = await school.course()
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    for data in (b"", svg, b"%PDF-1.7", picture()[:200], b"GIF89a" + bytes(20)):
        refused(await put(school, course, "logo", data), 422, "picture_refused")
    refused(await put(school, course, "logo", picture(), field="file"), 422, "picture_missing")
    refused(await school.teacher.client.put(place(course, "logo/"), json={}), 422, "picture_missing")
    bomb = picture((4001, 3000), mode="L")
    refused(await put(school, course, "logo", bomb), 422, "picture_refused")
    assert (await put(school, course, "logo", b"\x89PNG" + bytes(2_100_000))).status_code == 413
    assert await school.events("certificate_template_changed") == []


async def test_only_who_teaches_the_course_sees_or_changes_its_template(school: School) -> None:
    course = await school.course()
    student = await school.enrolled(course)
    other = await school.person("Olga Other", "teacher")
    for who, status, code in ((student, 403, "forbidden"), (other, 404, "not_found")):
        refused(await who.client.get(place(course)), status, code)
        refused(await who.client.put(place(course), json={}), status, code)
        refused(await who.client.get(place(course, "preview/")), status, code)
        files = {"image": ("p.png", picture(), "image/png")}
        refused(await who.client.put(place(course, "logo/"), files=files), status, code)
        refused(await who.client.delete(place(course, "logo/")), status, code)
    refused(await school.teacher.client.get(place(uuid4())), 404, "not_found")


async def test_changes_at_once_are_all_kept(school: School) -> None:
    course = await school.course()
    titles = [f"Diploma {n}" for n in range(4)]
    answers = await asyncio.gather(
        put(school, course, "logo", picture()),
        put(school, course, "signature", picture()),
        *(school.teacher.client.put(place(course), json={"title": title}) for title in titles),
    )
    assert {answer.status_code for answer in answers} == {200}
    last = done(await school.teacher.client.get(place(course)))
    assert (last["has_logo"], last["has_signature"], last["title"] in titles) == (True, True, True)
    facts = [seq for kind, _, seq in await school.published() if "template" in kind]
    assert facts == [1, 2, 3, 4, 5, 6]


def test_a_picture_is_encoded_anew_without_what_came_with_it():
    info = PngInfo()
    info.add_text("Comment", "canary-comment")
    data = picture(pnginfo=info) + b"PK\x03\x04canary-archive"
    clean = clean_picture(data)
    assert b"canary" not in clean
    turned = Image.Exif()
    turned[0x0112] = 6
    with Image.open(io.BytesIO(clean_picture(picture((300, 100), "JPEG", "RGB", exif=turned)))) as image:
        assert image.size == (100, 300)
        assert not image.getexif()
    noise = Image.effect_noise((900, 300), 90).convert("RGB")
    out = io.BytesIO()
    noise.save(out, "PNG")
    assert len(clean_picture(out.getvalue())) <= MOST_STORED
    with pytest.raises(PictureRefused):
        clean_picture(b"not a picture")


def test_a_colour_stands_out_from_white():
    assert is_readable("#1f3a5f")
    assert is_readable("#000000")
    assert is_readable("#767676")
    assert not is_readable("#777777")
    assert not is_readable("#ffffff")
