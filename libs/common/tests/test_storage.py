"""Files: streamed with a cap, read through signed URLs, by range, never as something that executes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from libs.common.files.media import media_router
from libs.common.files.storage import Storage, end_of
from libs.common.runtime.clock import moved_to
from libs.common.runtime.errors import NotFound, PayloadTooLarge, is_transient
from libs.common.security.revocation import Revocation, RevocationList
from libs.common.security.tokens import Principal
from libs.common.tests.toy import Settings
from libs.common.web.problems import install_error_handlers


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture(params=["local", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """A local directory, and a bucket."""
    url = f"file:{tmp_path}"
    if request.param == "s3":
        url = f"{request.getfixturevalue('s3')}/{uuid4()}"
    storage = Storage(Settings(storage_url=url, cors_origins=["https://front.example"]))
    yield storage
    for path in await storage.list_folder(""):
        await storage.delete(path)


async def may_read(session: AsyncSession, who: Principal | None, of: str, path: str) -> bool:
    if of == "thing:hidden":
        raise NotFound
    return of == "thing:1" and path == "notes"


def app_of(storage: Storage) -> FastAPI:
    app = FastAPI()
    app.state.storage = storage
    app.state.settings = settings = Settings(cors_origins=["https://front.example"])
    app.state.revocations = RevocationList(settings)
    app.state.db = SimpleNamespace(sessions=async_sessionmaker())
    install_error_handlers(app)
    app.include_router(media_router("toy", may_read))
    return app


def client_on(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


def client_of(storage: Storage) -> httpx.AsyncClient:
    return client_on(app_of(storage))


@pytest.fixture
async def client(storage: Storage) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(storage) as http:
        yield http


async def test_a_stream_is_stored_with_its_size_and_digest(storage: Storage):
    stored = await storage.put("a/b", chunks(b"abc", b"def"), 6)
    assert stored.size == 6
    assert stored.sha256.startswith("bef57ec7f53a6d40")
    assert await storage.read_all("a/b") == b"abcdef"
    await storage.delete("a/b")
    await storage.delete("a/b")
    with pytest.raises(NotFound):
        await storage.size("a/b")


async def test_a_stream_over_the_cap_leaves_nothing_behind(storage: Storage):
    with pytest.raises(PayloadTooLarge):
        await storage.put("too-big", chunks(b"x" * 100, b"x" * 100), 150)
    with pytest.raises(NotFound):
        await storage.size("too-big")


@pytest.mark.parametrize(("start", "end"), [(0, 10), (0, 4), (3, 8), (4, 6), (9, 10), (5, 5)])
async def test_objects_are_joined_where_they_lie(storage: Storage, start: int, end: int):
    for name, part in (("a", b"0123"), ("b", b"45"), ("c", b"6789")):
        await storage.put_bytes(name, part)
    await storage.join("whole.parts", [("a", 4), ("b", 2), ("c", 4)])
    assert await storage.size("whole.parts") == 10
    read = [chunk async for chunk in storage.read("whole.parts", start, end)]
    assert b"".join(read) == b"0123456789"[start:end]
    assert await storage.read_all("whole.parts") == b"0123456789"
    await storage.delete("whole.parts")
    assert set(await storage.list_folder("")) == {"a", "b", "c"}
    with pytest.raises(NotFound):
        await storage.size("whole.parts")
    with pytest.raises(ValueError, match=r"\.parts"):
        await storage.join("whole", [])


async def test_a_signed_url_gives_the_file_and_ranges_of_it(storage: Storage, client: httpx.AsyncClient):
    await storage.put_bytes("notes", bytes(range(100)))
    url = storage.url("notes", "application/pdf", 'Ünïcode "notes".pdf')
    whole = await client.get(url)
    assert whole.content == bytes(range(100))
    assert whole.headers["content-disposition"].startswith("inline; filename*=UTF-8''%C3%9Cn%C3%AFcode")
    assert "frame-ancestors 'self' https://front.example" in whole.headers["content-security-policy"]
    for wanted, content in (
        ("bytes=10-19", range(10, 20)), ("bytes=90-", range(90, 100)), ("bytes=-5", range(95, 100)),
        ("bytes=0-999", range(100)), ("bytes=-999", range(100)), ("Bytes=5-5", range(5, 6)),
        (" bytes=00-01 ", range(2)), ("bytes=99-999999999999999999", range(99, 100)),
    ):  # fmt: skip
        part = await client.get(url, headers={"Range": wanted})
        assert (part.status_code, part.content) == (206, bytes(content)), wanted
        span = f"bytes {content[0]}-{content[-1]}/100"
        assert (part.headers["content-range"], part.headers["content-length"]) == (span, str(len(content)))


async def test_a_file_has_a_strong_tag_and_its_time_whatever_asks_for_it(
    storage: Storage, client: httpx.AsyncClient
):
    await storage.put_bytes("notes", b"0123456789")
    await storage.put_bytes("public/face.webp", b"9876543210")
    for url in (storage.url("notes", "text/plain", "n.txt"), storage.public_url("public/face.webp")):
        whole = await client.get(url)
        tag, changed = whole.headers["etag"], whole.headers["last-modified"]
        assert tag.startswith('"')
        assert changed.endswith("GMT")
        head = await client.head(url)
        part = await client.get(url, headers={"Range": "bytes=0-1"})
        for other in (head, part):
            assert (other.headers["etag"], other.headers["last-modified"]) == (tag, changed)
        assert dict(head.headers) == dict(whole.headers)
        later = "Fri, 01 Jan 2100 00:00:00 GMT"
        for conditions, status in (
            ({"If-None-Match": tag}, 304),
            ({"If-None-Match": f'"x", W/{tag}'}, 304),
            ({"If-None-Match": "*"}, 304),
            ({"If-None-Match": '"x"'}, 200),
            ({"If-None-Match": '"x"', "If-Modified-Since": later}, 200),
            ({"If-Modified-Since": changed}, 304),
            ({"If-Modified-Since": later}, 304),
            ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
            ({"If-Modified-Since": "yesterday"}, 200),
            ({"If-Match": tag}, 200),
            ({"If-Match": "*"}, 200),
            ({"If-Match": f'"x", {tag}'}, 200),
            ({"If-Match": '"x"'}, 412),
            ({"If-Match": f"W/{tag}"}, 412),
            ({"If-Match": "nonsense"}, 412),
            ({"If-Match": '"x"', "If-None-Match": tag}, 412),
            ({"If-Match": tag, "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
            ({"If-Unmodified-Since": changed}, 200),
            ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412),
            ({"If-Unmodified-Since": "\xff"}, 200),
            ({"If-None-Match": tag, "Range": "bytes=0-1"}, 304),
            ({"If-Match": '"x"', "Range": "bytes=50-"}, 412),
        ):
            sent = {name: value.encode("latin-1") for name, value in conditions.items()}
            for method in ("GET", "HEAD"):
                answer = await client.request(method, url, headers=sent)
                wanted = 206 if status == 200 and "Range" in conditions else status
                assert answer.status_code == wanted, (method, conditions)
                if status == 304:
                    assert (answer.content, answer.headers["etag"]) == (b"", tag)


async def test_a_part_is_answered_where_if_range_names_the_version(
    storage: Storage, client: httpx.AsyncClient
):
    await storage.put_bytes("notes", b"0123456789")
    url = storage.url("notes", "text/plain", "n.txt")
    head = (await client.head(url)).headers
    tag, changed = head["etag"], head["last-modified"]
    for if_range, status in (
        (tag, 206), (changed, 206), (f"W/{tag}", 200), ('"x"', 200), ("", 200), ("*", 200),
        (f'{tag}, "x"', 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200), ("Fri, 01 Jan 2100 00:00:00 GMT", 200), ("soon", 200),
    ):  # fmt: skip
        answer = await client.get(url, headers={"Range": "bytes=2-3", "If-Range": if_range})
        assert (answer.status_code, answer.content) == (status, b"23" if status == 206 else b"0123456789"), (
            if_range
        )
        beyond = await client.get(url, headers={"Range": "bytes=99-", "If-Range": if_range})
        assert beyond.status_code == (416 if status == 206 else 200), if_range


async def test_another_object_has_another_tag(storage: Storage):
    tags = set()
    for path in ("a", "b"):
        await storage.put_bytes(path, b"same")
        tags.add((await storage.meta(path)).tag)
    assert len(tags) == 2


async def test_a_link_names_its_reader_and_dies_with_their_session(storage: Storage):
    await storage.put_bytes("notes", b"secret")
    reader = Principal(uuid4(), uuid4(), "student", 3, 0)
    app = app_of(storage)
    url = storage.seen_by(reader).url("notes", "text/plain", "a\nof.txt", "thing:1")
    assert timedelta(hours=11) < end_of(url) - datetime.now(UTC) < timedelta(hours=12)
    async with client_on(app) as client:
        assert (await client.get(url)).content == b"secret"
        other = Principal(reader.user, uuid4(), "student", 3, 0)
        anybody = storage.url("notes", "text/plain", "a\nof.txt")
        lent = storage.seen_by(other).url("notes", "text/plain", "a\nof.txt", "thing:1")
        for forged in (
            url.replace(str(reader.session), str(other.session)), url.replace(".student", ".admin"),
            url.replace("thing%3A1", "thing%3A2"), url.replace("&of=thing%3A1", ""),
            "&".join(part for part in url.split("&") if not part.startswith("reader=")),
            url.replace(".3.", ".4."), f"{url}&of=thing%3A2", f"{url}&reader=x",
            f"{anybody}&reader={reader.user}.{reader.session}.3.admin", f"{anybody}&of=thing:1",
        ):  # fmt: skip
            assert (await client.get(forged)).status_code == 404, forged
        app.state.revocations.revoke(Revocation(reader.user, session=reader.session))
        assert (await client.get(url)).status_code == 404
        assert (await client.head(url, headers={"If-None-Match": "*"})).status_code == 404
        assert (await client.get(lent)).status_code == 200
        app.state.revocations.revoke(Revocation(reader.user, version=4))
        assert (await client.get(lent)).status_code == 404
        assert (await client.get(anybody)).status_code == 200


async def test_a_link_from_before_the_process_waits_until_it_knows_which_sessions_ended(storage: Storage):
    await storage.put_bytes("notes", b"secret")
    reader = Principal(uuid4(), uuid4(), "student", 3, 0)
    app = app_of(storage)
    with moved_to(datetime.now(UTC) - timedelta(hours=2)):
        url = storage.seen_by(reader).url("notes", "text/plain", "notes.txt", "thing:1")
    async with client_on(app) as client:
        assert (await client.get(url)).status_code == 503
        app.state.revocations.complete = True
        assert (await client.get(url)).status_code == 200


async def test_a_link_whose_right_is_gone_is_404(storage: Storage):
    await storage.put_bytes("notes", b"secret")
    app = app_of(storage)
    for reader in (None, Principal(uuid4(), uuid4(), "student", 3, 0)):
        async with client_on(app) as client:
            for of in ("thing:gone", "thing:hidden"):
                url = storage.seen_by(reader).url("notes", "text/plain", "notes.txt", of)
                assert (await client.get(url)).status_code == 404
            good = storage.seen_by(reader).url("notes", "text/plain", "notes.txt", "thing:1")
            assert (await client.get(good)).status_code == 200


async def test_a_range_that_is_none_is_ignored(storage: Storage, client: httpx.AsyncClient):
    await storage.put_bytes("notes", bytes(range(100)))
    url = storage.url("notes", "application/pdf", "notes.pdf")
    for wanted in (
        "bytes=5-2", "bytes=x-y", "bytes=-", "bytes=", "bytes", "", "-5", "0-5", "pages=0-5", "bytes=1",
        "bytes=--5", "bytes=+1-2", "bytes=1_0-20", "bytes=0x1-2", "bytes=1.0-2", "bytes= 1-2 3", "bytes=²-",
        "bytes=٣-٤", "bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000, "bytes=-" + "9" * 5000,
        "bytes=0-1,5-6", "bytes=0-1,", "bytes=100-,0-1",
    ):  # fmt: skip
        whole = await client.get(url, headers={"Range": wanted.encode()})
        assert (whole.status_code, whole.content) == (200, bytes(range(100))), wanted
        assert "content-range" not in whole.headers
    whole = await client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"1"'})
    assert (whole.status_code, len(whole.content)) == (200, 100)
    head = await client.head(url, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "100", b"")


async def test_a_range_where_nothing_lies_is_a_416_that_tells_the_size(
    storage: Storage, client: httpx.AsyncClient
):
    await storage.put_bytes("notes", bytes(range(100)))
    url = storage.url("notes", "application/pdf", "notes.pdf")
    for wanted in ("bytes=100-", "bytes=999999999999999999-", "bytes=100-200", "bytes=-0"):
        answer = await client.get(url, headers={"Range": wanted})
        assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */100"), wanted
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "range_not_satisfiable"


async def test_what_is_no_path_of_ours_is_404_for_anybody(storage: Storage, client: httpx.AsyncClient):
    await storage.put_bytes("public/pictures/1280.webp", b"picture")
    await storage.put_bytes("mine", b"secret")
    assert (await client.get("/media/toy/public/pictures/1280.webp")).content == b"picture"
    for path in (
        "public/" + "a" * 300, "public/" + "a/" * 2000 + "a", "public/", "public", "", "public/pictures",
        "public/pictures/1280.webp/y", "public/pictures/1280.webp/", "public//pictures/1280.webp",
        "public/%2e/pictures/1280.webp", "public/pictures/%2e%2e/pictures/1280.webp", "public/..%2fmine",
        "public/%2e%2e/mine", "public/pictures/1280.webp%231", "public/pictures/1280.webp%3fx",
        "public%2fpictures%2f1280.webp%2f", "public/pictures\\1280.webp", "public/%01", "public/%7f",
        "public/%00", "public/%0a", "public/%C2%80", "public/%ff", "public/é", "public/*", "public/~",
        "mine", "mine%00", "%2e%2e/toy/mine",
    ):  # fmt: skip
        for query in ("", "?expires=99999999999&type=image/webp&name=x&signature=" + "0" * 64):
            answer = await client.get(f"/media/toy/{path}{query}")
            assert (answer.status_code, b"secret" in answer.content) == (404, False), path
    good = storage.url("mine", "text/plain", "a.txt")
    expires = good.partition("expires=")[2].partition("&")[0]
    for moment in ("%C2%B2", "%D9%A3" * 10, "9" * 5000, "-1", "", "1e99", "+" + expires, expires + ".0"):
        answer = await client.get(good.replace(expires, moment))
        assert answer.status_code == 404, moment


async def test_a_url_that_is_forged_expired_or_for_another_file_is_404(
    storage: Storage, client: httpx.AsyncClient
):
    await storage.put_bytes("mine", b"secret")
    await storage.put_bytes("other", b"secret")
    good = storage.url("mine", "text/plain", "a.txt")
    parts = urlsplit(good)
    for bad in (
        good.replace("/mine?", "/other?"), good.replace("text%2Fplain", "text%2Fhtml"),
        good[:-4] + "0000", f"{parts.scheme}://{parts.netloc}{parts.path}",
        storage.url("mine", "text/plain", "a.txt", seconds=-10), good.replace("/mine?", "/..%2Ftoy%2Fmine?"),
    ):  # fmt: skip
        answer = await client.get(bad)
        assert answer.status_code == 404, bad
        assert b"secret" not in answer.content


async def test_storage_that_fails_is_away_and_not_empty(tmp_path: Path):
    storage = Storage(Settings(storage_url=f"file:{tmp_path}"))
    (tmp_path / "toy" / "public").symlink_to("public")  # nothing can be opened through it
    for doing in (
        storage.size("public/x"), storage.read_all("public/x"), storage.delete("public/x"),
        storage.put_bytes("public/x", b""), storage.put("public/x", chunks(b"x"), 1),
    ):  # fmt: skip
        with pytest.raises(OSError) as failed:
            await doing
        assert is_transient(failed.value)
    async with client_of(storage) as client:
        assert (await client.get("/media/toy/public/x")).status_code == 503


async def test_deleting_a_file_takes_what_killed_uploads_have_left_of_it(tmp_path: Path):
    storage = Storage(Settings(storage_url=f"file:{tmp_path}"))
    folder = tmp_path / "toy" / "library"
    folder.mkdir()
    for name in ("file#1", "file#2", "file#7", "other#1", "file-640.webp#1"):
        (folder / name).write_bytes(b"part")
    await storage.delete("library/file")
    assert sorted(each.name for each in folder.iterdir()) == ["file-640.webp#1", "other#1"]
    await storage.put_bytes("library/file", b"whole")
    await storage.delete("library/file")
    await storage.delete("nowhere/file")
    await storage.delete("library/other#1/deeper")
    assert sorted(each.name for each in folder.iterdir()) == ["file-640.webp#1", "other#1"]


async def test_what_could_execute_is_a_download_in_a_sandbox(storage: Storage, client: httpx.AsyncClient):
    await storage.put_bytes("page", b"<script>alert(1)</script>")
    answer = await client.get(storage.url("page", "text/html", "a\r\nX-Evil: 1.html"))
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-evil" not in answer.headers
