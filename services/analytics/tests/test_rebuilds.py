"""Rebuilds that an administrator asks for over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from libs.common.runtime.failpoints import InjectedFault, arm
from libs.common.testing.harness import Harness
from services.analytics.rebuilds.tasks import LEASE
from services.analytics.tests.conftest import Story, scalar
from services.analytics.tests.test_projection import busy, live_digest

REBUILDS = "/api/ops/analytics/rebuilds/"


async def test_a_rebuild_goes_through_to_equal_digests(analytics: Harness, story: Story):
    busy(story)
    await story.tell()
    before = await live_digest(analytics)
    admin = analytics.person("admin")
    asked = await admin.client.post(REBUILDS)
    assert (asked.status_code, asked.json()["status"], asked.json()["percent"]) == (202, "queued", 0)
    again = await admin.client.post(REBUILDS)
    assert (again.status_code, again.json()["code"]) == (409, "rebuild_under_way")
    await analytics.run_tasks()
    done = (await admin.client.get(asked.headers["Location"])).json()
    assert (done["status"], done["percent"], done["differing"]) == ("done", 100, [])
    assert done["events"] == await scalar(analytics, "SELECT count(*) FROM event_log")
    assert await live_digest(analytics) == before
    assert await scalar(analytics, "SELECT number FROM live_projection") == 2
    assert (await admin.client.post(REBUILDS)).status_code == 202
    assert (await admin.client.get(REBUILDS)).json()["count"] == 2


async def test_a_difference_is_told_and_swaps_nothing(analytics: Harness, story: Story):
    busy(story)
    await story.tell()
    async with analytics.db.session() as session:
        await session.execute(text("UPDATE projection_1.users SET role = 'manager'"))
    admin = analytics.person("admin")
    asked = await admin.client.post(REBUILDS)
    await analytics.run_tasks()
    done = (await admin.client.get(asked.headers["Location"])).json()
    assert (done["status"], done["error"] is not None) == ("failed", True)
    assert "users" in done["differing"]
    assert await scalar(analytics, "SELECT number FROM live_projection") == 1


@pytest.mark.parametrize("point", ["rebuild.folded", "rebuild.swapped"])
async def test_a_worker_that_dies_is_followed_by_another(analytics: Harness, story: Story, point: str):
    busy(story)
    await story.tell()
    admin = analytics.person("admin")
    asked = await admin.client.post(REBUILDS)
    arm(f"{point}=raise")
    try:
        with pytest.raises(InjectedFault):
            await analytics.run_tasks()
    finally:
        arm("")
    async with analytics.db.session() as session:  # a killed worker says nothing at its end
        await session.execute(
            text("UPDATE rebuilds SET status = 'running', ended_at = NULL, tried_at = :at"),
            {"at": datetime.now(UTC) - LEASE - timedelta(seconds=1)},
        )
    await analytics.run_task("analytics.resume_rebuilds")
    await analytics.run_tasks()
    done = (await admin.client.get(asked.headers["Location"])).json()
    assert (done["status"], done["differing"]) == ("done", [])


@pytest.mark.parametrize("role", ["student", "teacher", "moderator", "manager"])
async def test_rebuilds_are_for_administrators(analytics: Harness, role: str):
    client = analytics.person(role).client
    assert (await client.post(REBUILDS)).status_code == 403
    assert (await client.get(REBUILDS)).status_code == 403
    assert await scalar(analytics, "SELECT count(*) FROM rebuilds") == 0
