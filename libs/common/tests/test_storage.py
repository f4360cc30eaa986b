"""Files: streamed with a cap, read through signed URLs, by range, never as something that executes."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from libs.common.errors import NotFound, PayloadTooLarge, install_error_handlers
from libs.common.storage import Storage, media_router
from libs.common.tests.toy import Settings


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


S3 = os.environ.get("LECTERN_TEST_S3_URL", "")


@pytest.fixture(params=["local", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """A local directory; also `LECTERN_TEST_S3_URL` (s3://BUCKET) where the environment gives one.

    The endpoint and its keys are named as for every client: `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` …
    """
    url = f"file:{tmp_path}"
    if request.param == "s3":
        if not S3:
            pytest.skip("LECTERN_TEST_S3_URL names no bucket")
        url = f"{S3.rstrip('/')}/{uuid4()}"
    storage = Storage(Settings(storage_url=url, cors_origins=["https://front.example"]))
    yield storage
    for path in await storage.list_folder(""):
        await storage.delete(path)


@pytest.fixture
async def client(storage: Storage) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.storage = storage
    app.state.settings = Settings(cors_origins=["https://front.example"])
    install_error_handlers(app)
    app.include_router(media_router("toy"))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
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


async def test_a_signed_url_gives_the_file_and_ranges_of_it(storage: Storage, client: httpx.AsyncClient):
    await storage.put_bytes("notes", bytes(range(100)))
    url = storage.url("notes", "application/pdf", 'Ünïcode "notes".pdf')
    whole = await client.get(url)
    assert whole.content == bytes(range(100))
    assert whole.headers["content-disposition"].startswith("inline; filename*=UTF-8''%C3%9Cn%C3%AFcode")
    assert "frame-ancestors 'self' https://front.example" in whole.headers["content-security-policy"]
    for wanted, status, content in (
        ("bytes=10-19", 206, bytes(range(10, 20))), ("bytes=90-", 206, bytes(range(90, 100))),
        ("bytes=-5", 206, bytes(range(95, 100))), ("bytes=0-999", 206, bytes(range(100))),
        ("bytes=100-", 416, b""), ("bytes=0-1,5-6", 200, bytes(range(100))),
    ):  # fmt: skip
        part = await client.get(url, headers={"Range": wanted})
        assert (part.status_code, part.content) == (status, content), wanted
    assert (await client.get(url, headers={"Range": "bytes=x-y"})).status_code == 400
    assert (await client.head(url)).headers["content-length"] == "100"


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


async def test_what_could_execute_is_a_download_in_a_sandbox(storage: Storage, client: httpx.AsyncClient):
    await storage.put_bytes("page", b"<script>alert(1)</script>")
    answer = await client.get(storage.url("page", "text/html", "a\r\nX-Evil: 1.html"))
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-evil" not in answer.headers
