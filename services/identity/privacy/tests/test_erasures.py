"""Erasures: access ends at once, a mail says farewell, then everything personal goes everywhere."""

import io
from datetime import timedelta
from typing import Any
from uuid import UUID

import pyotp
import pytest
from PIL import Image
from sqlalchemy import text

from conftest import Mailbox
from libs.common.events import forum
from libs.common.runtime.clock import system_clock
from libs.common.testing.harness import Harness
from libs.common.testing.privacy import tables_with
from services.identity import consumers
from services.identity.models import Base
from services.identity.tests.conftest import PASSWORD, Account, People

ME = "/api/accounts/users/me/"
OTHERS: dict[str, Any] = {module.__name__.rpartition(".")[2]: module for module in consumers.OTHERS}
# Every table was looked at for what it holds of people. A new one is to be gathered (privacy/queries.py) and
# erased (privacy/service.py), or kept for a reason, and then named here.
DECIDED = {
    "users": "the row stays as an id without anything personal",
    "sessions": "stay without device and address, for their versions are published",
    "refresh_tokens": "go", "code_mails": "go", "code_tries": "go", "activities": "go",
    "registrations": "go", "totp_secrets": "go", "recovery_codes": "go",
    "avatar_files": "go with their files",
    "enrollments": "go; what learning says of them later are ids",
    "throttles": "HMACs, forgotten after a day",
    "token_keys": "nothing personal",
    "privacy_jobs": "ids only: the proof", "privacy_parts": "ids only: the proof",
    "outbox": "what Kafka has not got yet", "key_progress": "ids only",
    "epochs": "nothing personal", "void_events": "ids only", "processes": "nothing personal",
    "dead_letter": "nothing personal is consumed", "idempotency_keys": "the person's go",
}  # fmt: skip


def test_every_table_is_decided():
    assert set(Base.metadata.tables) == set(DECIDED)


async def asked(account: Account, password: str = PASSWORD, status: int = 202) -> dict:
    answer = await account.client.request("DELETE", ME, json={"password": password})
    assert answer.status_code == status, answer.text
    return answer.json()


async def sweep(identity: Harness, **later: float) -> None:
    """What beat and worker do at that moment."""
    moment = system_clock() + timedelta(**later)
    for task in ("identity.sweep_erasures", "identity.sweep_exports"):
        await identity.run_task(task, clock=lambda: moment)
    while identity.queue.started:
        name, arguments, _ = identity.queue.started.pop(0)
        await identity.run_task(name, *arguments, clock=lambda: moment)


async def relayed(identity: Harness) -> list[tuple[str, str, int, bool]]:
    """What has gone to Kafka: type, key, number, and whether it has a value."""
    async with identity.db.session() as session:
        rows = await session.execute(
            text("DELETE FROM outbox RETURNING seq, type, key, key_seq, payload IS NOT NULL")
        )
        return [tuple(row[1:]) for row in sorted(rows.all())]


async def erased_by(identity: Harness, account: Account, job: dict, *services: str) -> None:
    for service in services:
        fact = OTHERS[service].PersonErased(job=UUID(job["uuid"]), user=UUID(account.user["uuid"]), rows=3)
        await identity.deliver((fact, 1), (fact, 1))


async def canary(people: People) -> Account:
    account = await people.join("canary@lectern.example")
    change = {
        "first_name": "Canary", "last_name": "Name", "phone_number": "+49 170 0424242", "bio": "Canary-bio",
        "date_of_birth": "1815-12-10", "city": "Canary-city",
    }  # fmt: skip
    headers = {"Idempotency-Key": "once"}
    assert (await account.client.patch(ME, json=change, headers=headers)).status_code == 200
    return account


async def test_erasing_oneself_takes_the_password(identity: Harness, people: People):
    ada = await canary(people)
    refused = await asked(ada, "Not-my-password-1", 422)
    assert refused["code"] == "wrong_password"
    assert refused["errors"][0]["field"] == "password"
    assert (await ada.client.get(ME)).status_code == 200
    assert (await ada.client.request("DELETE", ME)).status_code == 422
    assert (await identity.client().request("DELETE", ME, json={"password": PASSWORD})).status_code == 401


