"""Avatars: what is uploaded is decoded and encoded anew; nothing of the upload itself is kept."""

import struct
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image, PngImagePlugin
from sqlalchemy import text

from libs.common.runtime.clock import SettableClock, system_clock
from libs.common.runtime.errors import NotFound
from libs.common.testing.harness import Harness
from services.identity.avatars.pictures import make_avatar
from services.identity.errors import PictureRefused
from services.identity.tests.conftest import Account, People

PATH = "/api/accounts/users/me/avatar/"


def brightness(image: Image.Image, x: int, y: int) -> int:
    return image.convert("L").crop((x, y, x + 1, y + 1)).tobytes()[0]


def picture(kind: str = "PNG", size: tuple[int, int] = (800, 400), mode: str = "RGB", **options) -> bytes:
    out = BytesIO()
    image = Image.new(mode, size)
    image.paste(Image.linear_gradient("L").resize(size).convert(mode))
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
async def ada(people: People) -> Account:
    return await people.join("ada@lectern.example")


async def upload(account: Account, data: bytes, name: str = "me.png", **headers: str) -> httpx.Response:
    return await account.client.post(PATH, files={"avatar": (name, data)}, headers=headers)


async def stored(identity: Harness) -> list[str]:
    async with identity.db.sessions() as session:
        return list(await session.scalars(text("SELECT url FROM avatar_files ORDER BY created_at")))


def file_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/media/identity/")


async def seen(identity: Harness, url: str) -> httpx.Response:
    """As any browser gets it, without a token."""
    return await identity.client().get(urlsplit(url).path)


@pytest.mark.parametrize(
    ("kind", "mode", "size", "shown"),
    [
        ("PNG", "RGB", (800, 400), (512, 256)),
        ("PNG", "RGBA", (300, 900), (171, 512)),
        ("PNG", "P", (40, 30), (40, 30)),
        ("PNG", "I;16", (600, 600), (512, 512)),
        ("JPEG", "RGB", (4000, 3000), (512, 384)),
        ("JPEG", "CMYK", (600, 600), (512, 512)),
        ("WEBP", "RGBA", (1024, 1024), (512, 512)),
    ],
)
async def test_a_picture_becomes_a_small_webp_that_loads_without_a_token(
    identity: Harness, ada: Account, kind: str, mode: str, size: tuple[int, int], shown: tuple[int, int]
):
    answer = await upload(ada, picture(kind, size, mode), f"Me.{kind}")
    assert answer.status_code == 200, answer.text
    url = answer.json()["avatar"]
    assert url.startswith("http://127.0.0.1:8000/media/identity/public/avatars/")
    got = await seen(identity, url)
    assert (got.status_code, got.headers["content-type"]) == (200, "image/webp")
    assert got.headers["x-content-type-options"] == "nosniff"
    with Image.open(BytesIO(got.content)) as image:
        assert (image.format, image.size) == ("WEBP", shown)
    assert (await ada.client.get("/api/accounts/users/me/")).json()["avatar"] == url


async def test_a_change_is_a_new_version_and_an_event(identity: Harness, ada: Account):
    before = await ada.client.get("/api/accounts/users/me/")
    answer = await upload(ada, picture())
    assert answer.headers["etag"] != before.headers["etag"]
    kinds = [kind for kind, _, _ in await identity.published()]
    assert kinds[-2:] == ["identity.profile_updated.v1", "identity.user.v1"]
    lost = await upload(ada, picture(), **{"If-Match": before.headers["etag"]})
    assert lost.status_code == 412
    assert (await upload(ada, picture(), **{"If-Match": answer.headers["etag"]})).status_code == 200


async def test_the_older_file_is_deleted_after_the_change_and_the_last_with_the_avatar(
    identity: Harness, ada: Account
):
    first = (await upload(ada, picture())).json()["avatar"]
    second = (await upload(ada, picture("JPEG"), "me.jpg")).json()["avatar"]
    assert first != second
    assert (await seen(identity, first)).status_code == 200
    await identity.run_tasks()
    assert [(await seen(identity, url)).status_code for url in (first, second)] == [404, 200]
    removed = await ada.client.delete(PATH)
    assert (removed.status_code, removed.json()["avatar"]) == (200, None)
    await identity.run_tasks()
    assert (await seen(identity, second)).status_code == 404
    assert await stored(identity) == []
    again = await ada.client.delete(PATH)
    assert (again.status_code, again.headers["etag"]) == (200, removed.headers["etag"])


