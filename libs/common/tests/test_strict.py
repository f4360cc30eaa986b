"""One rule for text and numbers at the border, wherever they enter."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.runtime.errors import InvalidInput, InvalidQuery
from libs.common.testing.harness import Harness
from libs.common.web import strict

HUGE = "123456789012345678901234567890"
BAD = [
    (r'{"data": "a\ud800"}', "data"),
    (r'{"data": "\udc00\ud800"}', "data"),
    (r'{"data": ["x", {"y": "\uDFFF"}]}', "data.1.y"),
    (r'{"data": "\u0000"}', "data"),
    (r'{"data": {"a\u0000": 1}}', "data.a\ufffd"),
    (r'{"data": {"\ud800": 1}}', "data.\ufffd"),
    (r'{"\ud800": 1}', "\ufffd"),
    (f'{{"data": {HUGE}}}', "data"),
    (f'{{"data": {{"value": -{HUGE}}}}}', "data.value"),
    ('{"data": 9007199254740992}', "data"),
    ('{"data": [0, -9007199254740992]}', "data.1"),
    ('{"data": 18446744073709551616}', "data"),
    ('{"data": 1e400}', "data"),
    ('{"data": -1e400}', "data"),
    ('{"data": NaN}', "data"),
    ('{"data": [Infinity]}', "data.0"),
    ('{"data": -Infinity}', "data"),
    ('{"data": NaN, "data": 1}', "data"),
    (f'{{"data": {"9" * 5000}}}', "data"),
    (f'{{"data": {"9" * 5000}.5}}', "data"),
]
GOOD = [
    r'"\ud83d\ude00"', r'"\\u0000"', r'"\\ud800"', "9007199254740991", "-9007199254740991", "1e308", "1e30",
    "0.1234567890123456789", "12345678901234567.5", '"' + HUGE + '"', "5e-324", '"NaN"', "[" * 60 + "]" * 60,
]  # fmt: skip


def test_a_body_by_the_rule_is_read_as_the_standard_library_reads_it():
    for written in GOOD:
        assert strict.parse(written.encode()) == json.loads(written), written


@pytest.mark.parametrize(("body", "field"), BAD)
def test_what_breaks_the_rule_is_refused_by_the_name_of_its_field(body: str, field: str):
    with pytest.raises(InvalidInput) as refused:
        strict.parse(body.encode())
    assert [error["field"] for error in refused.value.errors] == [field]


def test_half_a_surrogate_in_raw_bytes_is_refused_too():
    with pytest.raises(InvalidInput):
        strict.parse(b'{"data": "\xed\xa0\x80"}')


def test_all_that_is_wrong_is_told_at_once_and_not_without_end():
    with pytest.raises(InvalidInput) as refused:
        strict.parse(rb'{"a": "\ud800", "b": NaN, "c": 1e999, "d": 1}')
    assert [error["field"] for error in refused.value.errors] == ["a", "b", "c"]
    with pytest.raises(InvalidInput) as refused:
        strict.parse(b"[" + b",".join([b"NaN"] * 10_000) + b"]")
    assert len(refused.value.errors) == strict.MOST_TOLD


@pytest.mark.parametrize("deep", [b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 100_000])
def test_what_is_nested_without_end_is_refused(deep: bytes):
    with pytest.raises(strict.TooDeep):
        strict.parse(deep)
    assert strict.parse(b"[" * 64 + b"]" * 64) is not None
    assert strict.parse(b"[" + b",".join([b"[[]]"] * 1000) + b"]") is not None


@pytest.mark.parametrize("broken", [b"{", b"nan", b'{"a": \x00}', b'"\x00"', b"\xff", b"01"])
def test_what_is_no_json_is_left_to_the_route(broken: bytes):
    with pytest.raises(ValueError, match=r"."):
        strict.parse(broken)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def texts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts(member)
    else:
        yield value


def is_good(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, float):
        return value - value == 0
    return not isinstance(value, int) or abs(value) < 2**53


@given(VALUES)
def test_whatever_is_written_passes_exactly_if_it_keeps_the_rule(value: Any):
    written = json.dumps(value).encode()
    if all(map(is_good, texts(value))):
        assert strict.parse(written) == value
    else:
        with pytest.raises(InvalidInput):
            strict.parse(written)


def test_nul_in_a_query_is_refused_by_the_name_of_its_parameter():
    strict.check_query(b"search=100%25&tag=%2500")
    for query, field in ((b"a=1&search=x%00", "search"), (b"a%00b=1", "a\ufffdb")):
        with pytest.raises(InvalidQuery) as refused:
            strict.check_query(query)
        assert [error["field"] for error in refused.value.errors] == [field]


@pytest.mark.promise("injection")
@pytest.mark.parametrize(("body", "field"), BAD)
async def test_every_json_body_is_checked_before_its_route(toy_service: Harness, body: str, field: str):
    for kind in ("application/json", "application/json; charset=utf-16", "application/merge-patch+json"):
        answer = await toy_service.client().post(
            "/api/odd/anything/", content=body.encode(), headers={"Content-Type": kind}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert not answer.json()["detail"].endswith("..")


@pytest.mark.parametrize("written", GOOD)
async def test_what_keeps_the_rule_is_stored_and_answered(toy_service: Harness, written: str):
    answer = await toy_service.client().post(
        "/api/odd/anything/", content=f'{{"data": {written}}}', headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["data"]) == (200, json.loads(written))


async def test_a_body_in_pieces_is_checked_whole(toy_service: Harness):
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"data": "a', b"\\ud", b'800"}'):
            yield piece

    answer = await toy_service.client().post(
        "/api/odd/anything/", content=pieces(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("more", ["", "; charset=utf-7"])
@pytest.mark.parametrize(
    ("name", "text", "status"), [("a", "b\0", 422), ("a\0", "b", 422), ("a", "+2AA-", 200), ("a", "ü", 200)]
)
async def test_a_field_of_a_form_keeps_the_rule_too(
    toy_service: Harness, more: str, name: str, text: str, status: int
):
    kind = f"multipart/form-data; boundary=x{more}"
    body = f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n--x--\r\n'.encode()
    answer = await toy_service.client().post("/api/odd/form/", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json() == {name: text}


@pytest.mark.parametrize(
    "query",
    ["page=" + "9" * 30, "page=1e400", "page=" + "9" * 5000, "page=NaN", "page_size=-1", "parity=%00",
     "by_cursor=1&cursor=" + "9" * 30, "by_cursor=1&cursor=%ED%A0%80", "page%00=1"],
)  # fmt: skip
async def test_a_query_of_no_use_is_a_400(toy_service: Harness, query: str):
    answer = await toy_service.client().get(f"/api/counters/?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
