"""Files in a multipart form: streamed, checked, refused."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from libs.common.files.forms import received_file, received_picture
from libs.common.runtime.errors import Unprocessable
from libs.common.web.problems import install_error_handlers

app = FastAPI()
install_error_handlers(app)
SEEN: dict[str, Any] = {}


class NoFile(Unprocessable):
    code = "no_file"


@app.post("/file")
async def take_file(request: Request) -> dict[str, Any]:
    async with received_file(request, "file", "other", most_bytes=1_000_000, missing=NoFile) as file:
        head = await file.head(4)
        SEEN["sent at the head"] = SEEN.get("sent", 0)
        if head == b"BAD!":
            raise Unprocessable("Refused for its first bytes.")
        data = b"".join([chunk async for chunk in file.chunks()])
        texts = await file.texts()
    return {"name": file.name, "head": head.decode(), "size": len(data), "end": data[-4:].decode(), **texts}


@app.post("/picture")
async def take_picture(request: Request) -> dict[str, Any]:
    name, data = await received_picture(request, "image", most_bytes=10, missing=NoFile)
    return {"name": name, "data": data.decode()}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    SEEN.clear()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    of_file = f'; filename="{filename}"' if filename is not None else ""
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n\r\n'
    return head.encode() + value + b"\r\n"


async def post(
    client: httpx.AsyncClient, *parts: bytes, path: str = "/file", end: bytes = b"--x--\r\n"
) -> httpx.Response:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return await client.post(path, content=b"".join(parts) + end, headers=headers)


async def test_a_file_and_the_texts_around_it_are_read(client: httpx.AsyncClient):
    data = b"head" + b"-" * 300_000 + b"tail"
    answer = await post(
        client, part("title", "Gr\u00fcn".encode()), part("file", data, "a.txt"), part("kind", b"k")
    )
    assert answer.json() == {
        "name": "a.txt", "head": "head", "size": len(data), "end": "tail", "title": "Gr\u00fcn", "kind": "k",
    }  # fmt: skip
    answer = await post(client, part("other", b"ab", "b.txt"))
    assert answer.json() == {"name": "b.txt", "head": "ab", "size": 2, "end": "ab"}


async def test_a_file_is_read_while_it_arrives(client: httpx.AsyncClient):
    async def body() -> AsyncIterator[bytes]:
        for chunk in (part("file", b"head", "a.txt")[:-2], *[b"-" * 1000] * 50, b"\r\n--x--\r\n"):
            SEEN["sent"] = SEEN.get("sent", 0) + 1
            yield chunk

    answer = await client.post(
        "/file", content=body(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.json()["size"] == 50_004
    assert SEEN["sent at the head"] < 5


async def test_a_file_that_is_refused_is_taken_in_before_the_answer(client: httpx.AsyncClient):
    async def body() -> AsyncIterator[bytes]:
        for chunk in (part("file", b"BAD!", "a.txt")[:-2], *[b"-" * 1000] * 50, b"\r\n--x--\r\n"):
            SEEN["sent"] = SEEN.get("sent", 0) + 1
            yield chunk

    answer = await client.post(
        "/file", content=body(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 422
    assert SEEN["sent"] == 52


@pytest.mark.parametrize(
    ("parts", "end", "status", "code"),
    [
        ((), b"--x--\r\n", 422, "no_file"),
        ((part("file", b"only text"),), b"--x--\r\n", 422, "no_file"),
        ((part("elsewhere", b"data", "a.txt"),), b"--x--\r\n", 422, "no_file"),
        ((part("file", b"cut off", "a.txt"),), b"", 400, "bad_request"),
        ((b"nonsense",), b"", 400, "bad_request"),
        ((part("file", b"1", "a"), part("other", b"2", "b")), b"--x--\r\n", 400, "bad_request"),
        (tuple(part(f"t{n}", b"") for n in range(11)), b"--x--\r\n", 400, "bad_request"),
        ((part("t", b"x" * 1_100_000),), b"--x--\r\n", 413, "payload_too_large"),
        ((part("file", b"1", "a"), part("t", b"\0")), b"--x--\r\n", 422, "invalid_input"),
        ((b"--x\r\nContent-Type: text/plain\r\n\r\n1\r\n",), b"--x--\r\n", 400, "bad_request"),
    ],
)
async def test_what_is_no_form_with_one_file_is_refused(
    client: httpx.AsyncClient, parts: tuple[bytes, ...], end: bytes, status: int, code: str
):
    answer = await post(client, *parts, end=end)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_another_kind_of_body_has_no_file(client: httpx.AsyncClient):
    for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x"):
        answer = await client.post("/file", content=b"{}", headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (422, "no_file")
    answer = await client.post("/file", content=b"{}", headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 400


async def test_a_picture_is_read_whole_up_to_its_limit(client: httpx.AsyncClient):
    answer = await post(client, part("image", b"0123456789", "a.png"), path="/picture")
    assert answer.json() == {"name": "a.png", "data": "0123456789"}
    answer = await post(client, part("image", b"0123456789x", "a.png"), path="/picture")
    assert answer.status_code == 413