async def test_files_that_nobody_came_to_wear_are_swept_and_worn_ones_stay(identity: Harness, ada: Account):
    worn = (await upload(ada, picture())).json()["avatar"]
    lost = await upload(ada, picture(), **{"If-Match": '"1"'})
    assert lost.status_code == 412
    orphan = (await stored(identity))[1]
    for minutes, status in ((59, 200), (61, 404)):
        later = SettableClock(system_clock() + timedelta(minutes=minutes))
        await identity.run_task("identity.sweep_avatars", clock=later)
        await identity.run_tasks()
        assert (await seen(identity, orphan)).status_code == status
    assert (await seen(identity, worn)).status_code == 200


async def test_a_picture_that_is_worn_again_before_it_is_deleted_stays(identity: Harness, ada: Account):
    first = (await upload(ada, picture())).json()["avatar"]
    second = (await upload(ada, picture("JPEG"), "me.jpg")).json()["avatar"]
    async with identity.db.session() as session:  # as a change that was under way for so long
        await session.execute(
            text("UPDATE users SET avatar = :a WHERE uuid = :u"), {"a": first, "u": ada.user["uuid"]}
        )
    await identity.run_tasks()  # the first picture's end was asked for when the second came
    assert [(await seen(identity, url)).status_code for url in (first, second)] == [200, 200]
    await identity.run_task(
        "identity.sweep_avatars", clock=SettableClock(system_clock() + timedelta(hours=2))
    )
    await identity.run_tasks()
    assert [(await seen(identity, url)).status_code for url in (first, second)] == [200, 404]


async def test_a_body_that_begins_with_dashes_is_multipart_whatever_it_is_called(ada: Account):
    request = httpx.Request("POST", "http://x", files={"avatar": ("me.png", picture())})
    for kind in ("application/json", "multipart/form-data", "application/x-www-form-urlencoded"):
        answer = await ada.client.post(PATH, content=request.read(), headers={"Content-Type": kind})
        assert answer.status_code == 200, kind


async def test_visitors_upload_nothing(identity: Harness):
    answer = await identity.client().post(PATH, files={"avatar": ("me.png", picture())})
    assert answer.status_code == 401


PNG, HTML = picture(), b"<html><script>alert(1)</script></html>"
GIF = picture("GIF", (8, 8), "L")


