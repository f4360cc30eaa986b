"""Whatever people write into whichever field comes back as they wrote it, byte for byte."""

import json
import random
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.documents import OPENAPI
from tests.security import world as things
from tests.security.matrix import MATRIX
from tests.security.test_access_matrix import OPERATIONS, call
from tests.security.world import ROLES, World
from tests.support import Json

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DOCUMENT: Json = json.loads(OPENAPI.read_text())
Place = tuple[str | int, ...]
TEXTS = [
    "for (i = 0; i<n && m>i; i++) { map<int, string> x; }",
    'List<String> & ask <me@x.org> "at once"',
    "a<b",
    "`code <b>span</b>` **bold** [x](javascript:alert(1))",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "</p> <a href='half",
    "∀ε>0 ∃δ: |x−a|<δ ⇒ |f(x)−f(a)|<ε; 2<3>1",
    "שלום \u200fعالم\u200e — \u202eabc\u202c",
    "👩🏽‍🔬 e\u0301 é ﬁ ⅷ \u00a0 ſ",
    "&lt;b&gt; &amp;amp; &#x3C; %3Cb%3E \\u003c",
    "'; DROP TABLE users; -- $1 {0} {{x}} ${y} %s",
    "=1+1",
    "=?utf-8?q?x?=",
    "  four spaces before, two behind  ",
    "\tif a < 1:\r\n\t\treturn b\n\n",
    "日本 図書 <第一章>",
    '{"key": ["<b>", null]}',
]
ALPHABET = [
    *map(chr, range(0x09, 0x0E)), *map(chr, range(0x20, 0x180)), *map(chr, range(0x590, 0x700)),
    *map(chr, range(0x2000, 0x2070)), *map(chr, range(0x3040, 0x3100)), *"<>&\"'`*_[](){}\\/#=+-@|~^$%",
    "\ufeff", "\uffff", "\U0001f600", "\U000e0041", "\U0010ffff", "\u0300", "\u0085", "\x1b", "\x7f",
]  # fmt: skip

QUESTIONS: dict[str, Json] = {
    "options": {
        "kind": "single_choice", "text": "Which?",
        "options": [{"text": "this", "is_correct": True, "feedback": ""}, {"text": "that"}],
    },
    "accepted": {"kind": "short_answer", "text": "Which?", "accepted": ["this"]},
    "pairs": {
        "kind": "matching", "text": "Which?",
        "pairs": [{"left": "a", "right": "one"}, {"left": "b", "right": "two"}],
    },
    "items": {"kind": "ordering", "text": "Which?", "items": ["one", "two"]},
    "text": {"kind": "essay", "text": "Which?"},
    "explanation": {"kind": "essay", "text": "Which?"},
}  # fmt: skip
RUBRIC = [
    {
        "title": "Form",
        "description": "",
        "points": 5,
        "levels": [{"title": "All", "description": "", "points": 5}],
    }
]
POLICY: Json = {"groups": [{"name": "Work", "weight": 1}], "letters": [{"letter": "A", "from": 50}]}
AUDITED = {
    "learning_regrade_quiz": "reason",
    "learning_reissue_certificate": "reason",
    "forum_resolve_flagged_post": "reason",
    "forum_restore_post": "reason",
}
"""Kept in the audit log alone."""
UNSEEN = {
    "identity_register": "the answer tells nothing of the account",
    "catalog_create_tag": "another tag may have the name; a course's tags are written below",
    "catalog_change_tag": "the same",
    "learning_save_answer": "a text answers an essay or a short question; both are written below",
    "analytics_run_query": "a filter compares with what somebody wrote; the answer is what was found",
    "analytics_create_export": "the same",
    "analytics_create_report": "the same; its name is answered in services/analytics/tests/test_reports.py",
    "analytics_change_report": "the same",
    "catalog_begin_upload": "the name of a file must end as its kind does, and is shown without a path",
}
FLAGS = {"forum_flag_discussion", "forum_flag_reply"}
"""Shown in the moderation queue."""
ONE_LINE = {"first_name", "last_name", "signer_name", "signer_title"}
"""With everything of a certificate's template: what is drawn or mailed as one line."""
ONCE = {
    "catalog_post_review",
    "learning_submit_work",
    "support_rate_ticket",
    "learning_revoke_certificate",
    *FLAGS,
}
"""Can be done once to a thing."""


def texts_of(schema: Json, place: Place = ()) -> Iterator[tuple[Place, Json]]:
    """Every text that people write, by its place in a body."""
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if schema.get("contentMediaType") in ("text/plain", "text/markdown"):
        yield place, schema
    for choice in schema.get("anyOf", []):
        yield from texts_of(choice, place)
    if "items" in schema:
        yield from texts_of(schema["items"], (*place, 0))
    for name, part in schema.get("properties", {}).items():
        yield from texts_of(part, (*place, name))


FIELDS = [
    (operation, place, schema)
    for operation, (method, path) in OPERATIONS.items()
    if (content := DOCUMENT["paths"][path][method.lower()].get("requestBody", {}).get("content", {}))
    and "application/json" in content
    for place, schema in texts_of(content["application/json"]["schema"])
    if AUDITED.get(operation) != place[-1] and operation not in UNSEEN
]


def test_fields_were_found() -> None:
    assert len({operation for operation, _, _ in FIELDS}) > 40
    assert set(AUDITED) | set(UNSEEN) | ONCE <= set(OPERATIONS)


