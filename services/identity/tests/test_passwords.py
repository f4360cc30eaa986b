"""Passwords: changed by who knows the old one, reset by who reads the mail."""

import pytest
from sqlalchemy import text

from conftest import Mailbox
from libs.common.testing import Harness
from services.identity.tests.conftest import PASSWORD, People

NEW = "Another-good-one-2"


async def ask(identity: Harness, email: str):
    answer = await identity.client().post("/api/accounts/password-reset/", json={"email": email})
    await identity.run_tasks()
    return answer


def confirmation(email: str, code: str, **changes) -> dict:
    body = {"email": email, "reset_code": code, "new_password": NEW, "confirm_password": NEW}
    return body | changes


async def test_a_reset_by_mailed_code_ends_every_session(identity: Harness, people: People, mailbox: Mailbox):
    ada = await people.join("ada@lectern.example")
    assert (await ask(identity, ada.email)).status_code == 200
    body = confirmation(ada.email, mailbox.code())
    path = "/api/accounts/password-reset-confirm/"
    answer = await identity.client().post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert (await identity.client().post(path, json=body)).json()["code"] == "invalid_code"
    refused = await identity.client().post("/api/accounts/refresh/", json={"refresh": ada.refresh})
    assert refused.status_code == 401
    old = await identity.client().post(
        "/api/accounts/login/", json={"email": ada.email, "password": PASSWORD}
    )
    assert old.status_code == 401
    await people.login(ada.email, NEW)
    kinds = [kind for kind, _, _ in await identity.published()]
    assert {"identity.password_changed.v1", "identity.access_changed.v1"} <= set(kinds)


async def test_unknown_addresses_get_the_same_answer_and_no_mail(
    identity: Harness, people: People, mailbox: Mailbox
):
    ada = await people.join("ada@lectern.example")
    mailbox.messages.clear()
    known, unknown = await ask(identity, ada.email), await ask(identity, "nobody@lectern.example")
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert [str(mail["To"]) for mail in mailbox.messages] == ["Ada L <ada@lectern.example>"]


async def test_a_code_to_verify_does_not_reset(identity: Harness, people: People, mailbox: Mailbox):
    await people.register("ada@lectern.example")
    body = confirmation("ada@lectern.example", mailbox.code())
    answer = await identity.client().post("/api/accounts/password-reset-confirm/", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_code")


async def test_a_refused_new_password_does_not_use_up_the_code(
    identity: Harness, people: People, mailbox: Mailbox
):
    ada = await people.join("ada@lectern.example")
    await ask(identity, ada.email)
    path, code = "/api/accounts/password-reset-confirm/", mailbox.code()
    for changes in (
        {"new_password": "short", "confirm_password": "short"},
        {"confirm_password": "different-1"},
    ):
        assert (
            await identity.client().post(path, json=confirmation(ada.email, code, **changes))
        ).status_code == 422
    assert (await identity.client().post(path, json=confirmation(ada.email, code))).status_code == 200


async def test_a_change_keeps_the_calling_session_and_ends_the_others(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    phone = await people.login(ada.email)
    body = {"current_password": PASSWORD, "new_password": NEW, "confirm_password": NEW}
    answer = await ada.client.post("/api/accounts/change-password/", json=body)
    assert answer.status_code == 200, answer.text
    assert (await ada.client.get("/api/accounts/users/me/")).status_code == 200
    for account, status in ((ada, 200), (phone, 401)):
        refreshed = await identity.client().post("/api/accounts/refresh/", json={"refresh": account.refresh})
        assert refreshed.status_code == status
    await people.login(ada.email, NEW)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"current_password": "not-my-password"}, "current_password"),
        ({"new_password": "password123", "confirm_password": "password123"}, "password"),
        ({"confirm_password": "different-1"}, "body"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_a_bad_change_is_a_422_and_changes_nothing(
    identity: Harness, people: People, changes: dict, field: str
):
    ada = await people.join("ada@lectern.example")
    async with identity.db.sessions() as session:
        before = await session.scalar(text("SELECT password_hash FROM users"))
    body = {"current_password": PASSWORD, "new_password": NEW, "confirm_password": NEW} | changes
    answer = await ada.client.post("/api/accounts/change-password/", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    async with identity.db.sessions() as session:
        assert await session.scalar(text("SELECT password_hash FROM users")) == before
