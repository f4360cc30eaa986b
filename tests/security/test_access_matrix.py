"""Every operation of the merged OpenAPI document, called by everybody: deny by default."""

import json
import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway.documents import OPENAPI
from tests.security.matrix import MATRIX
from tests.security.row import Row
from tests.security.world import ROLES, World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PATHS = json.loads(OPENAPI.read_text())["paths"]
OPERATIONS = {
    operation["operationId"]: (method.upper(), path)
    for path, methods in PATHS.items()
    for method, operation in methods.items()
}
TAGGED = {
    methods["get"]["operationId"]
    for methods in PATHS.values()
    if "ETag" in methods.get("get", {"responses": {}})["responses"].get("200", {}).get("headers", {})
}
"""Reads that promise an entity tag."""


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert sorted(OPERATIONS.keys() - MATRIX.keys()) == [], "operations without an entry"
    assert sorted(MATRIX.keys() - OPERATIONS.keys()) == [], "entries without an operation"


async def call(world: World, row: Row, operation: str, role: str, thing: Any) -> httpx.Response:
    method, path = OPERATIONS[operation]
    if row.learner:
        role = {"owner": "member", "member": "owner"}.get(role, role)
    if row.before:
        await row.before(world.people[role])
    for value in row.path(thing) if "{" in path else ():
        path = re.sub(r"\{\w+\}", value, path, count=1)
    path += row.query(thing) if callable(row.query) else row.query
    body = row.body(world, thing) if callable(row.body) else row.body
    options: dict[str, Any] = (
        {"files": row.files} if row.files else {"json": body} if body is not None else {}
    )
    return await world.people[role].raw(method, path, **(row.raw or options))


def other_versions(body: str) -> list[str]:
    """UUIDs in an answer that clients would refuse."""
    found = re.findall(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", body, re.IGNORECASE)
    return [uuid for uuid in found if UUID(uuid).version != 4]


@pytest.mark.promise("object access")
@pytest.mark.parametrize("operation", sorted(MATRIX))
async def test_who_may_call(world: World, operation: str) -> None:
    row = MATRIX[operation]
    expected = dict(zip(ROLES, row.statuses.split(), strict=True))
    refused = [role for role in ROLES if expected[role] != "2xx"]
    allowed = [role for role in ROLES if expected[role] == "2xx"]
    writes = OPERATIONS[operation][0] != "GET"
    thing: Any = None
    seen: dict[str, str] = {}
    for number, role in enumerate(refused + allowed):
        # A success changes the thing: who may write gets one of their own.
        if row.make and (number == 0 or (writes and role in allowed)):
            thing = await (row.make(world) if writes else world.once(row.make))
        answer = await call(world, row, operation, role, thing)
        seen[role] = "2xx" if answer.is_success else str(answer.status_code)
        if answer.is_success and row.login_again:
            await world.people[role].login()
        if answer.headers.get("content-type", "").partition(";")[0].endswith("json"):
            assert other_versions(answer.text) == [], "public ids are of version 4"
        if answer.is_success:
            assert operation not in TAGGED or answer.headers.get("etag")
        else:
            assert answer.headers["content-type"] == "application/problem+json"
    assert seen == expected
