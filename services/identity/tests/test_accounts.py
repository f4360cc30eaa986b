"""Accounts: registering, verifying, profile, administration."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from conftest import Mailbox
from libs.common.runtime.clock import system_clock
from libs.common.testing.harness import Harness
from services.identity.tests.conftest import PASSWORD, People


async def scalar(identity: Harness, query: str):
    async with identity.db.sessions() as session:
        return await session.scalar(text(query))


async def test_a_registered_user_verifies_with_the_mailed_code(
    identity: Harness, people: People, mailbox: Mailbox
):
    answer = await people.register("Ada@Lectern.example", first_name="Ada", last_name="Lovelace")
    assert answer.status_code == 201
    assert "consistency-token" not in answer.headers
    assert mailbox.messages[0]["To"] == "Ada Lovelace <ada@lectern.example>"
    assert mailbox.messages[0]["X-Request-ID"] == answer.headers["x-request-id"]
    early = await identity.client().post(
        "/api/accounts/login/", json={"email": "ada@lectern.example", "password": PASSWORD}
    )
    assert (early.status_code, early.json()["code"]) == (403, "email_not_verified")
    body = {"email": "ada@lectern.example", "verification_code": mailbox.code()}
    verified = await identity.client().post("/api/accounts/verify-email/", json=body)
    assert verified.status_code == 200
    user = verified.json()["user"]
    assert (user["full_name"], user["role"], user["role_display"]) == ("Ada Lovelace", "student", "Student")
    assert user["is_verified"]
    assert user["id"] == user["uuid"]
    again = await identity.client().post("/api/accounts/verify-email/", json=body)
    assert (again.status_code, again.json()["code"]) == (422, "invalid_code")
    kinds = [kind for kind, _, _ in await identity.published()]
    assert kinds.count("identity.user.v1") == 2
    assert "identity.user_registered.v1" in kinds
    assert "identity.email_verified.v1" in kinds


async def test_a_known_address_gets_the_same_answer_and_another_mail(
    identity: Harness, people: People, mailbox: Mailbox
):
    first = await people.join("ada@lectern.example")
    again = await people.register("ada@lectern.example", first_name="Eve")
    new = await people.register("eve@lectern.example")
    assert again.status_code == new.status_code == 201
    assert again.json()["detail"] == new.json()["detail"]
    assert "already" in mailbox.messages[1]["Subject"]
    assert (await first.client.get("/api/accounts/users/me/")).json()["first_name"] == "Ada"
    assert await scalar(identity, "SELECT count(*) FROM users") == 2


@pytest.mark.parametrize("role", ["moderator", "manager", "admin", "owner"])
async def test_nobody_registers_above_teacher(identity: Harness, people: People, role: str):
    answer = await people.register("eve@lectern.example", role)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "role"
    assert await scalar(identity, "SELECT count(*) FROM users") == 0


async def test_all_that_is_wrong_with_a_registration_is_told_at_once(people: People):
    answer = await people.register("nobody", password="short", first_name="", phone_number="call me")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert [error["field"] for error in answer.json()["errors"]] == [
        "email", "password", "first_name", "phone_number",
    ]  # fmt: skip
    assert not answer.json()["detail"].endswith("..")
    weak = await people.register("eve@lectern.example", password="short", confirm_password="short")
    assert (weak.json()["code"], weak.json()["errors"][0]["field"]) == ("password_refused", "password")
    body = {
        "email": "nobody", "reset_code": "x", "new_password": "password123", "confirm_password": "other-1-x",
    }  # fmt: skip
    answer = await people.identity.client().post("/api/accounts/password-reset-confirm/", json=body)
    assert [error["field"] for error in answer.json()["errors"]] == ["email", "reset_code", "new_password"]


@pytest.mark.promise("login throttle")
async def test_who_calls_directly_is_one_network_whatever_it_says(identity: Harness, people: People):
    await people.join("ada@lectern.example")
    statuses = []
    for number in range(8):
        direct = identity.client(**{"x-lectern-gateway": "", "X-Forwarded-For": f"203.0.{number}.9"})
        body = {"email": "ada@lectern.example", "password": "not-hers-at-all"}
        statuses.append((await direct.post("/api/accounts/login/", json=body)).status_code)
    assert statuses[:5] == [401] * 5
    assert 429 in statuses


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"), ("password", "short"), ("password", "password123"), ("first_name", ""),
        ("is_verified", True), ("confirm_password", "something else"), ("date_of_birth", "yesterday"),
        ("phone_number", "call me"), ("first_name", "a\0b"), ("first_name", "a\nb"), ("last_name", "see https://evil.example"),
        ("last_name", "www.evil.example"), ("email", "a@b.example\r\nBcc: c@d.example"),
    ],
)  # fmt: skip
async def test_a_bad_registration_is_a_422(identity: Harness, people: People, field: str, value):
    answer = await people.register(**{"email": "eve@lectern.example", field: value})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"].endswith(".")
    assert await scalar(identity, "SELECT count(*) FROM users") == 0


async def test_empty_optional_values_mean_not_given(people: People):
    answer = await people.register("ada@lectern.example", date_of_birth="", phone_number="")
    assert answer.status_code == 201


async def test_codes_are_mailed_at_most_once_a_minute(identity: Harness, people: People, mailbox: Mailbox):
    await people.register("ada@lectern.example")
    for _ in range(3):
        body = {"email": "ada@lectern.example"}
        answer = await identity.client().post("/api/accounts/resend-verification/", json=body)
        assert answer.status_code == 200
        await identity.run_tasks()
    assert len(mailbox.messages) == 1
    async with identity.db.session() as session:
        await session.execute(text("UPDATE code_mails SET created_at = created_at - interval '61 seconds'"))
    await identity.client().post("/api/accounts/resend-verification/", json=body)
    await identity.run_tasks()
    assert len(mailbox.messages) == 2
    unknown = await identity.client().post(
        "/api/accounts/resend-verification/", json={"email": "nobody@lectern.example"}
    )
    assert unknown.json() == answer.json()


async def test_a_mail_that_could_not_go_out_is_sent_by_the_sweep_and_only_once(
    identity: Harness, people: People, mailbox: Mailbox
):
    mailbox.refuse = True
    await people.register("ada@lectern.example")
    assert mailbox.messages == []
    mailbox.refuse = False
    later = system_clock() + timedelta(seconds=40)
    await identity.run_task("identity.sweep_codes", clock=lambda: later)
    started = list(identity.queue.started)
    assert len(started) == 1
    identity.queue.started += started  # the broker delivers it twice
    await identity.run_tasks()
    assert len(mailbox.messages) == 1


async def test_a_profile_takes_flat_fields_and_refuses_others(people: People):
    ada = await people.join("ada@lectern.example")
    body = {"bio": "Mathematician", "time_zone": "Europe/London", "last_name": "King", "email": ada.email}
    answer = await ada.client.patch("/api/accounts/users/me/", json=body)
    assert answer.status_code == 200
    user = answer.json()
    assert (user["last_name"], user["profile"]["bio"]) == ("King", "Mathematician")
    assert user["profile"]["courses_completed"] == 0
    for bad in ({"role": "admin"}, {"is_verified": False}, {"uuid": str(uuid4())}, {"email": "x@y.example"},
                {"time_zone": "Moon/Base"}, {"linkedin_url": "javascript:alert(1)"}):  # fmt: skip
        refused = await ada.client.patch("/api/accounts/users/me/", json=bad)
        assert refused.status_code == 422, bad
        assert refused.json()["errors"][0]["field"] == next(iter(bad))
    assert (await ada.client.get("/api/accounts/users/me/")).json()["role"] == "student"


async def test_a_lost_update_of_the_profile_is_a_412(people: People):
    ada = await people.join("ada@lectern.example")
    tag = (await ada.client.get("/api/accounts/users/me/")).headers["etag"]
    answers = [
        await ada.client.patch("/api/accounts/users/me/", json={"bio": bio}, headers={"If-Match": tag})
        for bio in ("one", "two")
    ]
    assert [answer.status_code for answer in answers] == [200, 412]
    same = await ada.client.get(
        "/api/accounts/users/me/", headers={"If-None-Match": answers[0].headers["etag"]}
    )
    assert same.status_code == 304


async def test_managers_change_roles_up_to_their_own(identity: Harness, people: People):
    admin = await people.admin()
    manager = await people.join("manager@lectern.example", "teacher")
    path = f"/api/accounts/users/{manager.user['uuid']}/"
    assert (await manager.client.patch(path, json={"role": "admin"})).status_code == 403
    answer = await admin.client.patch(path, json={"role": "manager"})
    assert answer.json()["role"] == "manager"
    kinds = [kind for kind, key, _ in await identity.published() if key == manager.user["uuid"]]
    assert "identity.role_changed.v1" in kinds
    assert "identity.access_changed.v1" in kinds
    manager = await people.login(manager.email)
    student = await people.join("student@lectern.example")
    own = f"/api/accounts/users/{student.user['uuid']}/"
    assert (await manager.client.patch(own, json={"role": "moderator"})).status_code == 200
    assert (await manager.client.patch(own, json={"role": "admin"})).status_code == 403
    theirs = f"/api/accounts/users/{admin.user['uuid']}/"
    assert (await manager.client.patch(theirs, json={"role": "student"})).status_code == 403
    assert (await manager.client.patch(theirs, json={"is_active": False})).status_code == 403


async def test_a_disabled_user_cannot_log_in_and_the_sessions_end(identity: Harness, people: People):
    admin = await people.admin()
    eve = await people.join("eve@lectern.example")
    path = f"/api/accounts/users/{eve.user['uuid']}/"
    assert (await admin.client.patch(path, json={"is_active": False})).status_code == 200
    kinds = [kind for kind, _, _ in await identity.published()]
    assert "identity.session_ended.v1" in kinds
    login = await identity.client().post(
        "/api/accounts/login/", json={"email": eve.email, "password": PASSWORD}
    )
    assert (login.status_code, login.json()["code"]) == (403, "account_disabled")
    refused = await identity.client().post("/api/accounts/refresh/", json={"refresh": eve.refresh})
    assert refused.status_code == 401
    assert (await admin.client.patch(path, json={"is_active": True})).json()["is_active"] is True
    await people.login(eve.email)


async def test_cards_hide_students_from_visitors_and_addresses_from_everyone(
    identity: Harness, people: People
):
    teacher = await people.join("teacher@lectern.example", "teacher")
    student = await people.join("student@lectern.example")
    visitor = identity.client()
    card = await visitor.get(f"/api/accounts/users/{teacher.user['uuid']}/")
    assert card.status_code == 200
    assert "email" not in card.json()
    hidden = await visitor.get(f"/api/accounts/users/{student.user['uuid']}/")
    missing = await visitor.get(f"/api/accounts/users/{uuid4()}/")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json() | {"request_id": ""} == missing.json() | {"request_id": ""}
    seen = await teacher.client.get(f"/api/accounts/users/{student.user['uuid']}/")
    assert seen.json()["full_name"] == "Ada L"
    assert "email" not in seen.json()


async def test_users_are_listed_for_managers_only(people: People):
    admin = await people.admin()
    student = await people.join("ada_l@lectern.example")
    assert (await student.client.get("/api/accounts/users/")).status_code == 403
    found = (await admin.client.get("/api/accounts/users/?search=da_l&role=student")).json()
    assert [user["email"] for user in found["results"]] == ["ada_l@lectern.example"]
    bad = await admin.client.get("/api/accounts/users/?role=king")
    assert (bad.status_code, "student, teacher" in bad.json()["detail"]) == (400, True)
    assert (await admin.client.get("/api/accounts/users/?ordering=password_hash")).status_code == 400


async def test_users_are_found_by_status_name_and_address(identity: Harness, people: People):
    admin = await people.admin()
    await people.join("active@lectern.example")
    disabled = await people.join("disabled@lectern.example", "teacher")
    await people.register("unverified@lectern.example", first_name="Zoë", last_name="100%")
    path = f"/api/accounts/users/{disabled.user['uuid']}/"
    assert (await admin.client.patch(path, json={"is_active": False})).status_code == 200

    async def found(query: str) -> list[str]:
        answer = await admin.client.get(f"/api/accounts/users/?ordering=email&{query}")
        assert answer.status_code == 200, answer.text
        return [row["email"].partition("@")[0] for row in answer.json()["results"]]

    assert await found("") == ["active", "admin", "disabled", "unverified"]
    assert await found("status=active") == ["active", "admin"]
    assert await found("status=disabled") == ["disabled"]
    assert await found("status=unverified") == ["unverified"]
    assert await found("status=active&role=student") == ["active"]
    assert await found("role=teacher") == ["disabled"]
    assert await found("is_active=false") == ["disabled"]
    assert await found("is_verified=false") == ["unverified"]
    assert await found("search=zoë 100%25") == ["unverified"]
    assert await found("search=%25") == ["unverified"]
    bad = await admin.client.get("/api/accounts/users/?status=gone")
    assert (bad.status_code, "active, disabled, unverified" in bad.json()["detail"]) == (400, True)