@pytest.mark.promise("uploads")
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("me.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
        ("me.png", HTML),
        ("me.gif", GIF),
        ("me.png", GIF),
        ("me.html", PNG),
        ("me.png.php", PNG),
        ("me.png", HTML + PNG),
        ("me.webp", b"RIFF\x24\0\0\0WAVEfmt "),
        ("me.png", b""),
    ],
)
async def test_another_type_is_refused_whatever_its_name_says(
    identity: Harness, ada: Account, name: str, data: bytes
):
    answer = await upload(ada, data, name)
    assert (answer.status_code, answer.json()["code"]) == (422, "file_type_refused")
    assert answer.json()["errors"][0]["field"] == "avatar"
    assert await stored(identity) == []


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes) -> bytes:
    """A PNG of one bit a pixel whose header says what it likes."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BOMBS = {
    "large": png(7000, 7000, zlib.compress(bytes(876 * 7000))),
    "huge": png(60_000, 60_000, zlib.compress(bytes(1000))),
    "absurd": png(2**31 - 1, 2**31 - 1, b""),
    "text": PNG[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000))) + PNG[33:],
}


@pytest.mark.promise("uploads")
@pytest.mark.parametrize("which", BOMBS)
async def test_decompression_bombs_are_refused(identity: Harness, ada: Account, which: str):
    assert len(BOMBS[which]) < 1_000_000
    answer = await upload(ada, BOMBS[which])
    assert (answer.status_code, answer.json()["code"]) == (422, "picture_refused"), answer.text
    assert await stored(identity) == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_truncated_and_mangled_pictures_are_refused(identity: Harness, ada: Account, kind: str):
    whole = picture(kind, (600, 600))
    mangled = whole[:60] + bytes(byte ^ 0x5A for byte in whole[60:])
    for data in (whole[: len(whole) // 2], whole[:16], mangled):
        answer = await upload(ada, data, f"me.{kind}")
        assert (answer.status_code, answer.json()["code"]) == (422, "picture_refused"), answer.text
    assert await stored(identity) == []


@pytest.mark.promise("uploads")
async def test_six_megabytes_are_refused_before_they_have_all_arrived(identity: Harness, ada: Account):
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="avatar"; filename="me.png"\r\n\r\n' + PNG
        for _ in range(600):
            sent += 1
            yield bytes(100_000)
        yield b"\r\n--x--\r\n"

    answer = await ada.client.post(
        PATH, content=body(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert sent < 70
    assert (await upload(ada, PNG + bytes(5 * 1024 * 1024))).status_code == 413
    assert (await upload(ada, PNG + bytes(4 * 1024 * 1024))).status_code == 200


@pytest.mark.promise("uploads")
@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/cron.d/me.png",
        "..%2f..%2fme.png",
        "C:\\me.png",
        "a\r\nX-Evil: 1\r\n\r\nme.png",
        "\u202egnp.me",
        "x" * 5000 + ".png",
        "me\0.png",
    ],
)
async def test_the_name_of_a_file_is_never_used(identity: Harness, ada: Account, name: str):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="avatar"; filename="'
        + name.replace('"', "").encode().replace(b"\r\n", b"%0D%0A")
        + b'"\r\n\r\n' + PNG + b"\r\n--x--\r\n"
    )  # fmt: skip
    answer = await ada.client.post(
        PATH, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    if answer.status_code != 200:
        assert answer.status_code in (400, 422), answer.text
        return
    uuid = answer.json()["avatar"].rpartition("/")[2]
    assert len(uuid) == 36 + len(".webp")
    got = await seen(identity, answer.json()["avatar"])
    assert "x-evil" not in got.headers


async def test_raw_line_breaks_in_the_name_become_no_header(identity: Harness, ada: Account):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="avatar"; filename="me\r\nX-Evil: 1\r\n.png"\r\n\r\n'
        + PNG + b"\r\n--x--\r\n"
    )  # fmt: skip
    answer = await ada.client.post(
        PATH, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code in (200, 400, 422)
    assert "x-evil" not in answer.headers


@pytest.mark.promise("uploads")
async def test_media_paths_do_not_leave_the_store(identity: Harness):
    for path in (
        "public/../../../etc/passwd",
        "public/%2e%2e/%2e%2e/etc/passwd",
        "public/..%2f..%2fetc/passwd",
    ):
        assert (await identity.client().get(f"/media/identity/{path}")).status_code == 404


@pytest.mark.promise("uploads")
async def test_what_is_hidden_in_a_picture_is_gone(identity: Harness, ada: Account):
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", "<?php system('id'); ?>")
    for kind, data in (
        ("png", picture(pnginfo=comment)),
        ("jpg", picture("JPEG", comment=b"<?php system('id'); ?>")),
        ("jpg", picture("JPEG") + b"PK\x03\x04<?php system('id'); ?>"),
    ):
        assert b"<?php" in data
        url = (await upload(ada, data, f"me.{kind}")).json()["avatar"]
        assert b"<?php" not in (await seen(identity, url)).content


def test_a_photo_stands_upright_and_says_no_more_where_it_was_taken():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "Cam"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)  # GPS latitude
    for kind in ("JPEG", "PNG", "WEBP"):
        photo = picture(kind, (400, 200), exif=exif, xmp=b"<x:xmpmeta>52 31 12</x:xmpmeta>")
        with Image.open(BytesIO(photo)) as before:
            assert before.getexif().get_ifd(0x8825)
            corner = brightness(before, 399, 5)
        made = make_avatar(photo)
        with Image.open(BytesIO(made)) as image:
            assert image.size == (200, 400)
            assert dict(image.getexif()) == {}
            assert not {"exif", "xmp", "icc_profile"} & set(image.info)
            assert abs(brightness(image, 194, 399) - corner) < 12
        assert b"EXIF" not in made
        assert b"XMP" not in made


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_exif_does_not_cost_the_picture():
    photo = picture("JPEG", (400, 200), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with Image.open(BytesIO(make_avatar(photo))) as image:
        assert image.size == (400, 200)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_an_animation_stands_still(kind: str):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue")]
    out = BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=100)
    with Image.open(BytesIO(make_avatar(out.getvalue()))) as image:
        assert getattr(image, "n_frames", 1) == 1
        assert image.convert("RGB").crop((5, 5, 6, 6)).tobytes()[0] > 200


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded():
    with pytest.raises(PictureRefused, match="40 million"):
        make_avatar(BOMBS["large"])


async def test_an_erased_file_is_not_found(identity: Harness, ada: Account):
    url = (await upload(ada, picture())).json()["avatar"]
    await ada.client.delete(PATH)
    await identity.run_tasks()
    with pytest.raises(NotFound):
        await identity.app.state.storage.size(file_of(url))
