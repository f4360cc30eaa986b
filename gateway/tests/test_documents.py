"""The documents that the gateway serves, and that the page about them needs nothing from elsewhere."""

import json
import re

import pytest

from gateway.documents import OPENAPI


async def test_the_openapi_document_is_the_merged_one(client):
    answer = await client.get("/api/openapi.json")
    assert (answer.status, answer.get("content-type")) == (200, "application/json")
    assert answer.body == OPENAPI.read_bytes()


async def test_the_asyncapi_document_names_every_topic(client):
    body = json.loads((await client.get("/api/asyncapi.json")).body)
    assert body["asyncapi"].startswith("3.")
    assert {"identity.events", "identity.users", "learning.events"} <= set(body["channels"])


@pytest.mark.parametrize("path", ["/api/docs/", "/api/docs"])
async def test_the_page_loads_from_here_alone_and_may_not_do_otherwise(client, path):
    page = await client.get(path)
    assert (page.status, page.get("content-type")) == (200, "text/html; charset=utf-8")
    policy = page.get("content-security-policy")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "http" not in policy
    html = page.body.decode()
    assert "<script>" not in html
    assert "style=" not in html
    linked = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(linked) == 4
    for asset in linked:
        assert asset.startswith("/api/docs/")
        answer = await client.get(asset)
        assert answer.status == 200
        assert answer.get("x-content-type-options") == "nosniff"
        assert len(answer.body) > 100
