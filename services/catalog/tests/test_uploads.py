"""Files that come in parts: offsets, races, quota, expiry, and what a server that dies leaves."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from sqlalchemy import text
from starlette.requests import ClientDisconnect

from libs.common.files.storage import Storage
from libs.common.runtime.clock import SettableClock
from libs.common.runtime.errors import BadRequest
from libs.common.security.tokens import Principal
from libs.common.testing.harness import Harness, Person
from libs.common.testing.privacy import erase
from services.catalog.errors import ObjectExpired
from services.catalog.media import service, uploads
from services.catalog.media.hashes import RunningHashes
from services.catalog.media.upload_routes import whole_chunks
from services.catalog.models import MediaObject
from services.catalog.objects import claim_object
from services.catalog.tests.conftest import PDF, School, ok, refused, swept

UPLOADS = "/api/core/media/uploads/"


async def begin(person: Person, data: bytes = PDF, name: str = "notes.pdf", **fields) -> str:
    body = {"name": name, "length": len(data), **fields}
    return f"{UPLOADS}{ok(await person.client.post(UPLOADS, json=body), 201)['uuid']}/"


async def send(person: Person, path: str, offset: int, part: bytes) -> httpx.Response:
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return await person.client.patch(path, content=part, headers=headers)


async def whole(person: Person, data: bytes = PDF, name: str = "notes.pdf") -> dict:
    path = await begin(person, data, name)
    ok(await send(person, path, 0, data))
    return ok(await person.client.post(f"{path}finish/"), 201)


@dataclass
class Objects:
    """What has come into storage since the test began; others leave theirs there."""

    storage: Storage
    before: frozenset[str] = frozenset()

    async def now(self) -> set[str]:
        return set(await self.storage.list_folder("")) - self.before


@pytest.fixture
async def objects(catalog: Harness) -> Objects:
    storage = Storage(catalog.settings)
    return Objects(storage, frozenset(await storage.list_folder("")))


async def test_parts_become_a_file_once(catalog: Harness, teacher: Person, manager: Person, student: Person):
    path = await begin(teacher, title="Notes")
    first = await send(teacher, path, 0, PDF[:20])
    assert (ok(first)["offset"], first.headers["upload-offset"]) == (20, "20")
    told = await teacher.client.head(path)
    assert (told.status_code, told.headers["upload-offset"]) == (200, "20")
    assert told.headers["upload-length"] == str(len(PDF))
    refused(await teacher.client.post(f"{path}finish/"), 409, "upload_incomplete")
    ok(await send(teacher, path, 20, PDF[20:]))
    made = ok(await teacher.client.post(f"{path}finish/"), 201)
    assert (made["title"], made["kind"], made["size"]) == ("Notes", "document", len(PDF))
    assert ok(await teacher.client.post(f"{path}finish/"))["uuid"] == made["uuid"]
    refused(await send(teacher, path, len(PDF), b"more"), 409, "upload_finished")
    url = ok(await teacher.client.get(f"/api/core/media/{made['uuid']}/download/?redirect=false"))["url"]
    assert (await catalog.client().get(url[url.index("/media/") :])).content == PDF
    for other, status in ((manager, 404), (student, 403)):
        refused(await other.client.get(path), status)


async def file_of(catalog: Harness, person: Person, media: str, **headers: str) -> httpx.Response:
    url = ok(await person.client.get(f"/api/core/media/{media}/download/?redirect=false"))["url"]
    return await catalog.client(**headers).get(url[url.index("/media/") :])


async def test_parts_are_stored_once_and_read_as_one(catalog: Harness, teacher: Person, objects: Objects):
    data = PDF + bytes(range(256)) * 3000
    path = await begin(teacher, data)
    for start, end in ((0, 20), (20, 300_000), (300_000, len(data))):
        ok(await send(teacher, path, start, data[start:end]))
    parts = await objects.now()
    made = ok(await teacher.client.post(f"{path}finish/"), 201)
    assert (made["size"], made["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert parts < await objects.now()
    assert len(parts) == 3
    assert len(await objects.now()) == 4  # what says of which parts it is
    clock = SettableClock(datetime.now(UTC))
    await swept(catalog, "media", clock)
    assert (await file_of(catalog, teacher, made["uuid"])).content == data
    some = await file_of(catalog, teacher, made["uuid"], Range="bytes=10-300010")
    assert (some.status_code, some.content) == (206, data[10:300_011])
    ok(await teacher.client.delete(f"/api/core/media/{made['uuid']}/"))
    await swept(catalog, "media", clock)
    assert await objects.now() == set()


async def test_what_has_come_is_not_read_back_for_its_hash(
    catalog: Harness, teacher: Person, objects: Objects
):
    async def sent() -> str:
        path = await begin(teacher)
        for start, end in ((0, 20), (20, len(PDF))):
            ok(await send(teacher, path, start, PDF[start:end]))
        return path

    path = await sent()
    for stored in await objects.now():  # nobody would notice, because nobody looks
        if await objects.storage.size(stored) == len(PDF) - 20:
            await objects.storage.put_bytes(stored, b"x" * (len(PDF) - 20))
    made = ok(await teacher.client.post(f"{path}finish/"), 201)
    assert made["sha256"] == hashlib.sha256(PDF).hexdigest()
    path = await sent()
    catalog.app.state.hashes = RunningHashes()  # the parts came to another process
    made = ok(await teacher.client.post(f"{path}finish/"), 201)
    assert made["sha256"] == hashlib.sha256(PDF).hexdigest()


async def test_a_finish_that_was_refused_leaves_the_parts(catalog: Harness, teacher: Person, monkeypatch):
    path = await begin(teacher)
    for start, end in ((0, 20), (20, len(PDF))):
        ok(await send(teacher, path, start, PDF[start:end]))
    with monkeypatch.context() as patch:
        patch.setattr(catalog.settings, "media_quota", 1)
        refused(await teacher.client.post(f"{path}finish/"), 409, "media_quota_exceeded")
    clock = SettableClock(datetime.now(UTC))
    await swept(catalog, "media", clock)
    made = ok(await teacher.client.post(f"{path}finish/"), 201)
    assert (await file_of(catalog, teacher, made["uuid"])).content == PDF


async def test_a_wrong_offset_is_refused_with_the_right_one(teacher: Person):
    path = await begin(teacher)
    ok(await send(teacher, path, 0, PDF[:10]))
    for wrong in (0, 5, 11):
        answer = await send(teacher, path, wrong, b"x")
        refused(answer, 409, "upload_offset_mismatch")
        assert answer.headers["upload-offset"] == "10"
    refused(await send(teacher, path, 10, PDF), 413)
    assert ok(await teacher.client.get(path))["offset"] == 10
    refused(await teacher.client.patch(path, content=b"x"), 422)


async def test_of_parts_at_one_offset_one_is_kept(teacher: Person):
    path = await begin(teacher)
    answers = await asyncio.gather(*(send(teacher, path, 0, PDF[:10]) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert ok(await teacher.client.get(path))["offset"] == 10


async def test_of_finishes_at_once_one_makes_the_file(teacher: Person):
    path = await begin(teacher)
    ok(await send(teacher, path, 0, PDF))
    answers = await asyncio.gather(*(teacher.client.post(f"{path}finish/") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert len({answer.json()["uuid"] for answer in answers}) == 1
    assert ok(await teacher.client.get("/api/core/media/"))["count"] == 1


async def test_a_part_that_breaks_off_leaves_the_offset(catalog: Harness, teacher: Person):
    path = await begin(teacher)
    ok(await send(teacher, path, 0, PDF[:10]))

    async def broken():
        yield PDF[10:15]
        raise ClientDisconnect

    who = Principal(teacher.uuid, uuid4(), "teacher", 1, 0, None)
    part = UUID(path.split("/")[-2]), 10, whole_chunks(broken())
    with pytest.raises(BadRequest):
        await uploads.append_part(
            catalog.db, Storage(catalog.settings), RunningHashes(), who, *part, datetime.now(UTC)
        )
    assert ok(await teacher.client.get(path))["offset"] == 10
    ok(await send(teacher, path, 10, PDF[10:]))
    ok(await teacher.client.post(f"{path}finish/"), 201)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"name": "page.html"}, 422, "file_type_refused"),
        ({"length": 0}, 422, "invalid_input"),
        ({"length": 10**12}, 413, "payload_too_large"),
        ({"offset": 5}, 422, "invalid_input"),
    ],
)
async def test_what_can_never_become_a_file_is_not_begun(
    teacher: Person, change: dict, status: int, code: str
):
    body = {"name": "notes.pdf", "length": 10} | change
    refused(await teacher.client.post(UPLOADS, json=body), status, code)


async def test_the_content_must_be_what_the_name_says(teacher: Person):
    path = await begin(teacher, b"MZ not a pdf")
    ok(await send(teacher, path, 0, b"MZ not a pdf"))
    refused(await teacher.client.post(f"{path}finish/"), 422, "file_type_refused")


async def test_what_is_to_come_counts_against_the_quota(catalog: Harness, teacher: Person, monkeypatch):
    monkeypatch.setattr(catalog.settings, "media_quota", 2 * len(PDF))
    first, _ = await begin(teacher), await begin(teacher)
    body = {"name": "notes.pdf", "length": 1}
    refused(await teacher.client.post(UPLOADS, json=body), 409, "media_quota_exceeded")
    ok(await send(teacher, first, 0, PDF))
    ok(await teacher.client.post(f"{first}finish/"), 201)
    refused(await teacher.client.post(UPLOADS, json=body), 409, "media_quota_exceeded")
    ok(await teacher.client.delete(_))
    ok(await teacher.client.post(UPLOADS, json=body), 201)
    monkeypatch.setattr(uploads, "MOST_OPEN", 1)
    refused(await teacher.client.post(UPLOADS, json=body), 409, "too_many_uploads")


async def test_an_upload_that_nobody_goes_on_with_is_swept_away(
    catalog: Harness, teacher: Person, objects: Objects
):
    path, done = await begin(teacher), await whole(teacher)
    ok(await send(teacher, path, 0, PDF[:10]))
    clock = SettableClock(datetime.now(UTC))
    await swept(catalog, "media", clock)
    assert ok(await teacher.client.get(path))["offset"] == 10
    assert len(await objects.now()) == 2  # the part that waits, and the file
    clock.advance(hours=23)
    await swept(catalog, "media", clock)
    refused(await teacher.client.get(path), 404)
    assert len(await objects.now()) == 1
    ok(await teacher.client.get(f"/api/core/media/{done['uuid']}/"))


async def test_what_a_killed_sweep_has_condemned_is_refused_and_deleted_later(
    catalog: Harness, teacher: Person, objects: Objects, monkeypatch
):
    made = await whole(teacher)
    ok(await teacher.client.delete(f"/api/core/media/{made['uuid']}/"))
    clock = SettableClock(datetime.now(UTC))
    await catalog.run_task("catalog.sweep_media", clock=clock)
    clock.advance(hours=2)

    async def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            await service.delete_unused_media(catalog.db, Storage(catalog.settings), clock())
    async with catalog.db.session() as session:
        condemned = await session.scalars(
            text("SELECT path FROM media_objects WHERE condemned_at IS NOT NULL ORDER BY path")
        )
        paths = condemned.all()
        assert len(paths) == 1
        for path in paths:
            with pytest.raises(ObjectExpired):
                await claim_object(session, MediaObject, path)
    await catalog.run_task("catalog.sweep_media", clock=clock)
    assert await objects.now() == set()


async def test_pictures_have_variants_without_what_the_camera_wrote(
    catalog: Harness, teacher: Person, objects: Objects
):
    out, exif = BytesIO(), Image.Exif()
    exif[0x010E] = "canary-in-exif"
    Image.new("RGB", (1600, 900), "teal").save(out, "JPEG", exif=exif)
    made = await whole(teacher, out.getvalue(), "photo.jpg")
    assert set(made["variants"]) == {"320", "640", "1280"}
    for width, url in made["variants"].items():
        data = (await catalog.client().get(url[url.index("/media/") :])).content
        with Image.open(BytesIO(data)) as image:
            assert (image.format, image.width) == ("WEBP", int(width))
        assert b"canary" not in data
    assert (await whole(teacher))["variants"] is None
    ok(await teacher.client.delete(f"/api/core/media/{made['uuid']}/"))
    await swept(catalog, "media")
    assert len(await objects.now()) == 1


async def test_an_erased_teachers_uploads_go(
    catalog: Harness, school: School, teacher: Person, objects: Objects
):
    path, finished = await begin(teacher), await begin(teacher)
    ok(await send(teacher, path, 0, PDF[:10]))
    for start, end in ((0, 20), (20, len(PDF))):
        ok(await send(teacher, finished, start, PDF[start:end]))
    ok(await teacher.client.post(f"{finished}finish/"), 201)
    await erase(catalog, teacher.uuid)
    await catalog.run_tasks()
    refused(await teacher.client.get(path), 404)
    assert await objects.now() == set()
