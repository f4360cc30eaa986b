"""The odd requests are odd in one place, and a path spelled otherwise still says the same."""

import json
import random
from urllib.parse import unquote

import pytest
import requests

from tests.fuzz.odd import VALUES, alter, bend, spell, spoil_json

PATH = "/api/courses/0a1b2c3d-0000-4000-8000-000000000020/lessons/%20x/"


@pytest.mark.parametrize("seed", range(30))
def test_what_is_altered_stays_a_request(seed: int) -> None:
    chance = random.Random(seed)
    assert unquote(spell(PATH, chance)) == unquote(PATH)
    assert bend("/", chance).startswith("/")
    assert bend(PATH, chance).startswith("/")
    body = spoil_json(b'{"a": [1, {"b": "x"}], "c": null}', chance)
    assert any(value.encode() in body for value in VALUES)
    request = requests.Request("POST", f"http://127.0.0.1:1{PATH}?page=1", json={"a": 1}).prepare()
    alter(request, chance)
    assert request.url is not None
    assert request.url.startswith("http://127.0.0.1:1/")
    assert request.headers["Content-Length"] == str(len(request.body or b""))


def test_what_has_no_value_to_spoil_stays_as_it_is() -> None:
    for body in (b"", b"{}", b"no JSON", json.dumps("x").encode()):
        assert spoil_json(body, random.Random(1)) == body
