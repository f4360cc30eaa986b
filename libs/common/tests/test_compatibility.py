"""The gate: what may change in an event, and what is refused with which words."""

import json
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, create_model

from libs.common.events.base import Event, Payload
from libs.common.events.compatibility import (
    incompatibilities,
    refusals,
    rendered,
    rewritten_since,
    schema_of,
    stored_schemas,
)

BEFORE: dict[str, Any] = {
    "uuid": (str, ...),
    "kind": (Literal["a", "b"], ...),
    "score": (float, ...),
    "note": (str | None, None),
}
Inner = create_model("Inner", __base__=Payload, share=(float, ...))
WiderInner = create_model("Inner", __base__=Payload, share=(float, ...), weight=(float, 1.0))
StricterInner = create_model("Inner", __base__=Payload, share=(float, ...), weight=(float, ...))


def schema(**fields: Any) -> dict[str, Any]:
    return create_model("Sample", __base__=Payload, **fields).model_json_schema()


def problems(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return incompatibilities(schema(**old), schema(**new))


def without(name: str) -> dict[str, Any]:
    return {field: kind for field, kind in BEFORE.items() if field != name}


def test_nothing_changed_is_compatible() -> None:
    assert problems(BEFORE, BEFORE) == []


@pytest.mark.parametrize("added", [(int, 0), (str | None, None), (tuple[str, ...], ()), (Inner | None, None)])
def test_a_new_field_with_a_default_is_compatible(added: Any) -> None:
    assert problems(BEFORE, {**BEFORE, "added": added}) == []


def test_a_new_field_with_a_default_inside_a_list_is_compatible() -> None:
    assert problems({"parts": (tuple[Inner, ...], ...)}, {"parts": (tuple[WiderInner, ...], ...)}) == []


def test_words_and_the_order_of_values_may_change() -> None:
    described = Annotated[float, Field(title="Points", description="What was earned")]
    reordered = {**BEFORE, "score": (described, ...), "kind": (Literal["b", "a"], ...)}
    assert problems(BEFORE, reordered) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(without("score"), "field score was removed or renamed", id="removed"),
        pytest.param(without("note"), "field note was removed or renamed", id="optional removed"),
        pytest.param(
            {**without("score"), "points": (float, ...)}, "field score was removed or renamed", id="renamed"
        ),
        pytest.param({**BEFORE, "added": (int, ...)}, "new field added has no default", id="new required"),
        pytest.param(
            {**BEFORE, "score": (str, ...)},
            'field score changed from {"type": "number"} to {"type": "string"}',
            id="retyped",
        ),
        pytest.param({**BEFORE, "score": (int, ...)}, "field score changed from", id="float to int"),
        pytest.param(
            {**BEFORE, "kind": (Literal["a"], ...)}, "field kind lost the values ['b']", id="enum narrowed"
        ),
        pytest.param(
            {**BEFORE, "kind": (Literal["a", "b", "c"], ...)},
            "field kind got the values ['c']: old readers refuse new events",
            id="enum widened",
        ),
        pytest.param({**BEFORE, "kind": (str, ...)}, "field kind changed from", id="enum to string"),
        pytest.param({**BEFORE, "score": (float | None, ...)}, "field score may be null now", id="nullable"),
        pytest.param({**BEFORE, "note": (str, "")}, "field note may no longer be null", id="not nullable"),
        pytest.param({**BEFORE, "score": (float, 0.0)}, "field score may be left out now", id="optional"),
        pytest.param({**BEFORE, "note": (str | None, ...)}, "field note is required now", id="required"),
        pytest.param({**BEFORE, "note": (str | None, "none")}, "field note changed from", id="other default"),
        pytest.param(
            {**BEFORE, "score": (Annotated[float, Field(le=100)], ...)}, "field score changed", id="bounded"
        ),
    ],
)
def test_an_incompatible_change_is_refused(change: dict[str, Any], message: str) -> None:
    found = problems(BEFORE, change)
    assert any(problem.startswith(message) for problem in found), found


def test_an_incompatible_change_inside_a_list_is_refused_with_its_path() -> None:
    old = {"parts": (tuple[Inner, ...], ...)}
    assert problems(old, {"parts": (tuple[StricterInner, ...], ...)}) == [
        "new field parts[].weight has no default: old events lack it"
    ]
    assert problems(old, {"parts": (tuple[str, ...], ...)})[0].startswith("field parts[] changed from")
    assert problems(old, {"parts": (Inner, ...)})[0].startswith("field parts changed from")


class Draft(Event):
    """Never registered: it has no `type` of its own when the class is made."""

    topic = "sample.events"
    key_field = "uuid"
    uuid: str


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that holds the first schema of `Draft`."""
    monkeypatch.setattr(Draft, "type", "sample.thing_done.v1", raising=False)
    (tmp_path / Draft.type).mkdir()
    (tmp_path / Draft.type / "1.json").write_text(rendered(schema_of(Draft)))
    return tmp_path


def test_the_stored_schema_of_an_unchanged_class_is_accepted(stored: Path) -> None:
    assert refusals({Draft.type: Draft}, stored) == []


@pytest.mark.parametrize(
    ("name", "value"), [("topic", "other.events"), ("key_field", "other"), ("state", True)]
)
def test_another_topic_key_or_kind_is_refused(
    stored: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.setattr(Draft, name, value)
    [problem] = refusals({Draft.type: Draft}, stored)
    assert problem.startswith(f"{Draft.type} against 1.json: {name.removesuffix('_field')} changed from")


def test_every_earlier_schema_counts_and_not_only_the_newest(stored: Path) -> None:
    second = {**schema_of(Draft), "properties": {}, "required": []}
    first = stored / Draft.type / "1.json"
    second["properties"] = {
        **json.loads(first.read_text())["properties"],
        "lost": {"default": 0, "type": "integer"},
    }
    second["required"] = ["uuid"]
    (stored / Draft.type / "2.json").write_text(rendered(second))
    assert list(stored_schemas(Draft.type, stored)) == [1, 2]
    [problem] = refusals({Draft.type: Draft}, stored)
    assert problem.startswith(f"{Draft.type} against 2.json: field lost was removed")


def test_a_type_whose_class_is_gone_is_refused(stored: Path) -> None:
    assert refusals({}, stored) == [f"{Draft.type}: the class is gone, but its events stay in the log"]


def test_a_gap_in_the_stored_schemas_is_refused(stored: Path) -> None:
    (stored / Draft.type / "1.json").rename(stored / Draft.type / "2.json")
    assert "not 1, 2, 3 without gaps" in refusals({Draft.type: Draft}, stored)[0]


def test_a_stored_schema_that_git_knows_may_only_be_joined_by_others(stored: Path) -> None:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=stored, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first", "--no-verify")
    (stored / Draft.type / "2.json").write_text("{}")
    assert rewritten_since("HEAD", stored) == []
    (stored / Draft.type / "1.json").write_text("{}")
    assert rewritten_since("HEAD", stored) == [f"{Draft.type}/1.json: a stored schema is never rewritten"]
