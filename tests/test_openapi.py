"""The merged OpenAPI document: valid, complete, and in agreement with the gateway's routes."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway.documents import OPENAPI
from gateway.routes import RouteTable
from libs.common.web.openapi import PROBLEM_JSON

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())
OPERATIONS = [
    (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
NAMES = [f"{method} {path}" for method, path, _ in OPERATIONS]
UUID = "0b5e2f6a-3c1d-4e8f-9a7b-6c5d4e3f2a1b"
every_operation = pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_operation_ids_are_unique_and_begin_with_the_service() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    table = RouteTable()
    for _, path, operation in OPERATIONS:
        match = table.match(re.sub(r"\{\w+\}", UUID, path))
        assert match is not None, path
        assert operation["operationId"].startswith(f"{match.route.service}_")


def test_every_reference_leads_somewhere() -> None:
    for reference in set(re.findall(r'"#/([^"]+)"', json.dumps(DOCUMENT))):
        place: Any = DOCUMENT
        for step in reference.split("/"):
            assert step in place, reference
            place = place[step]


@every_operation
def test_every_operation_says_what_it_does(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"].strip().endswith("."), operation.get("description")
    assert operation["tags"]


@every_operation
def test_every_operation_has_error_answers(method: str, path: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    assert any(status.startswith("2") for status in answers)
    assert {"400", "429", "503"} <= set(answers)
    if operation.get("security"):
        assert {"401", "403"} <= set(answers)
    for status, answer in answers.items():
        if "$ref" in answer:
            answer = DOCUMENT["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
        if status[0] in "45":
            for example in answer["content"][PROBLEM_JSON]["examples"].values():
                assert str(example["value"]["status"]) == status


@every_operation
def test_every_json_body_has_an_example_that_fits(method: str, path: str, operation: dict[str, Any]) -> None:
    contents = [operation.get("requestBody", {}).get("content", {})]
    contents += [
        answer.get("content", {}) for status, answer in operation["responses"].items() if status[0] == "2"
    ]
    for content in contents:
        media = content.get("application/json")
        if media is None:
            continue
        schema = media["schema"] | {"components": DOCUMENT["components"]}
        errors = [error.message for error in Draft202012Validator(schema).iter_errors(media["example"])]
        assert errors == []


@every_operation
def test_the_gateway_and_the_service_agree_on_who_may_come_without_a_token(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    match = RouteTable().match(re.sub(r"\{\w+\}", UUID, path))
    assert match is not None
    security = operation.get("security", [])
    open_to_all = not security or {} in security
    gateway_asks = match.route.auth == "required" or (match.route.auth == "write" and method != "get")
    assert not (gateway_asks and open_to_all), "the gateway refuses callers that the service would serve"
    if match.route.auth == "ignore":
        assert open_to_all, "the gateway drops the token that the service wants"


def strings(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All texts within a schema, by where they stand. A decimal may be sent as a text: that is none."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "string":
        yield place, schema
    for kind in ("anyOf", "oneOf", "allOf"):
        choices = schema.get(kind, [])
        number = any(choice.get("type") in ("number", "integer") for choice in choices)
        for choice in choices:
            if not (number and choice.get("type") == "string"):
                yield from strings(choice, place)
    yield from strings(schema.get("items"), f"{place}[]")
    yield from strings(schema.get("additionalProperties"), f"{place}{{}}")
    for name, part in schema.get("properties", {}).items():
        yield from strings(part, f"{place}.{name}")


def bodies() -> Iterator[tuple[str, Any]]:
    yield from DOCUMENT["components"]["schemas"].items()
    for method, path, operation in OPERATIONS:
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield f"{method} {path}", content["schema"]
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                yield f"answer of {method} {path}", content.get("schema")


def test_every_text_is_plain_or_markdown_or_safe_html_or_for_programs() -> None:
    said = {"contentMediaType", "format", "pattern", "enum", "const"}
    untold = [
        place for name, schema in bodies() for place, text in strings(schema, name) if not said & text.keys()
    ]
    assert untold == [], "texts of no type of libs.common.web.schemas"


def test_only_what_is_rendered_says_that_it_is_html() -> None:
    rendered = {
        place.rsplit(".", 1)[-1]
        for name, schema in bodies()
        for place, text in strings(schema, name)
        if text.get("contentMediaType") == "text/html"
    }
    assert {name for name in rendered if not name.endswith("_html")} == {"text_content", "content"}
