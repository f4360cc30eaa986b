"""Export and erasure in support."""

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Harness
from libs.common.testing.privacy import erase, export, tables_with
from services.support.models import Base
from services.support.tests.conftest import Cast, user_state

PATH = "/api/core/support-tickets/"
# Every table was looked at for what it holds of people. A new one is to be gathered and erased in privacy.py,
# or kept for a reason, and then named here.
DECIDED = {
    "tickets": "texts of its requester go, with all messages; numbers, states and times stay",
    "messages": "see tickets; staff's words on the tickets of others stay without a name",
    "people": "goes",
    "course_titles": "nothing personal", "seats": "go",
    "status_days": "nothing personal",
    "privacy_parts": "ids only: the proof",
    "outbox": "ids only", "key_progress": "ids only",
    "epochs": "nothing personal", "void_events": "ids only", "processes": "nothing personal",
    "dead_letter": "parked states of the person become tombstones", "idempotency_keys": "the person's go",
}  # fmt: skip


def test_every_table_is_decided():
    assert set(Base.metadata.tables) == set(DECIDED)


async def tickets_of_ada_and_eve(cast: Cast) -> tuple[dict, dict]:
    """Ada's ticket with two answers, and Eve's, which Ada knows nothing of."""
    body = {"subject": "Canary-subject", "description": "Canary-description, signed by me.", "category": "x"}
    own = (await cast.ada.client.post(PATH, json=body, headers={"Idempotency-Key": "one"})).json()
    other = (await cast.eve.client.post(PATH, json=body | {"subject": "Eve asks"})).json()
    for person, ticket, content in (
        (cast.ada, own, "Canary-message"),
        (cast.moderator, own, "Dear Canary-name, try again."),
        (cast.moderator, other, "Dear Eve, try again."),
    ):
        answer = await person.client.post(f"{PATH}{ticket['uuid']}/messages/", json={"content": content})
        assert answer.status_code in (200, 201), answer.text
    internal = {"content": "Staff-only words", "is_internal": True}
    await cast.moderator.client.post(f"{PATH}{own['uuid']}/messages/", json=internal)
    return own, other


async def test_an_export_holds_tickets_and_messages_but_not_the_notes_of_staff(support: Harness, cast: Cast):
    own, _ = await tickets_of_ada_and_eve(cast)
    part = await export(support, cast.ada.uuid)
    assert [ticket["number"] for ticket in part["data"]["tickets"]] == [own["ticket_number"]]
    assert part["data"]["tickets"][0]["created_at"].endswith("Z")
    texts = [message["content"] for message in part["data"]["messages_on_these_tickets"]]
    assert texts == ["Canary-message", "Dear Canary-name, try again."]
    assert "Staff-only words" not in str(part)
    staff = await export(support, cast.moderator.uuid)
    assert len(staff["data"]["answers_to_tickets_of_others"]) == 3


@pytest.mark.parametrize("tombstone_first", [True, False])
async def test_an_erased_person_leaves_no_word_in_any_table(
    support: Harness, cast: Cast, tombstone_first: bool
):
    own, other = await tickets_of_ada_and_eve(cast)
    await support.deliver(user_state(cast.ada, "Canary-name"))
    before = (await cast.moderator.client.get(f"{PATH}{own['uuid']}/")).json()
    assert await tables_with(support, "canary-name", "canary-message")
    assert await erase(support, cast.ada.uuid, tombstone_first=tombstone_first) > 4
    assert (
        await tables_with(support, "canary-name", "canary-subject", "canary-message", "staff-only") == set()
    )
    after = (await cast.moderator.client.get(f"{PATH}{own['uuid']}/")).json()
    assert (after["ticket_number"], after["status"]) == (before["ticket_number"], before["status"])
    assert (after["subject"], after["requester"]["full_name"]) == ("[erased]", "")
    kept = (await cast.moderator.client.get(f"{PATH}{other['uuid']}/")).json()
    assert kept["subject"] == "Eve asks"
    assert kept["messages"][-1]["content"] == "Dear Eve, try again."


async def test_every_change_of_a_ticket_is_published(support: Harness, cast: Cast):
    own, other = await tickets_of_ada_and_eve(cast)
    await cast.manager.client.post(f"{PATH}{other['uuid']}/assign/", json={"user": str(cast.moderator.uuid)})
    await erase(support, cast.moderator.uuid)
    await erase(support, cast.ada.uuid)
    last = {key: (kind, seq) for kind, key, seq in await support.published()}
    assert last[own["uuid"]][0] == "support.ticket_redacted.v1"
    assert last[other["uuid"]][0] == "support.ticket_assigned.v1"
    async with support.db.sessions() as session:
        versions = await session.execute(text("SELECT uuid::text, version, assigned_to FROM tickets"))
        for uuid, version, assigned in versions:
            assert (version, assigned) == (last[uuid][1], None)
