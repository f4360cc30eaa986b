"""Who stands how in a forum: teachers who are none any more, locked discussions, people who have left."""

from typing import Any

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Harness, Person
from services.forum.tests.conftest import (
    DISCUSSIONS,
    MODERATION,
    REPLIES,
    Cast,
    enrollment_state,
    replied,
    started,
    user_state,
)


@pytest.mark.promise("object access")
async def test_a_teacher_who_is_demoted_may_do_nothing_of_a_teacher(forum: Harness, cast: Cast):
    """The course's instructors still name them; their token says student."""
    discussion = await started(cast.ada, cast)
    reply = await replied(cast.bob, discussion)
    demoted = forum.person("student", cast.teacher.uuid)
    await forum.deliver(user_state(demoted.uuid, "Teacher", "student"))
    path = f"{DISCUSSIONS}{discussion['uuid']}/"
    for action in ("pin", "lock", "resolve", "move", "follow", "flag"):
        answer = await demoted.client.post(
            f"{path}{action}/", json={"forum": cast.forum, "reason": "Because."}
        )
        assert answer.status_code in (404, 422), (action, answer.text)
    assert (await demoted.client.delete(path)).status_code == 404
    assert (await demoted.client.get(path)).status_code == 404
    assert (await demoted.client.delete(f"{REPLIES}{reply['uuid']}/")).status_code == 404
    assert (await demoted.client.post(f"{REPLIES}{reply['uuid']}/mark-solution/")).status_code == 404
    body = {"forum": cast.forum, "title": "Hear ye", "content": "x" * 20, "discussion_type": "announcement"}
    assert (await demoted.client.post(DISCUSSIONS, json=body)).status_code == 404
    assert (await demoted.client.get(f"{DISCUSSIONS}?forum={cast.forum}")).json().get("count", 0) == 0
    await cast.bob.client.post(f"{path}flag/", json={"reason": "Spam."})
    assert (await demoted.client.get(MODERATION)).json().get("count", 0) == 0


async def in_locked(cast: Cast) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    discussion = await started(cast.ada, cast)
    own = await replied(cast.ada, discussion, "mine")
    other = await replied(cast.bob, discussion, "theirs")
    locked = await cast.teacher.client.post(f"{DISCUSSIONS}{discussion['uuid']}/lock/")
    assert locked.json()["is_locked"] is True
    return discussion, own, other


async def everything(person: Person, discussion: Any, own: Any, other: Any) -> dict[str, int]:
    client, at, mine, theirs = (
        person.client,
        f"{DISCUSSIONS}{discussion['uuid']}/",
        f"{REPLIES}{own['uuid']}/",
        f"{REPLIES}{other['uuid']}/",
    )
    answers = {
        "reply": await client.post(REPLIES, json={"discussion": discussion["uuid"], "content": "x"}),
        "edit": await client.patch(at, json={"title": "Another title"}),
        "edit reply": await client.patch(mine, json={"content": "Other words"}),
        "upvote": await client.post(f"{theirs}upvote/"),
        "solution": await client.post(f"{theirs}mark-solution/"),
        "resolve": await client.post(f"{at}resolve/"),
        "delete reply": await client.delete(mine),
        "delete": await client.delete(at),
    }
    return {name: answer.status_code for name, answer in answers.items()}


async def test_a_locked_discussion_takes_nothing_from_its_author(cast: Cast):
    discussion, own, other = await in_locked(cast)
    answers = await everything(cast.ada, discussion, own, other)
    assert set(answers.values()) == {409}, answers
    flagged = await cast.ada.client.post(f"{REPLIES}{other['uuid']}/flag/", json={"reason": "Rude words."})
    assert flagged.status_code in (200, 201)
    still = (await cast.bob.client.get(f"{DISCUSSIONS}{discussion['uuid']}/")).json()
    assert (still["title"], still["replies_count"], still["is_resolved"]) == (discussion["title"], 2, False)


async def test_a_locked_discussion_takes_all_from_the_staff(cast: Cast):
    discussion, own, other = await in_locked(cast)
    for answer in (
        await cast.teacher.client.post(f"{REPLIES}{other['uuid']}/mark-solution/"),
        await cast.moderator.client.post(f"{DISCUSSIONS}{discussion['uuid']}/resolve/"),
        await cast.moderator.client.delete(f"{REPLIES}{own['uuid']}/"),
        await cast.teacher.client.delete(f"{DISCUSSIONS}{discussion['uuid']}/"),
    ):
        assert answer.status_code == 200, answer.text


async def readers(forum: Harness, kind: str) -> list[str]:
    async with forum.db.sessions() as session:
        payload = await session.scalar(
            text(
                "SELECT convert_from(payload, 'UTF8')::json -> 'readers' FROM outbox"
                " WHERE type = :k ORDER BY seq DESC LIMIT 1"
            ),
            {"k": f"forum.{kind}.v1"},
        )
    return sorted(payload)


async def test_who_has_left_the_course_is_neither_mentioned_nor_named_as_a_reader(forum: Harness, cast: Cast):
    discussion = await started(cast.ada, cast)
    first = await replied(cast.ada, discussion)
    await replied(cast.bob, discussion, "@Ada_Lovelace what do you think?", parent=first["uuid"])
    assert await readers(forum, "reply_posted") == [str(cast.ada.uuid)]
    left = enrollment_state(cast.course, cast.ada.uuid, "dropped", uuid=cast.enrollment.uuid)
    await forum.deliver(left)
    await replied(cast.bob, discussion, "@Ada_Lovelace are you there?", parent=first["uuid"])
    assert await readers(forum, "reply_posted") == []
    await cast.teacher.client.post(f"{REPLIES}{first['uuid']}/mark-solution/")
    assert await readers(forum, "solution_marked") == []