def base_of(operation: str, place: Place, body: Any, thing: Any) -> Json:
    """A valid body in which something stands at the place."""
    if "question" in operation:
        return dict(QUESTIONS[str(place[0])])
    if place[0] == "rubric":
        return body | {"rubric": RUBRIC}
    if operation == "learning_save_grading_policy":
        return POLICY
    if operation == "learning_grade_answer":
        return body
    if operation == "learning_grade_learner":
        return {"score": 5}
    if place[0] == "resources":
        return body | {"resources": [{"media": thing["media"], "title": ""}]}
    return body | {"tags": ["Tag"]} if place[0] == "tags" else body


def put(body: Any, place: Place, value: str) -> Any:
    """The body with this value at the place."""
    if not place:
        return value
    step, rest = place[0], place[1:]
    if isinstance(step, int):
        return [put(body[0], rest, value), *body[1:]]
    return {**body, step: put(body.get(step), rest, value)}


def values(found: Any) -> Iterator[Any]:
    if isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from values(each)
    else:
        yield found


def is_one_line(value: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") for char in value)


def fitting(operation: str, place: Place, schema: Json, value: str) -> str | None:
    """The text, made as long as the field needs; None where the field's own rule refuses it."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", 60_000)
    value = value[:most]
    while least and len(value.strip()) < least:
        value = (value + " and so on " * 5)[:most] if value else "and so on"
        if len(value) == most and len(value.strip()) < least:
            return None
    if (place[-1] in ONE_LINE or "template" in operation) and not is_one_line(value):
        return None
    if place[-1] in ("first_name", "last_name") and any(part in value.lower() for part in ("://", "www.")):
        return None
    return value.strip() if place[0] == "tags" else value


async def thing_for(world: World, operation: str) -> Any:
    row = MATRIX[operation]
    thing = await row.make(world) if row.make else None
    if operation in ("catalog_create_lesson", "catalog_change_lesson"):
        thing["media"] = (await world.once(things.media))["uuid"]
    return thing


async def write(world: World, operation: str, place: Place, thing: Any, value: str) -> httpx.Response:
    row = MATRIX[operation]
    body = row.body(world, thing) if callable(row.body) else row.body
    body = put(base_of(operation, place, body or {}, thing), place, value)
    raw = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}
    allowed = dict(zip(ROLES, row.statuses.split(), strict=True))
    role = next(role for role in ("owner", "member", "manager") if allowed[role] == "2xx")
    return await call(world, replace(row, raw=raw), operation, role, thing)


async def found_in(world: World, operation: str, thing: Any, answer: httpx.Response) -> set[Any]:
    if operation in FLAGS:
        return set(values(await world.moderator.get("/api/core/moderation/?page_size=100")))
    return set(values(answer.json()))


@pytest.mark.promise("injection")
@pytest.mark.parametrize(
    ("operation", "place", "schema"), FIELDS, ids=[f"{o}-{'.'.join(map(str, p))}" for o, p, _ in FIELDS]
)
async def test_what_is_written_is_answered_as_it_was_written(
    world: World, operation: str, place: Place, schema: Json
) -> None:
    first = random.randrange(len(TEXTS))
    count = 2 if operation in ONCE else 4
    chosen = [TEXTS[(first + step * 5) % len(TEXTS)] for step in range(count)]
    drawn = ["".join(random.choices(ALPHABET, k=random.randint(1, 60))) for _ in range(2)]
    chosen += [text if text.strip() else f"{text}.{text}" for text in drawn]  # white space alone is no text
    thing = await thing_for(world, operation)
    for text in chosen:
        value = fitting(operation, place, schema, text)
        if value is None:
            continue
        if operation in ONCE:
            thing = await thing_for(world, operation)
        answer = await write(world, operation, place, thing, value)
        assert answer.is_success, (value, answer.text)
        assert value in await found_in(world, operation, thing, answer), (value, answer.text)
    for refused in ("a\0b", "half \ud83d of a pair"):
        long = refused + " and so on" * 8 if schema.get("minLength", 0) > len(refused) else refused
        answer = await write(world, operation, place, thing, long)
        assert answer.status_code == 422, (refused, answer.text)
        assert answer.json()["errors"][0]["field"], answer.text


@pytest.mark.promise("injection")
async def test_answers_reach_the_teacher_as_they_were_written(world: World) -> None:
    made = await things.quiz(world)
    path = f"/api/quizzes/{made['uuid']}/"
    for kind in ({"kind": "essay"}, {"kind": "short_answer", "accepted": ["yes"]}):
        await world.owner.post(f"{path}questions/", {"text": "Why?", "points": 1, **kind}, 201)
    await world.owner.post(f"{path}publish/")
    attempt = await world.member.post(f"{path}attempts/", status=201)
    written = [question["uuid"] for question in attempt["questions"] if question["kind"] != "true_false"]
    for text in TEXTS:
        for question in written:
            saved = await world.member.call(
                "PUT", f"/api/attempts/{attempt['uuid']}/answers/{question}/", json={"answer": text}
            )
            assert saved["answer"] == text
    await world.member.post(f"/api/attempts/{attempt['uuid']}/submit/")
    for reader in (world.member, world.owner):
        shown = await reader.get(f"/api/attempts/{attempt['uuid']}/")
        assert [shown["answers"][question] for question in written] == [TEXTS[-1]] * 2
