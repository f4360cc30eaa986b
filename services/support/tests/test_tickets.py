"""A ticket's life, and who may see and do what."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.bus.inbox import apply_batch
from libs.common.testing.harness import Harness, Person, as_record
from services.support.tests.conftest import Cast, user_state

PATH = "/api/core/support-tickets/"
TICKET = {
    "subject": "The video does not play",
    "description": "The first lesson's video stays black.",
    "priority": "high",
    "category": "technical",
}


async def opened(person: Person, **fields) -> dict:
    answer = await person.client.post(PATH, json=TICKET | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def do(person: Person, ticket: dict, action: str, **body):
    return await person.client.post(f"{PATH}{ticket['uuid']}/{action}/", json=body)


async def test_a_ticket_is_opened_assigned_answered_resolved_reopened_and_closed(
    support: Harness, cast: Cast
):
    ticket = await opened(cast.ada)
    assert ticket["status"] == "open"
    assert ticket["requester"]["full_name"] == "Ada L"
    assert ticket["ticket_number"].startswith("T-")
    assigned = (await do(cast.manager, ticket, "assign", user=str(cast.moderator.uuid))).json()
    assert assigned["assigned_to"]["full_name"] == "Moderator L"
    answered = await do(cast.moderator, ticket, "messages", content="Which browser?")
    assert (answered.status_code, answered.json()["status"]) == (201, "in_progress")
    waiting = (await do(cast.moderator, ticket, "status", status="waiting")).json()
    assert waiting["sla"]["paused"] is True
    back = (await do(cast.ada, ticket, "messages", content="Firefox.")).json()
    assert (back["status"], back["sla"]["paused"]) == ("in_progress", False)
    assert [m["content"] for m in back["messages"]] == ["Which browser?", "Firefox."]
    assert (await do(cast.moderator, ticket, "status", status="resolved")).json()["resolved_at"]
    reopened = (await do(cast.ada, ticket, "reopen")).json()
    assert (reopened["status"], reopened["resolved_at"]) == ("open", None)
    assert (await do(cast.ada, ticket, "status", status="closed")).json()["status"] == "closed"
    rated = (await do(cast.ada, ticket, "rate", rating=5, comment="Thanks")).json()
    assert rated["rating"] == 5
    published = await support.published()
    assert [kind.removeprefix("support.ticket_").removesuffix(".v1") for kind, _, _ in published] == [
        "opened", "assigned", "answered", "status_changed", "answered", "resolved", "reopened", "closed",
        "rated",
    ]  # fmt: skip
    assert [seq for _, _, seq in published] == list(range(1, 10))


async def test_tickets_of_others_are_not_there(cast: Cast):
    ticket = await opened(cast.ada)
    path = f"{PATH}{ticket['uuid']}/"
    assert (await cast.eve.client.get(path)).status_code == 404
    for action, body in (("messages", {"content": "x"}), ("status", {"status": "closed"}), ("reopen", {}),
                         ("rate", {"rating": 1}), ("assign", {}),
                         ("priority", {"priority": "low"})):  # fmt: skip
        assert (await do(cast.eve, ticket, action, **body)).status_code == 404
    assert (await cast.eve.client.get(PATH)).json()["count"] == 0
    assert (await cast.ada.client.get(PATH)).json()["count"] == 1
    assert (await cast.moderator.client.get(PATH)).json()["count"] == 1


async def test_staff_only_calls_are_403_for_the_requester(cast: Cast):
    ticket = await opened(cast.ada)
    assert (await do(cast.ada, ticket, "assign")).status_code == 403
    assert (await do(cast.ada, ticket, "priority", priority="urgent")).status_code == 403
    assert (await do(cast.ada, ticket, "status", status="waiting")).status_code == 403
    assert (await do(cast.ada, ticket, "messages", content="x", is_internal=True)).status_code == 403
    assert (await do(cast.manager, ticket, "rate", rating=1)).status_code == 403


async def test_requesters_never_see_internal_messages(cast: Cast):
    ticket = await opened(cast.ada)
    await do(cast.moderator, ticket, "messages", content="canary-internal", is_internal=True)
    seen = await cast.ada.client.get(f"{PATH}{ticket['uuid']}/")
    assert "canary-internal" not in seen.text
    assert seen.json()["first_response_at"] is None
    assert "canary-internal" in (await cast.manager.client.get(f"{PATH}{ticket['uuid']}/")).text


async def test_without_a_name_the_least_loaded_member_of_staff_gets_it(cast: Cast):
    names = set()
    for _ in range(2):
        ticket = await opened(cast.ada)
        names.add((await do(cast.manager, ticket, "assign")).json()["assigned_to"]["full_name"])
    assert names == {"Moderator L", "Manager L"}


async def test_a_ticket_goes_to_active_staff_only(support: Harness, cast: Cast):
    ticket = await opened(cast.ada)
    for user in (cast.eve.uuid, uuid4()):
        refused = await do(cast.manager, ticket, "assign", user=str(user))
        assert (refused.status_code, refused.json()["code"]) == (422, "not_staff")
    await support.deliver(user_state(cast.moderator, "Moderator", is_active=False))
    assert (await do(cast.manager, ticket, "assign", user=str(cast.moderator.uuid))).status_code == 422


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "Hi"), ("description", "too short"), ("priority", "asap"), ("status", "closed"),
        ("requester", "x"), ("course", "not-a-uuid"), ("subject", 5),
    ],
)  # fmt: skip
async def test_bad_input_is_a_422_that_names_the_field(support: Harness, cast: Cast, field: str, value):
    answer = await cast.ada.client.post(PATH, json=TICKET | {field: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert await support.published() == []


async def test_filters_narrow_the_list_and_unknown_values_are_400(cast: Cast):
    await opened(cast.ada, subject="First of all", priority="low")
    second = await opened(cast.ada, subject="Second of all", priority="urgent")
    await do(cast.manager, second, "assign", user=str(cast.manager.uuid))
    manager = cast.manager.client
    for query, subjects in (
        ("search=first%20of", ["First of all"]), ("priority=urgent", ["Second of all"]),
        ("assigned_to=me", ["Second of all"]), ("assigned_to=none", ["First of all"]),
        ("ordering=created_at", ["First of all", "Second of all"]), ("status=closed", []),
        (f"requester={cast.eve.uuid}", []),
    ):  # fmt: skip
        page = (await manager.get(f"{PATH}?{query}")).json()
        assert [row["subject"] for row in page["results"]] == subjects, query
    for query in ("status=lost", "priority=asap", "ordering=number", "assigned_to=somebody"):
        assert (await manager.get(f"{PATH}?{query}")).status_code == 400


async def test_a_closed_ticket_takes_no_message_and_an_old_one_is_not_reopened(support: Harness, cast: Cast):
    ticket = await opened(cast.ada)
    assert (await do(cast.ada, ticket, "reopen")).json()["code"] == "not_reopenable"
    assert (await do(cast.ada, ticket, "rate", rating=4)).json()["code"] == "not_rateable"
    await do(cast.ada, ticket, "status", status="closed")
    assert (await do(cast.ada, ticket, "messages", content="Still here")).status_code == 409
    assert (await do(cast.manager, ticket, "status", status="open")).status_code == 409
    async with support.db.session() as session:
        await session.execute(text("UPDATE tickets SET resolved_at = now() - interval '15 days'"))
    assert (await do(cast.ada, ticket, "reopen")).json()["code"] == "reopen_too_late"


async def test_parallel_answers_all_stay_and_have_versions_of_their_own(support: Harness, cast: Cast):
    ticket = await opened(cast.ada)
    answers = await asyncio.gather(
        *(do(cast.ada, ticket, "messages", content=f"message {n}") for n in range(10))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert sorted(seq for _, _, seq in await support.published()) == list(range(1, 12))
    seen = (await cast.ada.client.get(f"{PATH}{ticket['uuid']}/")).json()
    assert len(seen["messages"]) == 10


async def test_a_replayed_event_changes_nothing(support: Harness, cast: Cast):
    state = user_state(cast.ada, "Augusta")
    record = as_record(state, 2)
    for _ in range(2):
        await apply_batch(support.db, support.subscription, [record])
    ticket = await opened(cast.ada)
    assert ticket["requester"]["full_name"] == "Augusta L"


async def test_an_unchanged_ticket_is_a_304(cast: Cast):
    ticket = await opened(cast.ada)
    path = f"{PATH}{ticket['uuid']}/"
    tag = (await cast.ada.client.get(path)).headers["etag"]
    assert (await cast.ada.client.get(path, headers={"If-None-Match": tag})).status_code == 304
