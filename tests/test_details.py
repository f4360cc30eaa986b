"""A `detail` is a sentence for people: it names no header, field or value that a program would send."""

import re
from importlib import import_module

import pytest

from libs.common.runtime.errors import LecternError

FOR_PROGRAMS = re.compile(
    r"`|\b(GET|HEAD|PUT|POST|PATCH|DELETE|multipart|header|JSON|true|false|null|parameter)\b"
    r"|^\w+: |_|[{}\[\]=]"
)


def refusals(service: str) -> list[type[LecternError]]:
    module = import_module(f"services.{service}.errors")
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, LecternError) and each.__module__ == module.__name__
    ]


@pytest.mark.parametrize("service", ["catalog", "learning"])
def test_a_detail_speaks_to_people(service: str):
    found = {each.__name__: each.detail for each in refusals(service)}
    assert found
    for name, detail in found.items():
        assert not FOR_PROGRAMS.search(detail or ""), (name, detail)
        assert not detail or detail.endswith("."), (name, detail)
