"""Passwords: how they are kept, changed by who knows the old one, reset by who reads the mail."""

import asyncio
import statistics
import time

import pytest
from argon2 import PasswordHasher, extract_parameters
from sqlalchemy import text

from conftest import Mailbox
from libs.common.testing.harness import Harness
from services.identity.passwords import HASHER
from services.identity.tests.conftest import PASSWORD, People

NEW = "Another-good-one-2"


async def stored(identity: Harness) -> str:
    async with identity.db.sessions() as session:
        return str(await session.scalar(text("SELECT password_hash FROM users")))


@pytest.mark.promise("password hashing")
async def test_hashes_are_argon2id_and_renewed_at_login_when_the_parameters_change(
    identity: Harness, people: People
):
    ada = await people.join("ada@lectern.example")
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    for known in (await stored(identity), weak):
        async with identity.db.session() as session:
            await session.execute(text("UPDATE users SET password_hash = :h"), {"h": known})
        await people.login(ada.email)
        found = extract_parameters(await stored(identity))
        assert (found.type.name, found.memory_cost, found.time_cost, found.parallelism) == ("ID", 19456, 2, 1)
        assert HASHER.verify(PASSWORD, await stored(identity))


@pytest.mark.promise("password hashing")
async def test_all_128_characters_and_the_space_around_them_count(identity: Harness, people: People):
    long = " " + "ab-Ü😀" * 25 + "z "
    assert len(long) == 128
    assert (await people.register("ada@lectern.example", password=long)).status_code == 201
    assert HASHER.verify(long, await stored(identity))
    for wrong in (long[:-1], long.strip(), long[:-2] + "y ", long + "x"):
        assert not HASHER.verify(wrong, await stored(identity))
        answer = await people.register("eve@lectern.example", password=long + "x")
        assert (answer.status_code, answer.json()["code"]) == (422, "password_refused")


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
    await identity.run_tasks()
    assert mailbox.messages[-1]["Subject"] == "Your Lectern password was changed"
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


async def test_a_change_keeps_the_calling_session_and_ends_the_others(
    identity: Harness, people: People, mailbox: Mailbox
):
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
    await identity.run_tasks()
    assert "password of your account was changed" in mailbox.text()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"current_password": "not-my-password"}, "current_password"),
        ({"new_password": "password123", "confirm_password": "password123"}, "new_password"),
        ({"confirm_password": "different-1"}, "confirm_password"),
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


async def test_two_hundred_logins_at_once_stall_nobody_else(identity: Harness, people: People):
    await people.join("ada@lectern.example")
    client, beside = identity.client(), identity.client()
    times: list[float] = []
    done = asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            begin = time.perf_counter()
            assert (await beside.get("/livez")).status_code == 200
            times.append(time.perf_counter() - begin)
            await asyncio.sleep(0.005)

    async def login(number: int) -> int:
        email = "ada@lectern.example" if number % 2 else f"nobody{number}@lectern.example"
        body = {"email": email, "password": PASSWORD}
        return (await client.post("/api/accounts/login/", json=body)).status_code

    looking = asyncio.create_task(look())
    statuses = await asyncio.gather(*(login(number) for number in range(200)))
    done.set()
    await looking
    assert sorted(set(statuses)) == [200, 401]
    assert statistics.quantiles(times, n=100)[98] < 0.1
