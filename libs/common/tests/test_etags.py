"""Entity tags are read as clients and attackers write them."""

import time

import pytest
from fastapi import Request
from fastapi.responses import Response

from libs.common.runtime.errors import PreconditionFailed
from libs.common.web.etags import Precondition, answer


def request(name: str, value: str) -> Request:
    headers = [(name.encode(), value.encode())]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})


@pytest.mark.parametrize("value", ['"3"', 'W/"3"', '"2", W/"3"', '"2","3"', ' "3" ', "*", '"\\","3"'])
def test_a_tag_is_found_in_every_list_of_tags(value: str):
    found = answer(request("if-none-match", value), Response(), '"3"')
    assert found is not None
    assert found.status_code == 304
    Precondition(value).check(3)


@pytest.mark.parametrize("value", ['"2"', "3", '"3', "", '"33"', '"2, 3"'])
def test_what_names_no_such_tag_does_not_match(value: str):
    assert answer(request("if-none-match", value), Response(), '"3"') is None
    with pytest.raises(PreconditionFailed):
        Precondition(value).check(3)


@pytest.mark.parametrize("value", ["x" + " " * 16_000 + "x", '"\\' * 8_000, '"' * 16_001, "W/" * 8_000])
def test_a_header_of_any_shape_costs_no_time(value: str):
    started = time.thread_time()
    assert answer(request("if-none-match", value), Response(), '"3"') is None
    assert time.thread_time() - started < 0.2
