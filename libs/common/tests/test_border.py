"""What passes between the gateway and a service: whom it believes, HEAD, and connections that live on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn

from deploy.local.project import free_ports
from libs.common.runtime.errors import Unprocessable, sentence
from libs.common.service.serve import uvicorn_config
from libs.common.testing.harness import Harness, access_token, eventually
from libs.common.tests import odd
from libs.common.web.border import HEADER, gateway_key
from libs.common.web.consistency import PERIOD, ConsistencyTokens
from libs.common.web.problems import problem


class Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def served(harness: Harness) -> AsyncIterator[int]:
    """The port of the service behind a real uvicorn, as `serve` runs it, without its background work."""
    [port] = free_ports(1)
    config = uvicorn_config(harness.app, "127.0.0.1", port)
    config.lifespan = "off"
    server = Server(config)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    yield port
    server.should_exit = True
    await task


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str
) -> tuple[int, bytes]:
    """Status and body of one request on a connection that stays open."""
    writer.write(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert "connection: close" not in head
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(0 if line.startswith("HEAD") else length)


@pytest.mark.parametrize("path", ["/api/odd/defect/", "/api/odd/late-defect/"])
async def test_a_defect_costs_no_connection(toy_service: Harness, path: str):
    async with served(toy_service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            status, body = await exchange(reader, writer, f"GET {path}")
            assert status == (500 if path == "/api/odd/defect/" else 200)
            assert status == 200 or b'"code":"internal_error"' in body
        assert (await exchange(reader, writer, "GET /livez"))[0] == 200
        writer.close()


async def test_head_answers_every_read_with_the_same_header_and_no_body(toy_service: Harness):
    client = toy_service.person().client
    uuid = (await client.post("/api/counters/", json={"value": 1})).json()["uuid"]
    for path in (
        f"/api/counters/{uuid}/", "/api/counters/", "/api/counters/managers/", f"/api/counters/{uuid4()}/",
        "/api/counters/?page=0", "/api/odd/defect/", "/livez", "/metrics", "/openapi.json", "/nowhere/",
    ):  # fmt: skip
        full, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (full.status_code, b""), path
        own = ("x-request-id", *(["content-length"] if path == "/metrics" else []))
        assert {n: v for n, v in head.headers.items() if n not in own} == {
            n: v for n, v in full.headers.items() if n not in own
        }
        assert head.headers["content-length"]
    tag = (await client.get(f"/api/counters/{uuid}/")).headers["etag"]
    assert (await client.head(f"/api/counters/{uuid}/", headers={"If-None-Match": tag})).status_code == 304
    assert (await client.head("/api/odd/anything/")).status_code == 405


async def test_head_of_a_stream_reads_no_more_than_its_beginning(toy_service: Harness):
    odd.streamed.clear()
    answer = await toy_service.client().head("/api/odd/stream/")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "30", b"")
    assert odd.streamed == [0]
    async with served(toy_service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for line in ("HEAD /api/odd/stream/", "HEAD /livez", "GET /livez"):
            assert (await exchange(reader, writer, line))[0] == 200
        writer.close()


async def test_allow_names_every_method_of_the_path(toy_service: Harness):
    for method, path, allowed in (
        ("DELETE", "/api/odd/where/", "GET, HEAD, PUT"),
        ("PUT", f"/api/counters/{uuid4()}/", "GET, HEAD, PATCH"),
        ("OPTIONS", "/api/counters/", "GET, HEAD, POST"),
        ("HEAD", "/api/odd/anything/", "POST"),
    ):
        answer = await toy_service.client().request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.promise("gateway")
async def test_a_client_that_calls_directly_is_not_believed_where_it_is(toy_service: Harness):
    key = gateway_key(toy_service.settings.secret).decode()
    name = HEADER.decode()
    spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.example"}
    async with served(toy_service) as port, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/api/odd/where/"
        for headers in (
            spoofed, spoofed | {name: "x"}, spoofed | {name: ""}, spoofed | {name: key[:-1]},
            [*spoofed.items(), (name, key), (name, "x")], {name: key},
        ):  # fmt: skip
            answer = (await client.get(url, headers=headers)).json()
            assert answer == {"for": None, "headers": [], "peer": "127.0.0.1"}
        answer = (await client.get(url, headers=spoofed | {name: key})).json()
        assert answer["for"] == "203.0.113.9"
        assert answer["headers"] == ["x-forwarded-for", "x-forwarded-host"]


@pytest.mark.promise("revocation")
async def test_a_stored_answer_is_not_given_to_an_ended_session(toy_service: Harness):
    user, session = uuid4(), uuid4()
    token = access_token(toy_service.settings, user, session=session)
    headers = {"Idempotency-Key": "key-of-a-session"}
    client = toy_service.client(token)
    first = await client.post("/api/counters/", json={"value": 5}, headers=headers)
    assert first.status_code == 201
    toy_service.app.state.revocations._sessions[session] = float("inf")  # as the tail of Kafka does
    try:
        again = await client.post("/api/counters/", json={"value": 5}, headers=headers)
    finally:
        del toy_service.app.state.revocations._sessions[session]
    assert (again.status_code, again.json()["code"]) == (401, "not_authenticated")
    other = toy_service.client(access_token(toy_service.settings, user, version=2))
    assert (await other.post("/api/counters/", json={"value": 5}, headers=headers)).content == first.content
    expired = toy_service.client(access_token(toy_service.settings, user, lifetime=-120))
    assert (await expired.post("/api/counters/", json={"value": 5}, headers=headers)).status_code == 401


async def test_a_stored_answer_is_not_given_to_another_role(toy_service: Harness):
    user, headers = uuid4(), {"Idempotency-Key": "key-of-a-role"}
    teacher = toy_service.client(access_token(toy_service.settings, user, "teacher"))
    assert (await teacher.post("/api/counters/", json={"value": 5}, headers=headers)).status_code == 201
    student = toy_service.client(access_token(toy_service.settings, user, "student"))
    answer = await student.post("/api/counters/", json={"value": 5}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.promise("caches")
async def test_a_consistency_token_that_is_not_ones_own_tells_nothing(toy_service: Harness):
    student, other = toy_service.person(), toy_service.person()
    place = f"toy.events:{uuid4()}:1"
    mine = toy_service.sealed(student.uuid, place)["Consistency-Token"]
    old = ConsistencyTokens(toy_service.settings.secret, lambda: _ago(3 * PERIOD)).seal(student.uuid, place)
    forged = [
        "x", place, f"{place}:{'A' * 16}", mine[:-1] + ("A" if mine[-1] != "A" else "B"), old,
        mine.replace(":1:", ":2:"), ",".join([f"{place}:{'A' * 16}"] * 500), "é", ":::",
    ]  # fmt: skip
    asked = [(student, token) for token in forged] + [(other, mine)]
    for person, token in asked:
        headers = [(b"Consistency-Token", token.encode()), (b"Consistency-Require", b"strict")]
        async with asyncio.timeout(1):
            answer = await person.client.get("/api/counters/", headers=headers)
        assert answer.status_code == 200, token
        assert "consistency" not in answer.headers
    async with asyncio.timeout(1):
        answer = await toy_service.client().get("/api/counters/", headers={"Consistency-Token": mine})
    assert (answer.status_code, "consistency" in answer.headers) == (200, False)


def _ago(seconds: int) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def test_a_token_is_on_no_answer_to_a_call_without_a_person(toy_service: Harness):
    client = toy_service.client(**{"Authorization": "Bearer nonsense"})
    answer = await client.post("/api/odd/anything/", json={})
    assert (answer.status_code, "consistency-token" in answer.headers) == (200, False)


@pytest.mark.parametrize(
    "path", ["/api/counters/managers/%0A", "/api/counters/managers/%00", "//api/counters/managers/",
             "/api/counters//managers/", "/api/counters/managers;x/", "/api/%2e%2e/api/counters/managers/"],
)  # fmt: skip
async def test_a_path_has_one_spelling(toy_service: Harness, path: str):
    async with served(toy_service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await exchange(reader, writer, f"GET {path}"))[0] == 404
        assert (await exchange(reader, writer, "GET /api/counters/m%61nagers/"))[0] == 401
        writer.close()


@pytest.mark.parametrize(
    ("said", "told"),
    [("a", "a."), ("a.", "a."), ("a..", "a."), ("a?.", "a?"), ("a!", "a!"), ("a? ", "a?"), ("a….", "a…")],
)
def test_a_detail_ends_in_one_mark(said: str, told: str):
    assert sentence(said) == told
    assert Unprocessable(said).detail == told
    assert Unprocessable.field("f", said).detail == f"f: {told}"
    assert f'"detail":"{told}"'.encode() in problem(422, "x", said).body
