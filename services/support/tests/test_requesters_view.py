"""What a requester can tell from a ticket, and what becomes of their answers."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from libs.common.runtime.clock import system_clock
from libs.common.testing.harness import Harness, Person
from libs.common.testing.states import course_state, enrollment_state
from services.support.tests.conftest import Cast, user_state
from services.support.tests.test_tickets import PATH, TICKET, do, opened

TITLE = "Secret plans"


@pytest.mark.promise("object access")
@pytest.mark.parametrize("status", ["draft", "archived"])
async def test_a_ticket_takes_only_a_course_that_its_requester_may_see(
    support: Harness, cast: Cast, status: str
):
    teacher = support.person("teacher")
    course = uuid4()
    await support.deliver(course_state(course, teacher.uuid, title=TITLE, status=status))
    body = TICKET | {"course": str(course)}
    hidden = await cast.ada.client.post(PATH, json=body)
    missing = await cast.ada.client.post(PATH, json=TICKET | {"course": str(uuid4())})
    assert hidden.status_code == missing.status_code == 422
    assert hidden.json()["errors"] == missing.json()["errors"]
    demoted = support.person("student", teacher.uuid)
    assert (await demoted.client.post(PATH, json=body)).status_code == 422
    assert (await teacher.client.post(PATH, json=body)).json()["course_title"] == "Secret plans"
    await support.deliver(enrollment_state(course, cast.ada.uuid))
    assert (await cast.ada.client.post(PATH, json=body)).status_code == 201
    await support.deliver(course_state(course, teacher.uuid, title=TITLE))
    assert (await cast.eve.client.post(PATH, json=body)).status_code == 201


@pytest.mark.promise("object access")
async def test_a_note_among_staff_changes_nothing_that_the_requester_can_tell(cast: Cast):
    ticket = await opened(cast.ada)
    path = f"{PATH}{ticket['uuid']}/"

    async def seen() -> tuple:
        one, many = await cast.ada.client.get(path), await cast.ada.client.get(f"{PATH}?ordering=-updated_at")
        told = {name: one.headers.get(name) for name in ("etag", "last-modified", "consistency-token")}
        return one.json(), told, many.json(), many.headers.get("etag")

    before = await seen()
    staffs = (await cast.moderator.client.get(path)).headers["etag"]
    answer = await do(cast.moderator, ticket, "messages", content="Looks like fraud.", is_internal=True)
    assert answer.status_code == 201
    assert await seen() == before
    same = await cast.ada.client.get(path, headers={"If-None-Match": before[1]["etag"]})
    assert same.status_code == 304
    assert (await cast.moderator.client.get(path)).headers["etag"] != staffs
    await do(cast.moderator, ticket, "messages", content="Which browser?")
    after = await seen()
    assert after[1]["etag"] != before[1]["etag"]
    assert after[0]["updated_at"] > before[0]["updated_at"]


async def test_the_requesters_answer_opens_a_resolved_ticket_again(support: Harness, cast: Cast):
    ticket = await opened(cast.ada)
    await do(cast.moderator, ticket, "status", status="resolved")
    staffs = await do(cast.moderator, ticket, "messages", content="Glad to have helped.")
    assert staffs.json()["status"] == "resolved"
    again = await do(cast.ada, ticket, "messages", content="It is back.")
    assert (again.status_code, again.json()["status"], again.json()["resolved_at"]) == (201, "open", None)
    assert [kind for kind, _, _ in await support.published()][-2:] == [
        "support.ticket_reopened.v1", "support.ticket_answered.v1",
    ]  # fmt: skip


async def test_an_answer_too_late_or_to_a_closed_ticket_is_refused_clearly(support: Harness, cast: Cast):
    ticket = await opened(cast.ada)
    await do(cast.moderator, ticket, "status", status="resolved")
    async with support.db.session() as session:
        await session.execute(
            text("UPDATE tickets SET resolved_at = :t"), {"t": system_clock() - timedelta(days=15)}
        )
    late = await do(cast.ada, ticket, "messages", content="It is back.")
    assert (late.status_code, late.json()["code"]) == (409, "reopen_too_late")
    await do(cast.moderator, ticket, "status", status="closed")
    closed = await do(cast.ada, ticket, "messages", content="It is back.")
    assert (closed.status_code, closed.json()["code"]) == (409, "ticket_closed")
    assert (await cast.ada.client.get(f"{PATH}{ticket['uuid']}/")).json()["messages"] == []


@pytest.mark.parametrize("change", ["demoted", "disabled"])
async def test_open_tickets_of_who_is_of_the_staff_no_longer_go_back(
    support: Harness, cast: Cast, change: str
):
    ticket = await opened(cast.ada)
    await do(cast.manager, ticket, "assign", user=str(cast.moderator.uuid))
    role = "student" if change == "demoted" else "moderator"
    person = Person(cast.moderator.uuid, role, cast.moderator.client)
    await support.deliver(user_state(person, "Moderator", is_active=change == "demoted"))
    assert (await cast.manager.client.get(f"{PATH}{ticket['uuid']}/")).json()["assigned_to"] is None
    demoted = support.person("student", cast.moderator.uuid)
    assert (await demoted.client.get(f"{PATH}{ticket['uuid']}/")).status_code == 404
    refused = await do(cast.manager, ticket, "assign", user=str(cast.moderator.uuid))
    assert refused.status_code in (409, 422)
