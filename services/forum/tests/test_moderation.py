"""Reports, the queue, and what moderators decide."""

from uuid import uuid4

from sqlalchemy import text

from libs.common.testing.harness import Harness
from services.forum.tests.conftest import DISCUSSIONS, MODERATION, REPLIES, Cast, kinds, replied, started


async def test_a_report_waits_in_the_queue_until_somebody_decides(forum: Harness, cast: Cast):
    discussion = await started(cast.ada, cast)
    reply = await replied(cast.bob, discussion, "rude")
    flag = f"{REPLIES}{reply['uuid']}/flag/"
    for _ in range(2):
        assert (await cast.ada.client.post(flag, json={"reason": "rude"})).json() == {"flagged": True}
    await cast.teacher.client.post(flag)
    await cast.bob.client.post(f"{DISCUSSIONS}{discussion['uuid']}/flag/")
    queue = (await cast.moderator.client.get(MODERATION)).json()
    assert [item["kind"] for item in queue["results"]] == ["reply", "discussion"]
    assert [each["reporter"]["full_name"] for each in queue["results"][0]["flags"]] == [
        "Ada Lovelace", "Teacher Lovelace",
    ]  # fmt: skip
    decide = f"{MODERATION}{reply['uuid']}/resolve/"
    decided = (await cast.moderator.client.post(decide, json={"action": "delete", "reason": "rude"})).json()
    assert decided["is_deleted"] is True
    dismiss = f"{MODERATION}{discussion['uuid']}/resolve/"
    assert (await cast.teacher.client.post(dismiss, json={"action": "dismiss"})).status_code == 200
    assert (await cast.moderator.client.get(MODERATION)).json()["count"] == 0
    assert (await cast.moderator.client.get(f"{MODERATION}?is_resolved=true")).json()["count"] == 2
    assert (await cast.ada.client.get(f"{REPLIES}{reply['uuid']}/")).status_code == 404
    restored = (await cast.moderator.client.post(f"{MODERATION}{reply['uuid']}/restore/")).json()
    assert restored["is_deleted"] is False
    seen = (await cast.ada.client.get(f"{DISCUSSIONS}{discussion['uuid']}/")).json()
    assert seen["replies_count"] == 1
    async with forum.db.session() as session:
        acts = (await session.execute(text("SELECT action, reason FROM moderation_acts ORDER BY id"))).all()
        entries = await session.execute(
            text(
                "SELECT action, reason FROM audit_entries WHERE target IN (:reply, :discussion) ORDER BY id"
            ),
            {"reply": reply["uuid"], "discussion": discussion["uuid"]},
        )
    assert [tuple(act) for act in acts] == [("delete", "rude"), ("dismiss", ""), ("restore", "")]
    assert [tuple(entry) for entry in entries] == [(f"post_{action}", reason) for action, reason in acts]
    assert (await kinds(forum))[3:] == ["reply_changed", "reply_changed"]


async def test_a_deleted_discussion_is_restored(cast: Cast):
    discussion = await started(cast.ada, cast)
    path = f"{DISCUSSIONS}{discussion['uuid']}/"
    await cast.ada.client.delete(path)
    assert (await cast.teacher.client.post(f"{MODERATION}{discussion['uuid']}/restore/")).status_code == 200
    assert (await cast.ada.client.get(path)).status_code == 200


async def test_moderation_is_for_those_who_moderate(cast: Cast):
    discussion = await started(cast.ada, cast)
    await cast.bob.client.post(f"{DISCUSSIONS}{discussion['uuid']}/flag/")
    decide = f"{MODERATION}{discussion['uuid']}/resolve/"
    assert (await cast.ada.client.get(MODERATION)).status_code == 403
    assert (await cast.ada.client.post(decide, json={"action": "delete"})).status_code == 403
    assert (await cast.rival.client.get(MODERATION)).json()["count"] == 0
    assert (await cast.rival.client.post(decide, json={"action": "delete"})).status_code == 404
    assert (await cast.teacher.client.get(f"{MODERATION}?course={cast.course}")).json()["count"] == 1
    assert (await cast.teacher.client.post(decide, json={"action": "burn"})).status_code == 422
    for action in ("resolve", "restore"):
        answer = await cast.manager.client.post(
            f"{MODERATION}{uuid4()}/{action}/", json={"action": "delete"} if action == "resolve" else None
        )
        assert answer.status_code == 404
