"""Replies: threads, upvotes, solutions, mentions, and what races may not break."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.events.forum import DiscussionState
from libs.common.testing.harness import Harness, Person
from services.forum.replies.queries import MOST_DEPTH
from services.forum.tests.conftest import (
    DISCUSSIONS,
    REPLIES,
    Cast,
    enrollment_state,
    kinds,
    replied,
    started,
)


async def act(person: Person, reply: dict, action: str, **body: Any):
    return await person.client.post(f"{REPLIES}{reply['uuid']}/{action}/", json=body or None)


async def listed(person: Person, discussion: dict, query: str = "") -> Any:
    return (await person.client.get(f"{REPLIES}?discussion={discussion['uuid']}{query}")).json()


async def versions_are_contiguous(forum: Harness) -> bool:
    seqs: dict[str, list[int]] = {}
    for kind, key, seq in await forum.published():
        if kind == DiscussionState.type:
            continue  # on a topic of its own, with the same versions
        seqs.setdefault(key, []).append(seq)
    return all(found == list(range(1, len(found) + 1)) for found in seqs.values())


async def test_replies_nest_as_deep_as_they_are_written(cast: Cast):
    discussion = await started(cast.ada, cast)
    top = await replied(cast.teacher, discussion, "one")
    assert top["is_instructor_reply"] is True
    assert top["author_role"] == "teacher"
    inner = await replied(cast.bob, discussion, "one.one", parent=top["uuid"])
    assert (inner["parent"], inner["is_instructor_reply"]) == (top["uuid"], False)
    await replied(cast.ada, discussion, "one.one.one", parent=inner["uuid"])
    await replied(cast.ada, discussion, "one.two", parent=top["uuid"])
    await replied(cast.ada, discussion, "two")
    page = await listed(cast.bob, discussion)
    assert page["count"] == 2
    one, two = page["results"]
    assert (one["content"], two["content"]) == ("one", "two")
    assert [child["content"] for child in one["children"]] == ["one.one", "one.two"]
    assert one["children"][0]["children"][0]["content"] == "one.one.one"
    below = (await cast.bob.client.get(f"{REPLIES}?parent={top['uuid']}")).json()
    assert [row["content"] for row in below["results"]] == ["one.one", "one.two"]
    seen = (await cast.bob.client.get(f"{DISCUSSIONS}{discussion['uuid']}/")).json()
    assert (seen["replies_count"], seen["latest_reply"]["content"]) == (5, "two")


async def test_a_chain_that_is_too_deep_is_read_beside_itself(cast: Cast):
    discussion = await started(cast.ada, cast)
    parent: dict[str, Any] = {}
    for _ in range(MOST_DEPTH + 5):
        parent = {"parent": (await replied(cast.ada, discussion, "deeper", **parent))["uuid"]}
    node, depth, found = (await listed(cast.bob, discussion))["results"][0], 0, 1
    while node["children"]:
        found += len(node["children"])
        node, depth = node["children"][0], depth + 1
    assert (depth, found) == (MOST_DEPTH, MOST_DEPTH + 5)


async def test_replies_are_edited_and_deleted_by_their_authors(forum: Harness, cast: Cast):
    discussion = await started(cast.ada, cast)
    reply = await replied(cast.bob, discussion)
    path = f"{REPLIES}{reply['uuid']}/"
    assert (await cast.ada.client.patch(path, json={"content": "mine"})).status_code == 403
    assert (await cast.teacher.client.patch(path, json={"content": "mine"})).status_code == 403
    edited = (await cast.bob.client.patch(path, json={"content": "better"})).json()
    assert (edited["content"], bool(edited["edited_at"])) == ("better", True)
    assert (await cast.ada.client.delete(path)).status_code == 403
    child = await replied(cast.ada, discussion, "thanks", parent=reply["uuid"])
    assert (await cast.bob.client.delete(path)).json() == {"deleted": True}
    assert (await cast.bob.client.delete(path)).status_code == 404
    left = (await listed(cast.ada, discussion))["results"]
    assert (left[0]["content"], left[0]["is_deleted"]) == ("", True)
    assert left[0]["children"][0]["content"] == "thanks"
    assert (await cast.teacher.client.delete(f"{REPLIES}{child['uuid']}/")).status_code == 200
    seen = (await cast.ada.client.get(f"{DISCUSSIONS}{discussion['uuid']}/")).json()
    assert (seen["replies_count"], seen["latest_reply"]) == (0, None)
    late = {"discussion": discussion["uuid"], "content": "x", "parent": reply["uuid"]}
    assert (await cast.ada.client.post(REPLIES, json=late)).status_code == 409
    assert await versions_are_contiguous(forum)


async def test_an_upvote_is_given_once_and_taken_back(forum: Harness, cast: Cast):
    reply = await replied(cast.teacher, await started(cast.ada, cast))
    up = (await act(cast.bob, reply, "upvote")).json()
    assert (up["uuid"], up["upvotes"], up["has_upvoted"]) == (reply["uuid"], 1, True)
    seen = (await cast.ada.client.get(f"{REPLIES}{reply['uuid']}/")).json()
    assert (seen["upvotes"], seen["has_upvoted"]) == (1, False)
    assert (await act(cast.ada, reply, "upvote")).json()["upvotes"] == 2
    down = (await act(cast.bob, reply, "upvote")).json()
    assert (down["upvotes"], down["has_upvoted"]) == (1, False)
    own = await act(cast.teacher, reply, "upvote")
    assert (own.status_code, own.json()["code"]) == (403, "own_reply")
    assert (await kinds(forum))[3:] == ["reply_upvoted", "reply_upvoted", "reply_upvote_withdrawn"]


async def test_parallel_upvotes_are_counted_exactly(forum: Harness, cast: Cast):
    reply = await replied(cast.teacher, await started(cast.ada, cast))
    crowd = [forum.person() for _ in range(20)]
    await forum.deliver(*(enrollment_state(cast.course, person.uuid) for person in crowd))
    answers = await asyncio.gather(*(act(person, reply, "upvote") for person in crowd))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["upvotes"] for answer in answers) == list(range(1, 21))
    await asyncio.gather(*(act(crowd[0], reply, "upvote") for _ in range(9)), act(cast.bob, reply, "upvote"))
    assert (await cast.ada.client.get(f"{REPLIES}{reply['uuid']}/")).json()["upvotes"] == 20
    async with forum.db.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM upvotes")) == 20
    assert await versions_are_contiguous(forum)


async def test_a_solution_is_marked_replaced_and_undone(forum: Harness, cast: Cast):
    discussion = await started(cast.ada, cast)
    first, second = await replied(cast.bob, discussion, "a"), await replied(cast.teacher, discussion, "b")
    path = f"{DISCUSSIONS}{discussion['uuid']}/"
    assert (await act(cast.bob, first, "mark-solution")).status_code == 403
    assert (await act(cast.eve, first, "mark-solution")).status_code == 404
    assert (await act(cast.ada, first, "mark-solution")).json()["is_solution"] is True
    assert (await cast.ada.client.get(path)).json()["is_resolved"] is True
    assert (await act(cast.teacher, second, "mark-solution")).json()["is_solution"] is True
    seen = (await cast.ada.client.get(path)).json()
    assert (seen["solution"], seen["is_resolved"]) == (second["uuid"], True)
    assert [row["is_solution"] for row in (await listed(cast.ada, discussion))["results"]] == [False, True]
    assert (await act(cast.moderator, second, "mark-solution")).json()["is_solution"] is False
    seen = (await cast.ada.client.get(path)).json()
    assert (seen["solution"], seen["is_resolved"]) == (None, False)
    assert (await kinds(forum))[4:] == [
        "solution_marked", "discussion_resolved", "solution_unmarked", "solution_marked",
        "solution_unmarked", "discussion_reopened",
    ]  # fmt: skip
    assert await versions_are_contiguous(forum)


async def test_parallel_marks_leave_one_solution(forum: Harness, cast: Cast):
    discussion = await started(cast.ada, cast)
    replies = [await replied(cast.bob, discussion, str(n)) for n in range(6)]
    answers = await asyncio.gather(*(act(cast.ada, reply, "mark-solution") for reply in replies))
    assert {answer.status_code for answer in answers} == {200}
    marked = [row for row in (await listed(cast.ada, discussion))["results"] if row["is_solution"]]
    assert len(marked) == 1
    assert await versions_are_contiguous(forum)


async def test_deleting_the_solution_reopens_the_discussion(forum: Harness, cast: Cast):
    discussion = await started(cast.ada, cast)
    reply = await replied(cast.bob, discussion)
    await act(cast.ada, reply, "mark-solution")
    await cast.bob.client.delete(f"{REPLIES}{reply['uuid']}/")
    seen = (await cast.ada.client.get(f"{DISCUSSIONS}{discussion['uuid']}/")).json()
    assert (seen["is_resolved"], seen["solution"], seen["replies_count"]) == (False, None, 0)
    assert await versions_are_contiguous(forum)


async def test_parallel_replies_are_numbered_without_gaps(forum: Harness, cast: Cast):
    discussion = await started(cast.ada, cast)
    made = await asyncio.gather(*(replied(cast.bob, discussion, str(n)) for n in range(15)))
    assert sorted(reply["seq"] for reply in made) == list(range(1, 16))
    deletions = (cast.bob.client.delete(f"{REPLIES}{reply['uuid']}/") for reply in made[:5])
    await asyncio.gather(*deletions, *(replied(cast.ada, discussion, "more") for _ in range(5)))
    seen = (await cast.ada.client.get(f"{DISCUSSIONS}{discussion['uuid']}/")).json()
    assert seen["replies_count"] == 15


async def test_mentions_are_people_of_the_course(forum: Harness, cast: Cast):
    text_ = "@bob_lovelace, @Teacher and @ada (that is me): not @eve, @rival or @nobody."
    discussion = await started(cast.ada, cast, content=text_)
    await replied(cast.bob, discussion, "Yes, @ada.lovelace?")
    events = await facts(forum)
    by_kind = {"started": events[1], "posted": events[2]}
    assert set(by_kind["started"]["mentions"]) == {str(cast.bob.uuid), str(cast.teacher.uuid)}
    assert by_kind["posted"]["mentions"] == [str(cast.ada.uuid)]
    assert by_kind["posted"]["discussion_author"] == str(cast.ada.uuid)
    assert text_ not in json.dumps(events)


QUOTING = [
    "`@bob`",
    "```\n@bob\n```",
    "~~~py\n@bob\ndef f(): ...\n~~~",
    "    @bob()",
    "> @bob said so",
    "> - so said @bob\nand more",
    "<code>@bob</code>",
    "<blockquote>\n@bob\n</blockquote>",
    "<q>@bob</q>",
    "bob@bob.example",
    "<bob@bob.example>",
]


@pytest.mark.parametrize("content", QUOTING)
async def test_names_in_code_and_quotations_call_nobody(forum: Harness, cast: Cast, content: str):
    discussion = await started(cast.ada, cast, content=f"See:\n\n{content}\n\nwhat @teacher said.")
    await replied(cast.ada, discussion, f"Again:\n\n{content}\n\n@teacher")
    for event in await facts(forum):
        assert event.get("mentions", [str(cast.teacher.uuid)]) == [str(cast.teacher.uuid)]


async def test_an_edit_calls_those_whom_it_adds(forum: Harness, cast: Cast):
    discussion = await started(cast.ada, cast, content="@teacher, look.")
    reply = await replied(cast.ada, discussion, "And `@bob`.")
    path = f"{DISCUSSIONS}{discussion['uuid']}/"
    assert (await cast.ada.client.patch(path, json={"content": "@teacher and @bob, look."})).is_success
    assert (await cast.ada.client.patch(path, json={"title": "Another title"})).is_success
    assert (await cast.ada.client.patch(path, json={"content": "@bob, look."})).is_success
    path = f"{REPLIES}{reply['uuid']}/"
    assert (await cast.ada.client.patch(path, json={"content": "And @bob."})).is_success
    assert (await cast.ada.client.patch(path, json={"content": "And @bob!"})).is_success
    bob, teacher = str(cast.bob.uuid), str(cast.teacher.uuid)
    mentions = [event["mentions"] for event in await facts(forum) if "mentions" in event]
    assert mentions == [[teacher], [], [bob], [], [], [bob], []]


async def facts(forum: Harness) -> list[dict[str, Any]]:
    async with forum.db.session() as session:
        query = "SELECT convert_from(payload, 'UTF8') FROM outbox WHERE topic = 'forum.events' ORDER BY seq"
        rows = await session.scalars(text(query))
        return [json.loads(row) for row in rows]


async def test_outsiders_find_no_reply(cast: Cast):
    discussion = await started(cast.ada, cast)
    reply = await replied(cast.bob, discussion)
    path = f"{REPLIES}{reply['uuid']}/"
    for outsider in (cast.eve, cast.rival):
        assert (await outsider.client.get(path)).status_code == 404
        assert (await outsider.client.get(f"{REPLIES}?discussion={discussion['uuid']}")).status_code == 404
        assert (await outsider.client.get(f"{REPLIES}?parent={reply['uuid']}")).status_code == 404
        assert (await outsider.client.patch(path, json={"content": "x"})).status_code == 404
        assert (await outsider.client.delete(path)).status_code == 404
        for action in ("upvote", "mark-solution", "flag"):
            assert (await act(outsider, reply, action)).status_code == 404
        body = {"discussion": discussion["uuid"], "content": "let me in"}
        assert (await outsider.client.post(REPLIES, json=body)).status_code == 404


async def test_bad_input_writes_nothing(forum: Harness, cast: Cast):
    discussion, other = await started(cast.ada, cast), await started(cast.ada, cast)
    elsewhere = await replied(cast.ada, other)
    before = len(await forum.published())
    good = {"discussion": discussion["uuid"], "content": "x"}
    for change, status in (
        ({"content": " "}, 422), ({"content": 1}, 422), ({"discussion": "x"}, 422), ({"upvotes": 3}, 422),
        ({"discussion": str(uuid4())}, 404), ({"parent": str(uuid4())}, 422), ({"content": "a\0"}, 422),
        ({"parent": elsewhere["uuid"]}, 422), ({"is_solution": True}, 422),
    ):  # fmt: skip
        answer = await cast.ada.client.post(REPLIES, json=good | change)
        assert answer.status_code == status, change
        assert answer.json()["detail"]
    for query in ("", "discussion=x", "parent=x", f"discussion={discussion['uuid']}&ordering=best"):
        assert (await cast.ada.client.get(f"{REPLIES}?{query}")).status_code == 400
    for uuid in (uuid4(), "x"):
        assert (await act(cast.ada, {"uuid": uuid}, "upvote")).status_code == 404
        assert (await cast.ada.client.get(f"{REPLIES}?discussion={uuid4()}")).status_code == 404
    assert len(await forum.published()) == before


@pytest.mark.parametrize("ordering", ["", "-created_at", "upvotes", "-upvotes"])
async def test_replies_are_ordered_and_walked_through_by_cursor(cast: Cast, ordering: str):
    discussion = await started(cast.ada, cast)
    made = [(await replied(cast.bob, discussion, str(n)))["uuid"] for n in range(5)]
    await act(cast.ada, {"uuid": made[1]}, "upvote")
    url, seen = f"{REPLIES}?discussion={discussion['uuid']}&page_size=2&ordering={ordering}", []
    while url:
        page = (await cast.bob.client.get(url.replace("http://127.0.0.1:8000", ""))).json()
        seen += [row["uuid"] for row in page["results"]]
        url = page["next"]
    expected = {
        "": made, "-created_at": made[::-1], "upvotes": [made[0], *made[2:], made[1]],
        "-upvotes": [made[1], *made[:1:-1], made[0]],
    }[ordering]  # fmt: skip
    assert seen == expected
