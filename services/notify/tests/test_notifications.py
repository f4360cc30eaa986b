"""Notifications: made once per event and person, numbered without gaps, for their owner's eyes."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from libs.common.bus.inbox import apply_batch
from libs.common.events import forum, learning, quizzes, support
from libs.common.events.base import Event
from libs.common.testing.harness import Person, as_record
from services.notify.tests.conftest import Scene

PATH = "/api/core/notifications/"


def enrolled(scene: Scene, person: Person) -> Event:
    return learning.StudentEnrolled(enrollment=uuid4(), course=scene.course, student=person.uuid)


async def results(person: Person, query: str = "") -> list[dict]:
    answer = await person.client.get(PATH + query)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def test_an_enrolment_is_told_in_the_learners_language(scene: Scene):
    await scene.service.deliver(enrolled(scene, scene.ada), enrolled(scene, scene.eve))
    (one,) = await results(scene.ada)
    assert (one["notification_type"], one["type"]) == ("enrollment", "enrollment")
    assert "Algebra" in one["message"]
    assert one["id"] == one["uuid"]
    assert one["is_read"] is False
    (other,) = await results(scene.eve)
    assert other["title"] == "تم تسجيلك: Algebra"


async def test_a_revoked_certificate_is_told_to_its_learner(scene: Scene):
    revoked = learning.CertificateRevoked(
        certificate=uuid4(), number="CERT-2026-ABCDEF", enrollment=uuid4(), course=scene.course,
        student=scene.ada.uuid, actor=uuid4(),
    )  # fmt: skip
    await scene.service.deliver(revoked)
    (one,) = await results(scene.ada)
    assert (one["type"], "CERT-2026-ABCDEF" in one["message"]) == ("system", True)
    assert await results(scene.eve) == []


async def test_an_event_delivered_three_times_tells_once(scene: Scene):
    record = as_record(enrolled(scene, scene.ada), 1)
    for _ in range(3):
        await apply_batch(scene.service.db, scene.service.subscription, [record])
    await scene.service.run_tasks()
    assert len(await results(scene.ada)) == 1
    assert len(scene.mailbox.messages) == 1


async def test_numbers_have_no_gaps_when_batches_meet(scene: Scene):
    batches = [
        [as_record(enrolled(scene, person), 1) for person in (scene.ada, scene.eve) for _ in range(5)]
        for _ in range(6)
    ]
    await asyncio.gather(
        *(apply_batch(scene.service.db, scene.service.subscription, batch) for batch in batches)
    )
    async with scene.service.db.sessions() as session:
        found = await session.execute(
            text('SELECT "user", array_agg(seq ORDER BY seq) FROM notifications GROUP BY 1')
        )
        assert [seqs for _, seqs in found] == [list(range(1, 31))] * 2


async def test_unread_ones_are_counted_and_marked(scene: Scene):
    await scene.service.deliver(*(enrolled(scene, scene.ada) for _ in range(3)))
    client = scene.ada.client
    assert (await client.get(PATH + "unread-count/")).json() == {"unread_count": 3}
    first = (await results(scene.ada))[0]
    answer = await client.patch(f"{PATH}{first['uuid']}/", json={"is_read": True})
    assert answer.json()["is_read"] is True
    assert (await client.get(PATH + "unread-count/")).json() == {"unread_count": 2}
    assert len(await results(scene.ada, "?is_read=false")) == 2
    assert (await client.post(PATH + "mark-all-read/")).json() == {"unread_count": 0, "marked": 2}
    assert (await client.delete(f"{PATH}{first['uuid']}/")).status_code == 200
    assert len(await results(scene.ada)) == 2
    assert (await client.delete(f"{PATH}{first['uuid']}/")).status_code == 404


async def test_notifications_of_others_are_not_there(scene: Scene):
    await scene.service.deliver(enrolled(scene, scene.ada))
    uuid = (await results(scene.ada))[0]["uuid"]
    assert await results(scene.eve) == []
    assert (await scene.eve.client.patch(f"{PATH}{uuid}/", json={"is_read": True})).status_code == 404
    assert (await scene.eve.client.delete(f"{PATH}{uuid}/")).status_code == 404
    await scene.eve.client.post(PATH + "mark-all-read/")
    assert (await scene.ada.client.get(PATH + "unread-count/")).json() == {"unread_count": 1}
    assert (await scene.service.client().get(PATH)).status_code == 401


@pytest.mark.parametrize("body", [{}, {"is_read": "perhaps"}, {"is_read": True, "title": "x"}])
async def test_a_bad_change_is_a_422(scene: Scene, body: dict):
    await scene.service.deliver(enrolled(scene, scene.ada))
    uuid = (await results(scene.ada))[0]["uuid"]
    assert (await scene.ada.client.patch(f"{PATH}{uuid}/", json=body)).status_code == 422


async def test_filters_refuse_unknown_values(scene: Scene):
    answer = await scene.ada.client.get(PATH + "?notification_type=gossip")
    assert (answer.status_code, "certificate_ready" in answer.json()["detail"]) == (400, True)
    assert (await scene.ada.client.get(PATH + "?is_read=perhaps")).status_code == 400


async def test_pages_follow_a_cursor(scene: Scene):
    await scene.service.deliver(*(enrolled(scene, scene.ada) for _ in range(5)))
    seen, url = [], PATH + "?page_size=2"
    while url:
        page = (await scene.ada.client.get(url)).json()
        assert page["count"] == 5
        seen += [row["uuid"] for row in page["results"]]
        url = page["next"]
    assert len(set(seen)) == 5


def reply(scene: Scene, author: UUID, **fields) -> Event:
    values = {
        "reply": uuid4(), "discussion": uuid4(), "forum": uuid4(), "course": scene.course, "author": author,
        "discussion_author": scene.ada.uuid, "parent": None, "parent_author": None, "is_chat": False,
        "is_instructor_reply": False, "mentions": (),
    }  # fmt: skip
    return forum.ReplyPosted(**values | fields)


async def test_a_reply_tells_the_asker_and_the_mentioned_once_and_never_the_author(scene: Scene):
    await scene.service.deliver(
        reply(scene, scene.eve.uuid, mentions=(scene.ada.uuid, scene.eve.uuid)),
        reply(scene, scene.ada.uuid),
        reply(scene, scene.eve.uuid, is_chat=True),
    )
    assert [row["notification_type"] for row in await results(scene.ada)] == ["mention"]
    assert await results(scene.eve) == []


async def test_an_edit_tells_only_those_whom_it_mentions_anew(scene: Scene):
    place = {"discussion": uuid4(), "forum": uuid4(), "course": scene.course, "author": scene.eve.uuid}
    await scene.service.deliver(
        forum.ReplyChanged(
            **place, reply=uuid4(), discussion_author=scene.ada.uuid, actor=scene.eve.uuid, mentions=()
        ),
        forum.DiscussionChanged(
            **place,
            discussion_type="question",
            actor=scene.eve.uuid,
            mentions=(scene.ada.uuid, scene.eve.uuid),
        ),
    )
    assert [row["notification_type"] for row in await results(scene.ada)] == ["mention"]
    assert await results(scene.eve) == []


@pytest.mark.parametrize(("visible", "count"), [(True, 1), (False, 0)])
async def test_hidden_results_are_not_told(scene: Scene, visible: bool, count: int):
    event = quizzes.QuizGraded(
        attempt=uuid4(), number=1, quiz=uuid4(), kind="graded", title="First quiz", course=scene.course,
        lesson=None, enrollment=uuid4(), student=scene.ada.uuid, score=1, max_score=2, percentage=50,
        passed=False, is_regrade=False, score_visible=visible, questions=(),
    )  # fmt: skip
    await scene.service.deliver(event)
    assert len(await results(scene.ada)) == count


async def test_internal_messages_of_a_ticket_tell_nobody(scene: Scene):
    facts = {
        "ticket": uuid4(), "number": "T-1", "requester": scene.ada.uuid, "assigned_to": scene.eve.uuid,
        "course": None, "category": "general", "priority": "low", "status": "open", "actor": scene.eve.uuid,
        "message": uuid4(), "author": scene.eve.uuid, "by_staff": True, "is_first_response": False,
    }  # fmt: skip
    await scene.service.deliver(support.TicketAnswered(**facts, is_internal=True))
    assert await results(scene.ada) == []
    await scene.service.deliver(support.TicketAnswered(**facts, is_internal=False))
    assert [row["notification_type"] for row in await results(scene.ada)] == ["ticket"]


async def test_a_ticket_for_a_socket_is_good_once(scene: Scene):
    answer = await scene.ada.client.post("/api/ws-ticket/")
    assert answer.status_code == 201
    assert answer.json()["expires_in"] == 30
    tickets = scene.service.app.state.hub.tickets
    principal = await tickets.redeem(answer.json()["ticket"])
    assert principal.user == scene.ada.uuid
    assert await tickets.redeem(answer.json()["ticket"]) is None
    assert (await scene.service.client().post("/api/ws-ticket/")).status_code == 401