async def test_a_second_factor_is_asked_for_and_goes_too(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    secret = (await ada.client.post(f"{ME}mfa/enrol/")).json()["secret"]
    confirmed = await ada.client.post(f"{ME}mfa/confirm/", json={"otp": pyotp.TOTP(secret).now()})
    recovery = confirmed.json()["recovery_codes"][0]
    assert (await asked(ada, status=422))["errors"][0]["field"] == "otp"
    body = {"password": PASSWORD, "otp": "000000"}
    wrong = await ada.client.request("DELETE", ME, json=body)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_otp")
    right = await ada.client.request("DELETE", ME, json=body | {"otp": recovery})
    assert right.status_code == 202, right.text
    await sweep(identity, seconds=7)
    async with identity.db.sessions() as session:
        for table in ("totp_secrets", "recovery_codes"):
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


async def test_an_avatar_goes_with_its_file(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    files = {"avatar": ("ada.png", picture.getvalue(), "image/png")}
    worn = (await ada.client.post(f"{ME}avatar/", files=files)).json()["avatar"]
    path = worn.removeprefix(identity.settings.public_url)
    assert (await identity.client().get(path)).status_code == 200
    await asked(ada)
    await sweep(identity, seconds=7)
    assert (await identity.client().get(path)).status_code == 404


async def test_access_ends_at_once_and_the_rest_when_no_token_is_alive(
    identity: Harness, people: People, mailbox: Mailbox
):
    ada = await canary(people)
    mailbox.messages.clear()
    await relayed(identity)
    job = await asked(ada)
    assert (job["kind"], job["status"], job["percent"]) == ("erasure", "queued", 0)
    login = {"email": ada.email, "password": PASSWORD}
    answer = await identity.client().post("/api/accounts/login/", json=login)
    assert (answer.status_code, answer.json()["code"]) == (403, "account_disabled")
    refreshed = await identity.client().post("/api/accounts/refresh/", json={"refresh": ada.refresh})
    assert refreshed.status_code == 401
    told = [kind for kind, _, _, _ in await relayed(identity)]
    assert sorted(told) == [
        "identity.access_changed.v1", "identity.session_ended.v1", "identity.user.v1",
    ]  # fmt: skip
    await sweep(identity, seconds=3)
    assert mailbox.messages == []
    await sweep(identity, seconds=7)
    assert [message["To"] for message in mailbox.messages] == ["Canary Name <canary@lectern.example>"]
    assert mailbox.messages[0]["Subject"] == "Your Lectern account is being deleted"
    facts = [(kind, key == ada.user["uuid"], there) for kind, key, _, there in await relayed(identity)]
    assert facts == [
        ("identity.user_erased.v1", True, True),
        ("identity.user.v1", True, False),
        ("identity.erasure_requested.v1", False, True),
    ]
    assert await tables_with(identity, "canary", "0424242", "1815-12-10", "127.0.0.1") == set()
    await sweep(identity, minutes=5)
    assert (len(mailbox.messages), await relayed(identity)) == (1, [])


async def test_the_tombstone_is_the_last_version_and_the_request_names_it(identity: Harness, people: People):
    ada = await canary(people)
    await asked(ada)
    await sweep(identity, seconds=7)
    versions: dict[str, list[int]] = {}
    for kind, key, seq, _ in await relayed(identity):
        topic = "identity.users" if kind == "identity.user.v1" else "identity.events"
        if key == ada.user["uuid"]:
            versions.setdefault(topic, []).append(seq)
    assert versions["identity.events"] == versions["identity.users"]
    last = versions["identity.users"][-1]
    assert versions["identity.users"] == list(range(1, last + 1))
    async with identity.db.sessions() as session:
        query = "SELECT version FROM users WHERE uuid = CAST(:u AS uuid)"
        assert await session.scalar(text(query), {"u": ada.user["uuid"]}) == last


async def test_the_job_is_the_proof_and_done_when_every_service_has_erased(identity: Harness, people: People):
    ada, admin = await canary(people), await people.admin()
    job = await asked(ada)
    path = f"/api/jobs/{job['uuid']}/"
    await sweep(identity, seconds=7)
    running = (await admin.client.get(path)).json()
    assert (running["status"], running["percent"]) == ("running", 100 // (1 + len(OTHERS)))
    *first, last = OTHERS
    await erased_by(identity, ada, job, *first)
    assert (await admin.client.get(path)).json()["percent"] == 100 * len(OTHERS) // (1 + len(OTHERS))
    await erased_by(identity, ada, job, last)
    done = (await admin.client.get(path)).json()
    assert (done["status"], done["percent"], done["eta_seconds"]) == ("done", 100, None)
    assert {each["service"]: each["rows"] for each in done["services"]} == {
        "identity": done["services"][0]["rows"], **dict.fromkeys(OTHERS, 3),
    }  # fmt: skip
    assert done["services"][0]["rows"] > 3
    told = [(kind, seq) for kind, key, seq, _ in await relayed(identity) if key == job["uuid"]]
    assert told == [("identity.erasure_requested.v1", 1), ("identity.erasure_finished.v1", 2)]
    assert await tables_with(identity, "canary") == set()


async def test_an_erasure_is_seen_by_managers_and_cancelled_by_nobody(identity: Harness, people: People):
    ada, eve, admin = await canary(people), await people.join("eve@lectern.example"), await people.admin()
    job = await asked(ada)
    path = f"/api/jobs/{job['uuid']}/"
    assert (await eve.client.get(path)).status_code == 404
    assert (await admin.client.get(path)).status_code == 200
    refused = await admin.client.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "erasure_begun")
    assert (await eve.client.delete(path)).status_code == 404


async def test_the_address_can_be_used_for_a_new_account(identity: Harness, people: People):
    ada = await canary(people)
    await asked(ada)
    await sweep(identity, seconds=7)
    again = await people.join(ada.email)
    assert again.user["uuid"] != ada.user["uuid"]
    assert again.user["first_name"] == "Ada"


async def test_managers_erase_those_below_them_and_the_erased_are_not_there(
    identity: Harness, people: People
):
    ada, admin = await canary(people), await people.admin()
    manager = await people.join("manager@lectern.example", "teacher")
    path = "/api/accounts/users/{}/"
    promoted = await admin.client.patch(path.format(manager.user["uuid"]), json={"role": "manager"})
    assert promoted.status_code == 200
    manager = await people.login(manager.email)
    for uuid, code in ((admin.user["uuid"], "role_not_allowed"), (manager.user["uuid"], "own_account")):
        refused = await manager.client.delete(path.format(uuid))
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    assert (await ada.client.delete(path.format(manager.user["uuid"]))).status_code == 403
    answer = await manager.client.delete(path.format(ada.user["uuid"]))
    assert (answer.status_code, answer.json()["kind"]) == (202, "erasure")
    again = await manager.client.delete(path.format(ada.user["uuid"]))
    assert (again.status_code, again.json()["uuid"]) == (202, answer.json()["uuid"])
    await sweep(identity, seconds=7)
    for method in ("GET", "DELETE"):
        gone = await manager.client.request(method, path.format(ada.user["uuid"]))
        assert gone.status_code == 404
    found = (await manager.client.get("/api/accounts/users/?search=erased")).json()
    assert found["count"] == 0
    async with identity.db.sessions() as session:
        query = "SELECT DISTINCT actor::text, action FROM audit_entries WHERE target = :u"
        entries = await session.execute(text(query), {"u": ada.user["uuid"]})
        assert [tuple(entry) for entry in entries] == [(manager.user["uuid"], "erased")]


async def test_an_erasure_ends_exports_and_deletes_their_archives(identity: Harness, people: People):
    ada = await canary(people)
    export = (await ada.client.post("/api/accounts/users/me/export/")).json()
    await asked(ada)
    await sweep(identity, seconds=7)
    told = [kind for kind, key, _, _ in await relayed(identity) if key == export["uuid"]]
    assert told == ["identity.export_requested.v1", "identity.export_cancelled.v1"]


async def test_the_farewell_is_in_the_language_of_who_leaves(
    identity: Harness, people: People, mailbox: Mailbox
):
    ada = await people.join("ada@lectern.example")
    await ada.client.patch(ME, json={"preferred_language": "ar"})
    await asked(ada)
    await sweep(identity, seconds=7)
    assert "حذف حسابك" in mailbox.messages[-1]["Subject"]


async def test_a_mail_server_that_is_away_delays_an_erasure_and_does_not_prevent_it(
    identity: Harness, people: People, mailbox: Mailbox
):
    ada, admin = await canary(people), await people.admin()
    job = await asked(ada)
    path = f"/api/jobs/{job['uuid']}/"
    mailbox.refuse = True
    await sweep(identity, seconds=7)
    assert (await admin.client.get(path)).json()["status"] == "queued"
    await sweep(identity, minutes=9)
    assert (await admin.client.get(path)).json()["status"] == "queued"
    await sweep(identity, minutes=11)
    assert (await admin.client.get(path)).json()["status"] == "running"
    assert await people.identity.run_tasks() == 0


async def test_a_mail_that_may_have_gone_out_is_not_sent_again(
    identity: Harness, people: People, mailbox: Mailbox
):
    ada, admin = await canary(people), await people.admin()
    mailbox.messages.clear()
    job = await asked(ada)
    async with identity.db.session() as session:  # the task was killed after it had claimed the mail
        await session.execute(text("UPDATE privacy_jobs SET farewell = 'sending'"))
    await sweep(identity, seconds=7)
    assert mailbox.messages == []
    assert (await admin.client.get(f"/api/jobs/{job['uuid']}/")).json()["status"] == "running"


@pytest.mark.parametrize("kind", ["PersonErased", "ExportPartPacked"])
async def test_an_answer_to_an_unknown_job_is_no_error(identity: Harness, kind: str):
    values = {"job": UUID(int=1), "user": UUID(int=2), "rows": 1}
    if kind == "ExportPartPacked":
        path = f"{UUID(int=1)}/forum-1.json"
        values |= {"object": path, "sha256": "0" * 64, "bytes": 1, "files": 0}
    outcome = await identity.deliver(getattr(forum, kind)(**values))
    assert (outcome.applied, outcome.parked) == (1, 0)
