"""The contract of every event: names, examples, schemas, personal data, topics, generated documents."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jsonschema
import pytest

from libs.common.events import EVENTS, Event
from libs.common.events.asyncapi import GOLDENS, document
from libs.common.events.compatibility import SCHEMAS, refusals, schema_of, stored_schemas
from libs.common.events.docs import generated, main, promise_of
from libs.common.events.identity import UserState
from libs.common.events.learning import CourseCompleted
from libs.common.events.topics import TOPICS

every_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
TOPIC = {topic.name: topic for topic in TOPICS}

PAST_TENSE_WITHOUT_ED = {"left", "sent", "withdrawn", "written"}
# Strings that no person writes about a person: codes, numbers, and titles of courses, lessons and quizzes.
FREE_STRINGS = {
    "category", "changed[]", "kind", "language", "lesson_title", "media_type", "module_title", "number",
    "reason", "slug", "title",
}  # fmt: skip
STATE_STRINGS = FREE_STRINGS | {
    "category.name", "category.slug", "preview_video", "short_description", "tags[]", "thumbnail",
    "draft_modules[].title", "draft_modules[].lessons[].title",
    "modules[].title", "modules[].lessons[].title",
}  # fmt: skip
PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|address|city|country|locale|time_zone|birth|avatar|bio|ip|first_name|last_name|full_name)"
    r"(_|$)|^(name|user_?name|content|text|body|comment|feedback|subject|description)$"
)


def golden(event: type[Event]) -> str:
    return (GOLDENS / f"{event.type}.json").read_text(encoding="utf-8")


def fields(
    schema: dict[str, Any], root: dict[str, Any], path: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every leaf of a schema with its path."""
    if "$ref" in schema:
        yield from fields(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, path)
    elif "anyOf" in schema:
        for variant in schema["anyOf"]:
            yield from fields(variant, root, path)
    elif schema["type"] == "array":
        yield from fields(schema["items"], root, f"{path}[]")
    elif schema["type"] == "object":
        for name, inner in schema["properties"].items():
            yield from fields(inner, root, f"{path}.{name}" if path else name)
    else:
        yield path, schema


@every_event
def test_type_names_the_service_and_a_version(event: type[Event]) -> None:
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+\.v\d+", event.type)
    file = event.__module__.rsplit(".", 1)[1]
    service = {"quizzes": "learning"}.get(file, file)
    assert event.type.split(".")[0] == event.topic.split(".")[0] == service


@every_event
def test_class_is_named_like_its_type(event: type[Event]) -> None:
    words = event.type.split(".")[1].split("_")
    expected = "".join(word.capitalize() for word in words)
    assert event.__name__ == (f"{expected}State" if event.state else expected)


@every_event
def test_fact_is_in_the_past_tense(event: type[Event]) -> None:
    last = event.type.split(".")[1].rsplit("_", 1)[-1]
    assert event.state or last.endswith("ed") or last in PAST_TENSE_WITHOUT_ED


@every_event
def test_docstring_promises_trigger_key_and_consumers(event: type[Event]) -> None:
    promise = promise_of(event)
    assert promise.trigger
    assert promise.key == event.key_field
    assert event.model_fields[event.key_field].annotation is UUID
    assert set(promise.consumers) <= set(TOPIC[event.topic].consumers)


@every_event
def test_golden_round_trips_byte_for_byte(event: type[Event]) -> None:
    text = golden(event)
    parsed = event.model_validate_json(text)
    assert parsed.model_dump_json(indent=2) + "\n" == text
    assert parsed.key == json.loads(text)[event.key_field]


@every_event
def test_golden_is_valid_for_every_stored_schema(event: type[Event]) -> None:
    stored = stored_schemas(event.type)
    assert stored, f"{event.type} has no stored schema"
    for schema in stored.values():
        jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        ).validate(json.loads(golden(event)))


@every_event
def test_newest_stored_schema_is_the_class(event: type[Event]) -> None:
    stored = stored_schemas(event.type)
    assert stored[max(stored)] == schema_of(event)


@every_event
def test_reader_ignores_a_field_that_it_does_not_know(event: type[Event]) -> None:
    text = golden(event)
    newer = {**json.loads(text), "added_by_a_newer_release": 1}
    assert event.model_validate_json(json.dumps(newer)) == event.model_validate_json(text)


@every_event
def test_no_personal_data_outside_identity_users(event: type[Event]) -> None:
    if event is UserState:
        return
    allowed = STATE_STRINGS if event.state else FREE_STRINGS
    schema = event.model_json_schema()
    for path, leaf in fields(schema, schema):
        is_free = leaf["type"] == "string" and not {"enum", "const", "format", "pattern"} & set(leaf)
        assert not is_free or path in allowed, f"{event.type}: {path} could hold what people write"
        assert path in allowed or not PERSONAL.search(path.rsplit(".", 1)[-1]), (
            f"{event.type}: {path} is personal"
        )


@every_event
def test_topic_is_declared_for_this_kind_of_event(event: type[Event]) -> None:
    assert TOPIC[event.topic].kind == ("state" if event.state else "log")


def test_every_topic_has_events_and_exactly_the_readers_that_they_name() -> None:
    for topic in TOPICS:
        events = [event for event in EVENTS.values() if event.topic == topic.name]
        assert {reader for event in events for reader in promise_of(event).consumers} == set(topic.consumers)
        assert topic.kind == "log" or len(events) == 1


def test_no_golden_and_no_schema_is_unused() -> None:
    assert {path.name.removesuffix(".json") for path in GOLDENS.iterdir()} == set(EVENTS)
    assert {path.name for path in SCHEMAS.iterdir()} == set(EVENTS)


def test_schema_files_are_canonical() -> None:
    for path in SCHEMAS.glob("*/*.json"):
        text = path.read_text(encoding="utf-8")
        assert json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n" == text


def test_every_change_is_compatible_with_every_stored_schema() -> None:
    assert refusals() == []


def test_generated_documents_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_check_names_what_is_stale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = next(path for path in generated() if path.name == "events.md")
    monkeypatch.setattr("libs.common.events.docs.generated", lambda: {page: "other"})
    assert main(["--check"]) == 1
    assert "stale: docs/events.md" in capsys.readouterr().err


def test_asyncapi_has_no_dangling_reference() -> None:
    whole = document()
    references = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(whole))
    assert references
    for reference in references:
        node: Any = whole
        for step in reference.split("/"):
            node = node[step]
    assert set(whole["components"]["messages"]) == set(EVENTS)
    assert {name for channel in whole["channels"].values() for name in channel["messages"]} == set(EVENTS)


def test_moments_travel_in_utc_and_naive_ones_are_refused() -> None:
    values = json.loads(golden(UserState))
    parsed = UserState.model_validate({**values, "date_joined": "2026-03-02T10:00:00+02:00"})
    assert parsed.date_joined == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert '"date_joined":"2026-03-02T08:00:00Z"' in parsed.model_dump_json()
    with pytest.raises(ValueError, match="timezone"):
        UserState.model_validate({**values, "date_joined": "2026-03-02T10:00:00"})


def test_an_event_is_frozen_and_a_score_is_a_number() -> None:
    event = CourseCompleted.model_validate_json(golden(CourseCompleted))
    with pytest.raises(ValueError, match="frozen"):
        event.revision = 2  # type: ignore[misc]
    for impossible in ("NaN", "Infinity", -1):
        with pytest.raises(ValueError, match="final_score"):
            CourseCompleted.model_validate({**event.model_dump(), "final_score": impossible})
