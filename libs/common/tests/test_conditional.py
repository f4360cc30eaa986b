"""Reads without a version of their own name what they answered."""

from libs.common.testing.harness import Harness


async def test_a_list_that_stays_answers_304_and_one_that_changes_the_list(toy_service: Harness):
    student = toy_service.person()
    first = await student.client.get("/api/counters/")
    tag = first.headers["etag"]
    assert tag.startswith('W/"'), "it names an answer, not a version to change"
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await student.client.get("/api/counters/", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
        assert again.headers["x-request-id"]
    await student.client.post("/api/counters/", json={"value": 1})
    changed = await student.client.get("/api/counters/", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["count"]) == (200, 1)
    assert changed.headers["etag"] != tag


async def test_a_version_is_left_alone_and_errors_and_writes_have_none(toy_service: Harness):
    student = toy_service.person()
    made = await student.client.post("/api/counters/", json={"value": 1})
    found = await student.client.get(f"/api/counters/{made.json()['uuid']}/")
    refused = await student.client.get("/api/counters/managers/", headers={"If-None-Match": "*"})
    assert found.headers["etag"] == '"1"'
    assert refused.status_code == 403
    assert "etag" not in made.headers
    assert "etag" not in refused.headers
