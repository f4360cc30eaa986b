"""What the gateway answers itself, and to whom; HEAD, which asks for the header of a GET."""

import pytest

from gateway.tests.harness import SCRAPE, bearer


@pytest.mark.promise("gateway")
async def test_metrics_are_for_the_operator(start):
    client = await (await start(limit_anonymous=10)).client()
    for path in ("/metrics", "/metrics/"):
        assert b"lectern_gateway_clients" in (await client.get(path, SCRAPE)).body
        for header in (
            "", bearer(), "Authorization: Bearer scrape\r\n", "Authorization: Basic scraper\r\n",
        ):  # fmt: skip
            answer = await client.get(path, header)
            assert answer.status in (401, 429)  # whoever guesses is counted
            assert b"lectern_gateway" not in answer.body
    assert (await client.get("/metrics")).status == 429
    assert (await client.get("/metrics", SCRAPE)).status == 200


async def test_without_a_token_in_the_settings_there_are_no_metrics(start):
    client = await (await start(metrics_token="")).client()
    for header in ("", "Authorization: Bearer \r\n", "Authorization: Bearer x\r\n"):
        assert (await client.get("/metrics", header)).status == 404


async def test_head_is_the_header_of_a_get(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    for path in ("/api/courses/?x=1", "/livez", "/api/openapi.json", "/api/nothing/"):
        full, head = await client.get(path), await client.get(path, method="HEAD")
        assert (head.status, head.body) == (full.status, b""), path
        assert head.get("content-length") == full.get("content-length") == str(len(full.body))
    before = len(catalog.seen)
    assert (await client.get("/api/courses/?y=1", method="HEAD")).status == 200
    assert (await client.get("/api/courses/?y=1")).status == 200
    # The first HEAD of a kept answer fetches it whole; one of a person is the service's to answer.
    assert [seen.line for seen in catalog.seen[before:]] == ["GET /api/courses/?y=1 HTTP/1.1"]
    assert (await client.get("/api/courses/", bearer(), method="HEAD")).status == 200
    assert catalog.seen[-1].line == "HEAD /api/courses/ HTTP/1.1"
