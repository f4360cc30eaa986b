"""`forum.discussions`: what each discussion is called, for who tells of it."""

from typing import Any

import orjson
from sqlalchemy import text

from libs.common.testing.harness import Harness
from libs.common.testing.privacy import erase
from services.forum.tests.conftest import DISCUSSIONS, Cast, started


async def told(forum: Harness) -> list[tuple[int, Any]]:
    """Version and title, or None for a tombstone, of what waits for `forum.discussions`."""
    query = "SELECT key_seq, payload FROM outbox WHERE topic = 'forum.discussions' ORDER BY seq"
    async with forum.db.sessions() as session:
        rows = await session.execute(text(query))
        return [(seq, orjson.loads(body)["title"] if body else None) for seq, body in rows]


async def test_the_state_follows_each_version_from_the_start_to_a_restoration(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast, title="a<b & “c”")
    path = f"{DISCUSSIONS}{made['uuid']}/"
    await cast.ada.client.patch(path, json={"title": "Week 2"})
    await cast.teacher.client.post(f"{path}pin/")
    await cast.ada.client.delete(path)
    await cast.teacher.client.post(f"/api/core/moderation/{made['uuid']}/restore/")
    assert await told(forum) == [(1, "a<b & “c”"), (2, "Week 2"), (3, "Week 2"), (4, None), (5, "Week 2")]


async def test_what_an_older_release_wrote_is_told_once(forum: Harness, cast: Cast):
    for title in ("First one", "Second one", "Gone one"):
        made = await started(cast.ada, cast, title=title)
    await cast.ada.client.delete(f"{DISCUSSIONS}{made['uuid']}/")
    async with forum.db.session() as session:
        await session.execute(text("DELETE FROM outbox WHERE topic = 'forum.discussions'"))
        await session.execute(text("UPDATE discussions SET state_version = 0"))
    forum.settings.states_batch = 2
    for _ in range(3):
        await forum.run_task("forum.sweep_states")
    assert sorted(await told(forum), key=str) == [(1, "First one"), (1, "Second one"), (2, None)]


async def test_an_erasure_leaves_no_state_behind(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast)
    await cast.ada.client.delete(f"{DISCUSSIONS}{made['uuid']}/")
    await erase(forum, cast.ada.uuid)
    assert [title for _, title in await told(forum)] == ["Why is the sky blue?", None, None]
    await forum.run_task("forum.sweep_states")
    assert len(await told(forum)) == 3
