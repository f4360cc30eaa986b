"""Forums and discussions: their life, and who may see and do what."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Harness
from services.forum.tests.conftest import (
    DISCUSSIONS,
    FORUMS,
    REPLIES,
    Cast,
    course_state,
    enrollment_state,
    kinds,
    replied,
    started,
    user_state,
)


async def act(person, discussion: dict, action: str, **body: Any):
    return await person.client.post(f"{DISCUSSIONS}{discussion['uuid']}/{action}/", json=body or None)


async def test_a_discussion_is_started_read_and_edited(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast)
    assert made["author_name"] == "Ada Lovelace"
    assert (made["replies_count"], made["latest_reply"], made["is_resolved"]) == (0, None, False)
    assert (made["course"], made["course_title"]) == (str(cast.course), "Optics")
    path = f"{DISCUSSIONS}{made['uuid']}/"
    assert (await cast.bob.client.get(path)).json()["views_count"] == 1
    assert (await cast.teacher.client.get(path)).json()["views_count"] == 2
    edited = (await cast.ada.client.patch(path, json={"title": "Why, oh why?"})).json()
    assert edited["title"] == "Why, oh why?"
    assert edited["edited_at"]
    assert edited["views_count"] == 2
    assert (await cast.bob.client.patch(path, json={"title": "Mine now"})).status_code == 403
    same = await cast.ada.client.patch(path, json={"title": "Why, oh why?", "forum": cast.forum})
    assert same.status_code == 200
    assert await kinds(forum) == ["forum_created", "discussion_started", "discussion_changed"]


async def test_a_lost_update_is_a_412_and_an_unchanged_discussion_a_304(cast: Cast):
    made = await started(cast.ada, cast)
    path = f"{DISCUSSIONS}{made['uuid']}/"
    tag = (await cast.ada.client.get(path)).headers["etag"]
    assert (await cast.ada.client.get(path, headers={"If-None-Match": tag})).status_code == 304
    assert (await cast.ada.client.patch(path, json={"title": "Second"})).status_code == 200
    stale = await cast.ada.client.patch(path, json={"title": "Third"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    await replied(cast.bob, made)
    assert (await cast.ada.client.get(path, headers={"If-None-Match": tag})).status_code == 200


async def test_staff_and_instructors_pin_lock_and_unlock(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast)
    assert (await act(cast.teacher, made, "pin")).json()["is_pinned"] is True
    assert (await act(cast.teacher, made, "pin", is_pinned=True)).json()["is_pinned"] is True
    assert (await act(cast.moderator, made, "pin")).json()["is_pinned"] is False
    assert (await act(cast.manager, made, "lock")).json()["is_locked"] is True
    refused = await cast.bob.client.post(REPLIES, json={"discussion": made["uuid"], "content": "too late"})
    assert (refused.status_code, refused.json()["code"]) == (409, "discussion_locked")
    await replied(cast.teacher, made, "the last word")
    assert (await act(cast.teacher, made, "lock", is_locked=False)).json()["is_locked"] is False
    for action in ("pin", "lock"):
        assert (await act(cast.ada, made, action)).status_code == 403
        assert (await act(cast.eve, made, action)).status_code == 404
    assert await kinds(forum) == [
        "forum_created", "discussion_started", "discussion_pinned", "discussion_unpinned",
        "discussion_locked", "reply_posted", "discussion_unlocked",
    ]  # fmt: skip


async def test_the_author_and_moderators_resolve(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast)
    assert (await act(cast.bob, made, "resolve")).status_code == 403
    assert (await act(cast.ada, made, "resolve")).json()["is_resolved"] is True
    assert (await act(cast.teacher, made, "resolve")).json()["is_resolved"] is False
    assert (await kinds(forum))[2:] == ["discussion_resolved", "discussion_reopened"]


async def test_following_is_personal_and_no_event(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast)
    assert (await act(cast.bob, made, "follow")).json()["is_following"] is True
    assert (await act(cast.bob, made, "follow", is_following=True)).json()["is_following"] is True
    assert (await act(cast.ada, made, "follow", is_following=False)).json()["is_following"] is False
    assert (await act(cast.bob, made, "follow")).json()["is_following"] is False
    assert await kinds(forum) == ["forum_created", "discussion_started"]


async def test_a_discussion_is_deleted_by_its_author_or_a_moderator(forum: Harness, cast: Cast):
    for person, status in ((cast.bob, 403), (cast.eve, 404), (cast.ada, 200), (cast.ada, 404)):
        if status == 403:
            made = await started(cast.ada, cast)
            path = f"{DISCUSSIONS}{made['uuid']}/"
        answer = await person.client.delete(path)
        assert answer.status_code == status
        assert answer.json()
    assert (await cast.ada.client.get(DISCUSSIONS)).json()["count"] == 0
    assert (await cast.ada.client.get(f"{FORUMS}{cast.forum}/")).json()["discussions_count"] == 0
    other = await started(cast.ada, cast)
    assert (await cast.teacher.client.delete(f"{DISCUSSIONS}{other['uuid']}/")).json() == {"deleted": True}


async def test_announcements_come_from_those_who_moderate(cast: Cast):
    body = {"forum": cast.forum, "title": "News", "content": "x", "discussion_type": "announcement"}
    assert (await cast.ada.client.post(DISCUSSIONS, json=body)).status_code == 403
    assert (await cast.teacher.client.post(DISCUSSIONS, json=body)).status_code == 201
    made = await started(cast.ada, cast)
    change = {"discussion_type": "announcement"}
    assert (await cast.ada.client.patch(f"{DISCUSSIONS}{made['uuid']}/", json=change)).status_code == 403


async def test_a_discussion_moves_between_forums_that_one_moderates(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast)
    await forum.deliver(course_state(uuid4(), cast.rival.uuid, "Elsewhere"))
    other = (await cast.rival.client.get(f"{FORUMS}?search=elsewhere")).json()["results"][0]["uuid"]
    assert (await act(cast.ada, made, "move", forum=other)).status_code == 403
    assert (await act(cast.teacher, made, "move", forum=other)).status_code == 404
    moved = (await act(cast.moderator, made, "move", forum=other)).json()
    assert (moved["forum"], moved["course_title"]) == (other, "Elsewhere")
    assert (await cast.ada.client.get(f"{DISCUSSIONS}{made['uuid']}/")).status_code == 404


async def test_outsiders_find_nothing_of_a_course(cast: Cast):
    made = await started(cast.ada, cast)
    path = f"{DISCUSSIONS}{made['uuid']}/"
    for outsider in (cast.eve, cast.rival):
        get, post = outsider.client.get, outsider.client.post
        assert (await get(path)).status_code == 404
        assert (await get(f"{FORUMS}{cast.forum}/")).status_code == 404
        assert (await get(f"{DISCUSSIONS}?forum={cast.forum}")).status_code == 404
        assert (await get(DISCUSSIONS)).json()["count"] == 0
        assert (await get(f"{DISCUSSIONS}?course={cast.course}")).json()["count"] == 0
        assert (await get(FORUMS)).json()["count"] == 0
        assert (await outsider.client.patch(path, json={"title": "Mine now"})).status_code == 404
        assert (await outsider.client.delete(path)).status_code == 404
        for action in ("pin", "lock", "resolve", "follow", "flag"):
            assert (await act(outsider, made, action)).status_code == 404
        body = {"forum": cast.forum, "title": "Let me in", "content": "please"}
        assert (await post(DISCUSSIONS, json=body)).status_code == 404
    for insider in (cast.bob, cast.teacher, cast.moderator, cast.manager):
        assert (await insider.client.get(path)).status_code == 200
        assert (await insider.client.get(DISCUSSIONS)).json()["count"] == 1


async def test_nobody_reads_without_a_token(forum: Harness, cast: Cast):
    for path in (FORUMS, DISCUSSIONS, f"{FORUMS}{cast.forum}/"):
        assert (await forum.client().get(path)).status_code == 401


async def test_who_drops_out_loses_the_forum(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast)
    dropped = enrollment_state(cast.course, cast.ada.uuid, "dropped", uuid=cast.enrollment.uuid)
    await forum.deliver(dropped)
    assert (await cast.ada.client.get(f"{DISCUSSIONS}{made['uuid']}/")).status_code == 404


async def test_platform_forums_are_made_by_managers_for_all(forum: Harness, cast: Cast):
    body = {"title": "Café", "description": "Everything else"}
    assert (await cast.teacher.client.post(FORUMS, json=body)).status_code == 403
    made = (await cast.manager.client.post(FORUMS, json=body)).json()
    assert (made["course"], made["discussions_count"]) == (None, 0)
    discussion = await started(cast.eve, cast, forum=made["uuid"])
    assert (await cast.ada.client.get(f"{DISCUSSIONS}{discussion['uuid']}/")).status_code == 200
    assert (await act(cast.teacher, discussion, "pin")).status_code == 403
    assert (await cast.ada.client.get(FORUMS)).json()["count"] == 2
    assert (await kinds(forum))[1] == "forum_created"


async def test_lists_are_filtered_searched_and_ordered(cast: Cast):
    first = await started(cast.ada, cast, title="100% sure", content="of_it")
    second = await started(cast.bob, cast, title="Second", discussion_type="discussion")
    third = await started(cast.bob, cast, title="Third", discussion_type="discussion")
    await act(cast.teacher, first, "pin")
    await act(cast.ada, first, "resolve")
    await replied(cast.ada, second)
    for query, titles in (
        ("", ["100% sure", "Third", "Second"]), ("search=100%25", ["100% sure"]), ("search=1__%25", []),
        ("search=OF_IT", ["100% sure"]), ("discussion_type=question", ["100% sure"]),
        ("is_resolved=true", ["100% sure"]), ("is_resolved=false", ["Third", "Second"]),
        ("ordering=created_at", ["100% sure", "Second", "Third"]), ("author=me", ["100% sure"]),
        ("ordering=-replies_count&page_size=1", ["Second"]),
        (f"author={cast.bob.uuid}&page_size=1", ["Third"]),
        (f"forum={cast.forum}&course={cast.course}&unknown=x&page_size=1", ["100% sure"]),
    ):  # fmt: skip
        page = (await cast.ada.client.get(f"{DISCUSSIONS}?{query}")).json()
        assert [row["title"] for row in page["results"]] == titles, query
    listed = (await cast.ada.client.get(f"{DISCUSSIONS}?search=second")).json()["results"][0]
    assert (listed["replies_count"], listed["latest_reply"]["author_name"]) == (1, "Ada Lovelace")
    assert third["latest_reply"] is None
    for query in (
        "discussion_type=rant", "is_resolved=perhaps", "ordering=title", "forum=x", "course=x", "cursor=x",
        "page=0", "cursor=WzEsMl0",
    ):  # fmt: skip
        answer = await cast.ada.client.get(f"{DISCUSSIONS}?{query}")
        assert answer.status_code == 400, query
    named = (await cast.ada.client.get(f"{DISCUSSIONS}?discussion_type=rant")).json()
    assert "question, discussion, announcement" in named["detail"]
    assert (await cast.ada.client.get(f"{DISCUSSIONS}?forum={uuid4()}")).status_code == 404


@pytest.mark.parametrize("ordering", ["", "created_at", "-created_at", "-replies_count", "views_count"])
async def test_a_cursor_walks_through_everything_once(cast: Cast, ordering: str):
    made = [(await started(cast.ada, cast, title=f"Number {n}"))["uuid"] for n in range(5)]
    await act(cast.teacher, {"uuid": made[2]}, "pin")
    url, seen = f"{DISCUSSIONS}?page_size=2&ordering={ordering}", []
    while url:
        page = (await cast.bob.client.get(url.replace("http://127.0.0.1:8000", ""))).json()
        assert page["count"] == 5
        seen += [row["uuid"] for row in page["results"]]
        url = page["next"]
    assert sorted(seen) == sorted(made)
    if not ordering:
        assert seen[0] == made[2]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": "x"}, "title"), ({"title": 5}, "title"), ({"content": ""}, "content"),
        ({"content": "a\0b"}, "content"), ({"discussion_type": "rant"}, "discussion_type"),
        ({"forum": "x"}, "forum"), ({"is_pinned": True}, "is_pinned"), ({"author": "x"}, "author"),
        ({"content": "x" * 20_001}, "content"), ({"views_count": 9}, "views_count"),
    ],
)  # fmt: skip
async def test_bad_input_is_a_422_that_names_the_field(forum: Harness, cast: Cast, change: dict, field: str):
    body = {"forum": cast.forum, "title": "Title", "content": "x"} | change
    answer = await cast.ada.client.post(DISCUSSIONS, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert await kinds(forum) == ["forum_created"]


async def test_malformed_json_and_unknown_ids_write_nothing(forum: Harness, cast: Cast):
    made = await started(cast.ada, cast)
    broken = await cast.ada.client.post(
        DISCUSSIONS, content="{", headers={"Content-Type": "application/json"}
    )
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_json")
    for uuid in (uuid4(), "x", "0"):
        assert (await cast.ada.client.get(f"{DISCUSSIONS}{uuid}/")).status_code == 404
        assert (await cast.ada.client.get(f"{FORUMS}{uuid}/")).status_code == 404
        assert (await cast.ada.client.patch(f"{DISCUSSIONS}{uuid}/", json={})).status_code == 404
    body = {"forum": str(uuid4()), "title": "Nowhere", "content": "x"}
    assert (await cast.ada.client.post(DISCUSSIONS, json=body)).status_code == 404
    path = f"{DISCUSSIONS}{made['uuid']}/"
    for change in ({"title": None}, {"forum": str(uuid4())}, {"is_pinned": True}, {"title": "x"}):
        assert (await cast.ada.client.patch(path, json=change)).status_code == 422
    assert (await act(cast.teacher, made, "pin", is_pinned="maybe")).status_code == 422
    assert await kinds(forum) == ["forum_created", "discussion_started"]


async def test_the_same_idempotency_key_starts_one_discussion(forum: Harness, cast: Cast):
    body = {"forum": cast.forum, "title": "Once", "content": "x"}
    headers = {"Idempotency-Key": "k1"}
    first = await cast.ada.client.post(DISCUSSIONS, json=body, headers=headers)
    again = await cast.ada.client.post(DISCUSSIONS, json=body, headers=headers)
    assert again.json() == first.json()
    other = await cast.ada.client.post(DISCUSSIONS, json=body | {"title": "Twice"}, headers=headers)
    assert other.status_code == 422
    assert (await cast.ada.client.get(DISCUSSIONS)).json()["count"] == 1


async def test_parallel_views_are_all_counted(cast: Cast):
    made = await started(cast.ada, cast)
    path = f"{DISCUSSIONS}{made['uuid']}/"
    await asyncio.gather(*(cast.bob.client.get(path) for _ in range(20)))
    assert (await cast.bob.client.get(path)).json()["views_count"] == 21


@pytest.mark.promise("injection")
async def test_text_is_answered_as_written_and_rendered_sanitised(forum: Harness, cast: Cast):
    content = "**bold** <script>alert(1)</script><img src=x onerror=alert(1)>"
    made = await started(cast.ada, cast, content=content, title="<script>alert(1)</script>Title")
    await replied(cast.bob, made, content)
    replies = f"{REPLIES}?discussion={made['uuid']}"
    one = (await cast.teacher.client.get(f"{DISCUSSIONS}{made['uuid']}/")).json()
    listed = [(await cast.teacher.client.get(path)).json()["results"][0] for path in (DISCUSSIONS, replies)]
    for served in (made, one, *listed):
        assert served["content"] == content
        assert "<strong>bold</strong>" in served["content_html"]
        assert "<script" not in served["content_html"]
        assert "onerror" not in served["content_html"]
    assert one["title"] == "<script>alert(1)</script>Title"


async def test_a_course_that_is_renamed_renames_its_forum_and_one_that_goes_closes_it(
    forum: Harness, cast: Cast
):
    await forum.deliver(course_state(cast.course, cast.teacher.uuid, "Light"))
    assert (await cast.ada.client.get(f"{FORUMS}{cast.forum}/")).json()["title"] == "Light"
    await forum.deliver(user_state(cast.ada.uuid, "Augusta"))
    made = await started(cast.ada, cast)
    assert made["author_name"] == "Augusta Lovelace"
    async with forum.db.session() as session:
        await session.execute(text("DELETE FROM courses"))
    assert (await cast.ada.client.get(f"{DISCUSSIONS}{made['uuid']}/")).status_code == 404
    assert (await cast.moderator.client.get(f"{DISCUSSIONS}{made['uuid']}/")).status_code == 200
