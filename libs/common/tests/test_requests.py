"""A request from end to end: the commit comes before the answer, errors are problem+json, ids go through."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.inbox import apply_batch
from libs.common.events.base import Event
from libs.common.testing.harness import Harness, Person, access_token, as_record
from libs.common.tests.toy import Counted


async def rows(harness: Harness, table: str) -> int:
    async with harness.db.sessions() as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def test_a_failing_commit_is_a_5xx_and_writes_nothing(toy_service: Harness):
    answer = await toy_service.client().post("/api/counters/broken-commit/")
    assert answer.status_code == 503
    assert answer.json()["code"] == "service_unavailable"
    assert answer.headers["retry-after"]
    assert await rows(toy_service, "counters") == 0


async def test_connections_that_the_server_closed_cost_no_request(toy_service: Harness):
    student = toy_service.person()
    answers = await asyncio.gather(*(student.client.get("/api/counters/") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    async with toy_service.db.sessions() as session:
        await session.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE usename = current_user AND pid <> pg_backend_pid()"
            )
        )
    answers = await asyncio.gather(
        *(student.client.post("/api/counters/", json={"value": n}) for n in range(10))
    )
    assert {answer.status_code for answer in answers} == {201}


async def test_a_write_and_its_event_are_one_transaction(toy_service: Harness):
    student = toy_service.person()
    answer = await student.client.post("/api/counters/", json={"value": 7})
    assert answer.status_code == 201
    uuid = answer.json()["uuid"]
    assert await toy_service.published() == [("toy.counted.v1", uuid, 1)]
    assert answer.headers["consistency-token"].startswith(f"toy.events:{uuid}:1:")
    assert [name for name, _, _ in toy_service.queue.started] == ["toy.note_counter"]


async def test_a_refused_request_starts_no_task_and_publishes_nothing(toy_service: Harness):
    student = toy_service.person()
    answer = await student.client.post("/api/counters/", json={"value": -1})
    assert answer.status_code == 422
    assert await toy_service.published() == []
    assert toy_service.queue.started == []


@pytest.mark.parametrize(
    ("body", "kind", "status", "code", "field"),
    [
        (b'{"value": 1, "extra": 2}', "application/json", 422, "invalid_input", "extra"),
        (b'{"value": "many"}', "application/json", 422, "invalid_input", "value"),
        (b'{"value": 1', "application/json", 400, "malformed_json", None),
        (b"[]", "application/json", 422, "invalid_input", "body"),
        (b'{"value": NaN}', "application/json", 422, "invalid_input", "value"),
        (b"\xff\xfe", "application/json", 400, "malformed_json", None),
        (b'{"value": "\xff"}', "application/json", 400, "malformed_body", None),
        (b'{"name": "a\\ud800"}', "application/json", 422, "invalid_input", "name"),
        (b'{"value": ' + b"9" * 5000 + b"}", "application/json", 422, "invalid_input", "value"),
        (b"[" * 100_000, "application/json", 400, "malformed_json", None),
        (b'{"name": "a"}', "application/json", 422, "invalid_input", "name"),
        (b"x" * 1_100_000, "application/json", 413, "payload_too_large", None),
    ],
)
async def test_bad_input_is_told_clearly(
    toy_service: Harness, body: bytes, kind: str, status: int, code: str, field: str | None
):
    student = toy_service.person()
    answer = await student.client.post("/api/counters/", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["detail"].endswith(".")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert [error["field"] for error in problem["errors"]] == ([field] if field else [])
    assert await rows(toy_service, "counters") == 0


async def test_what_is_wrong_with_a_body_is_told_in_words(toy_service: Harness):
    client = toy_service.person().client
    for body, detail in (
        (b'{"value": "\xff"}', "The body is not valid UTF-8."),
        (b'{"value": ' + b"9" * 5000 + b"}", "value: must be an integer within ±9007199254740991."),
        (b'{"value": ' + b"[" * 100_000, "The JSON of the body is nested too deeply."),
        (b'{"name": "a"}', "name: string should have at least 2 characters."),
        (b'{"name": "a counter"}', "name: string should have at most 5 characters."),
    ):
        answer = await client.post(
            "/api/counters/", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.json()["detail"] == detail


@pytest.mark.parametrize(
    ("kind", "body", "detail"),
    [
        ("; boundary=x", b"nonsense", "invalid multipart data."),
        ("", b"nonsense", "missing boundary in multipart."),
        ("; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n", "must be provided."),
        (
            "; boundary=x",
            b"".join(
                b'--x\r\nContent-Disposition: form-data; name="%d"\r\n\r\n\r\n' % n for n in range(1001)
            ),
            "too many fields; maximum number of fields is 1000.",
        ),
    ],
)
async def test_a_malformed_form_is_a_400_that_says_so(
    toy_service: Harness, kind: str, body: bytes, detail: str
):
    headers = {"Content-Type": f"multipart/form-data{kind}"}
    answer = await toy_service.client().post("/api/counters/upload/", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
    assert answer.json()["detail"].startswith("The form cannot be read: ")
    assert answer.json()["detail"].endswith(detail)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("number", 422, "invalid_input"), ("nul", 422, "invalid_input"), ("twice", 409, "conflict"),
        ("gone", 503, "service_unavailable"), ("mistake", 500, "internal_error"),
    ],
)  # fmt: skip
async def test_errors_below_the_orm_are_the_same_as_above(
    toy_service: Harness, fault: str, status: int, code: str
):
    answer = await toy_service.client().post(f"/api/counters/faults/{fault}/")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert await rows(toy_service, "notes") == 0


async def test_an_unknown_filter_value_is_a_400_that_names_the_allowed(toy_service: Harness):
    answer = await toy_service.client().get("/api/counters/?parity=prime&unknown=1")
    assert answer.status_code == 400
    assert "odd, even" in answer.json()["detail"]
    assert (await toy_service.client().get("/api/counters/?unknown=1")).status_code == 200


@pytest.mark.parametrize("path", ["not-a-uuid", "00000000-0000-4000-8000-000000000000"])
async def test_a_wrong_id_is_a_404(toy_service: Harness, path: str):
    answer = await toy_service.client().get(f"/api/counters/{path}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic x", "Bearer ", ""])
async def test_a_bad_token_is_a_401(toy_service: Harness, header: str):
    client = toy_service.client(**{"Authorization": header})
    answer = await client.post("/api/counters/", json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_no_token_and_an_expired_one_are_401_and_too_low_a_role_is_403(toy_service: Harness):
    assert (await toy_service.client().post("/api/counters/", json={})).status_code == 401
    expired = access_token(toy_service.settings, uuid4(), lifetime=-120)
    assert (await toy_service.client(expired).post("/api/counters/", json={})).status_code == 401
    assert (await toy_service.person("teacher").client.get("/api/counters/managers/")).status_code == 403
    assert (await toy_service.person("manager").client.get("/api/counters/managers/")).status_code == 200


async def test_one_request_id_reaches_answer_and_outbox(toy_service: Harness):
    student = toy_service.person()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-ID": "story-1", "traceparent": parent}
    answer = await student.client.post("/api/counters/", json={}, headers=headers)
    assert answer.headers["x-request-id"] == "story-1"
    async with toy_service.db.sessions() as session:
        kept = await session.scalar(text("SELECT headers FROM outbox"))
    assert kept["x-request-id"] == "story-1"
    assert kept["traceparent"][3:35] == parent[3:35]
    assert toy_service.queue.started[0][2].request_id == "story-1"


async def test_etags_answer_304_and_a_lost_update_412(toy_service: Harness):
    student = toy_service.person()
    uuid = (await student.client.post("/api/counters/", json={"value": 1})).json()["uuid"]
    path = f"/api/counters/{uuid}/"
    tag = (await student.client.get(path)).headers["etag"]
    again = await student.client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    headers = {"If-Match": tag}
    answers = await asyncio.gather(
        *(student.client.patch(path, json={"value": n}, headers=headers) for n in (2, 3))
    )
    assert sorted(a.status_code for a in answers) == [200, 412]
    assert (await student.client.get(path)).headers["etag"] != tag


async def test_the_same_idempotency_key_gives_the_same_answer_once(toy_service: Harness):
    student = toy_service.person()
    headers = {"Idempotency-Key": "key-1"}
    first = await student.client.post("/api/counters/", json={"value": 5}, headers=headers)
    second = await student.client.post("/api/counters/", json={"value": 5}, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert first.headers["consistency-token"] == second.headers["consistency-token"]
    assert await rows(toy_service, "counters") == 1
    other = await student.client.post("/api/counters/", json={"value": 6}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    somebody = toy_service.person()
    assert (
        await somebody.client.post("/api/counters/", json={"value": 6}, headers=headers)
    ).status_code == 201


async def test_parallel_requests_with_one_key_have_one_effect(toy_service: Harness):
    student = toy_service.person()
    headers = {"Idempotency-Key": "key-2"}
    answers = await asyncio.gather(
        *(student.client.post("/api/counters/", json={"value": 5}, headers=headers) for _ in range(8))
    )
    assert {a.status_code for a in answers} <= {201, 409}
    assert len({a.content for a in answers if a.status_code == 201}) == 1
    assert await rows(toy_service, "counters") == 1


async def hold_key(session: AsyncSession, person: Person, key: str) -> None:
    """As a request that is in hand."""
    name = {"name": f"{person.uuid} {key}"}
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7))"), name)


async def test_a_repetition_waits_a_moment_for_the_end_of_a_request_that_died(toy_service: Harness):
    student = toy_service.person()
    async with toy_service.db.sessions() as session:
        await hold_key(session, student, "key-7")
        answer = asyncio.create_task(
            student.client.post("/api/counters/", json={"value": 5}, headers={"Idempotency-Key": "key-7"})
        )
        await asyncio.wait([answer], timeout=0.2)
        assert not answer.done()
    assert (await answer).status_code == 201
    assert await rows(toy_service, "counters") == 1


async def test_a_repetition_of_what_goes_on_is_told_so(toy_service: Harness):
    student = toy_service.person()
    async with toy_service.db.sessions() as session:
        await hold_key(session, student, "key-8")
        answer = await student.client.post(
            "/api/counters/", json={"value": 5}, headers={"Idempotency-Key": "key-8"}
        )
    assert (answer.status_code, answer.json()["code"]) == (409, "request_in_flight")
    assert await rows(toy_service, "counters") == 0


async def test_a_refused_request_may_be_repeated_with_its_key(toy_service: Harness):
    student = toy_service.person()
    headers = {"Idempotency-Key": "key-3"}
    assert (
        await student.client.post("/api/counters/", json={"value": -5}, headers=headers)
    ).status_code == 422
    assert (
        await student.client.post("/api/counters/", json={"value": 5}, headers=headers)
    ).status_code == 201


@pytest.mark.parametrize("size", [1_000_000, 1_100_000, 2_900_000])
async def test_an_upload_has_its_own_limit_with_a_key_too(toy_service: Harness, size: int):
    client = toy_service.person().client
    path, form = "/api/counters/upload/", {"file": ("a.bin", b"x" * size)}
    for _ in range(2):  # each time with another boundary
        answer = await client.post(path, files=form, headers={"Idempotency-Key": "key-4"})
        assert answer.json() == {"fields": ["file"]}
    part = {"Idempotency-Key": "key-5", "Content-Type": "application/offset+octet-stream"}

    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(size // 100_000):
            yield b"x" * 100_000

    for _ in range(2):
        answer = await client.put(path, content=in_pieces(), headers=part)
        assert answer.json() == {"bytes": size // 100_000 * 100_000}
    assert await rows(toy_service, "idempotency_keys") == (2 if size <= 1_000_000 else 0)


async def test_a_small_upload_is_compared_without_its_boundary(toy_service: Harness):
    client, headers = toy_service.person().client, {"Idempotency-Key": "key-4"}
    answers = [
        await client.post("/api/counters/upload/", files={"file": ("a.bin", content)}, headers=headers)
        for content in (b"one", b"one", b"two")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert answers[1].headers["idempotency-replayed"] == "true"


async def test_what_passes_the_limit_of_its_route_is_a_413_with_a_key_too(toy_service: Harness):
    client, headers = toy_service.person().client, {"Idempotency-Key": "key-6"}
    file = {"file": ("a.bin", b"x" * 3_100_000)}
    answer = await client.post("/api/counters/upload/", files=file, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    json = {"value": 1, "more": "x" * 1_100_000}
    answer = await client.post("/api/counters/", json=json, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert await rows(toy_service, "counters") == 0


async def test_a_read_waits_for_its_token(toy_service: Harness):
    uuid = uuid4()
    event: Event = Counted(counter=uuid, value=1)
    student = toy_service.person()
    headers = toy_service.sealed(student.uuid, f"toy.events:{uuid}:1")
    reading = asyncio.create_task(student.client.get("/api/counters/", headers=headers))
    await asyncio.wait([reading], timeout=0.1)
    assert not reading.done()
    await apply_batch(toy_service.db, toy_service.subscription, [as_record(event, 1)])
    answer = await asyncio.wait_for(reading, 1)
    assert answer.status_code == 200
    assert "consistency" not in answer.headers


async def test_a_token_that_never_comes_is_answered_stale_or_refused(toy_service: Harness):
    student = toy_service.person()
    headers = toy_service.sealed(student.uuid, f"toy.events:{uuid4()}:1")
    answer = await student.client.get("/api/counters/", headers=headers)
    assert (answer.status_code, answer.headers["consistency"]) == (200, "stale")
    strict = await student.client.get("/api/counters/", headers=headers | {"Consistency-Require": "strict"})
    assert (strict.status_code, strict.headers["retry-after"]) == (503, "1")
    other = toy_service.sealed(student.uuid, f"elsewhere.events:{uuid4()}:9")
    assert "consistency" not in (await student.client.get("/api/counters/", headers=other)).headers


async def test_lists_have_pages_and_cursors(toy_service: Harness):
    student = toy_service.person()
    for value in range(5):
        await student.client.post("/api/counters/", json={"value": value})
    first = (await student.client.get("/api/counters/?page_size=2&parity=odd")).json()
    assert first["count"] == 5
    assert first["results"] == [0, 1]
    assert first["previous"] is None
    assert first["next"] == "http://127.0.0.1:8000/api/counters/?page_size=2&parity=odd&page=2"
    last = (await student.client.get("/api/counters/?page=3&page_size=2")).json()
    assert (last["results"], last["next"]) == ([4], None)
    assert (await student.client.get("/api/counters/?page_size=5000")).status_code == 200
    assert (await student.client.get("/api/counters/?page=0")).status_code == 400
    url, seen = "/api/counters/?by_cursor=true&page_size=2", []
    while url:
        answer = (await student.client.get(url)).json()
        seen += answer["results"]
        url = answer["next"]
    assert seen == [4, 3, 2, 1, 0]
    assert (await student.client.get("/api/counters/?by_cursor=true&cursor=abc")).status_code == 400


async def test_a_body_that_begins_with_dashes_is_multipart(toy_service: Harness):
    body = b'--xyz\r\nContent-Disposition: form-data; name="avatar"\r\n\r\nabc\r\n--xyz--\r\n'
    for kind in ("application/json", "multipart/form-data", "text/plain"):
        answer = await toy_service.client().post(
            "/api/counters/upload/", content=body, headers={"Content-Type": kind}
        )
        assert answer.json() == {"fields": ["avatar"]}, kind


async def test_health_and_metrics_answer(toy_service: Harness):
    client = toy_service.client()
    assert (await client.get("/livez")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).status_code == 200
    assert "lectern_request_seconds" in (await client.get("/metrics")).text


async def test_ids_are_version_4(toy_service: Harness):
    answer = await toy_service.person().client.post("/api/counters/", json={})
    assert UUID(answer.json()["uuid"]).version == 4
