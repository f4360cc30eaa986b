"""The page for everybody about how the platform is."""

import re

import pytest


@pytest.mark.parametrize("path", ["/status/", "/status"])
async def test_the_page_loads_from_here_alone_and_may_be_cached(client, path):
    page = await client.get(path)
    assert (page.status, page.get("content-type")) == (200, "text/html; charset=utf-8")
    assert page.get("cache-control") == "public, max-age=300"
    policy = page.get("content-security-policy")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    html = page.body.decode()
    assert re.search(r"<script(?! src)|style=|\son\w+=|https?:", html) is None
    linked = re.findall(r'(?:src|href)="(/status/[^"]+)"', html)
    assert sorted(linked) == ["/status/status.css", "/status/status.js"]
    for asset in linked:
        answer = await client.get(asset)
        assert (answer.status, answer.get("x-content-type-options")) == (200, "nosniff")
        assert "http://" not in answer.body.decode()
        assert "https://" not in answer.body.decode()


async def test_the_page_and_the_state_are_there_while_no_service_is(start):
    suite = await start(services=())
    client = await suite.client()
    assert (await client.get("/status/")).status == 200
    state = await client.get("/api/status/")
    assert (state.status, b'"degraded"' in state.body) == (200, True)
    assert (await client.get("/api/status/history/")).status == 503


async def test_the_page_knows_every_part_by_a_name_for_people(client):
    script = (await client.get("/status/status.js")).body.decode()
    from libs.common.runtime.settings import SERVICES

    for name in ("gateway", *SERVICES):
        assert re.search(rf'\b{name}: "', script), name
