"""What a code proves: the registration that asked for it, and nothing that others said of the address."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from conftest import Mailbox
from libs.common.data.jobs import TaskRun
from libs.common.runtime.clock import SettableClock, system_clock
from libs.common.runtime.trace import tracing
from libs.common.testing.harness import Harness
from services.identity.admin import create_admin, create_people
from services.identity.tests.conftest import PASSWORD, Account, People, dump

ADA = "ada@lectern.example"
EVIL = "Attackers-own-pass-9"
NEW = "Another-good-one-2"
MALLORY: dict[str, Any] = {
    "password": EVIL, "first_name": "Mallory", "last_name": "Malevolent", "role": "teacher",
    "phone_number": "+44 20 66666666", "date_of_birth": "1966-06-06",
}  # fmt: skip
OWNER: dict[str, Any] = {"first_name": "Ada", "last_name": "Lovelace", "role": "student"}


class Mails:
    """Runs tasks by the test's clock, and knows the codes by the name that they greet."""

    def __init__(self, identity: Harness, mailbox: Mailbox, clock: SettableClock) -> None:
        self.identity, self.mailbox, self.clock = identity, mailbox, clock

    async def post(self, path: str, body: dict[str, Any], ip: str = "192.0.2.1") -> httpx.Response:
        headers = {"X-Forwarded-For": ip}
        answer = await self.identity.client().post(f"/api/accounts/{path}/", json=body, headers=headers)
        await self.started()
        return answer

    async def started(self) -> None:
        while self.identity.queue.started:
            name, arguments, trace = self.identity.queue.started.pop(0)
            with tracing(trace):
                await self.identity.tasks.by_name[name].function(
                    TaskRun(self.identity.db, self.clock), *arguments
                )

    async def register(self, fields: dict[str, Any], ip: str = "192.0.2.1") -> str | None:
        """The code that is mailed; None when none is."""
        before = len(self.mailbox.messages)
        answer = await self.post("register", {"email": ADA, "password": PASSWORD} | fields, ip)
        assert answer.status_code == 201, answer.text
        return self.mailbox.code() if len(self.mailbox.messages) > before else None

    async def sweep(self) -> None:
        await self.identity.run_task("identity.sweep_codes", clock=self.clock)
        await self.started()

    async def verify(self, code: str | None) -> httpx.Response:
        assert code is not None
        return await self.post("verify-email", {"email": ADA, "verification_code": code})

    async def reset(self, code: str, password: str = NEW) -> int:
        body = {"email": ADA, "reset_code": code, "new_password": password, "confirm_password": password}
        return (await self.post("password-reset-confirm", body)).status_code

    async def login(self, password: str) -> httpx.Response:
        return await self.post("login", {"email": ADA, "password": password})

    def later(self) -> None:
        self.clock.advance(seconds=61)


@pytest.fixture
def mails(identity: Harness, mailbox: Mailbox, clock: SettableClock) -> Mails:
    return Mails(identity, mailbox, clock)


async def assert_nothing_is_left(identity: Harness, mails: Mails) -> None:
    assert (await mails.login(EVIL)).status_code == 401
    everything = await dump(identity)
    state = "\n".join(line for line in everything.splitlines() if "user_registered" not in line)
    async with identity.db.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM registrations")) == 0
        await session.execute(text("DELETE FROM outbox"))  # history: it told of the first registration
    state = await dump(identity)
    for word in ("Mallory", "Malevolent", "66666666", "1966-06-06", "6.6.6.6"):
        assert word not in state


@pytest.mark.promise("codes")
async def test_a_code_verifies_the_registration_that_asked_for_it_and_nothing_is_left_of_an_earlier_one(
    identity: Harness, mails: Mails, mailbox: Mailbox
):
    await mails.register(MALLORY, "6.6.6.6")
    mails.later()
    code = await mails.register(OWNER)
    assert "Hello Ada Lovelace," in mailbox.text()
    verified = await mails.verify(code)
    user = verified.json()["user"]
    assert (user["full_name"], user["role"], user["phone_number"], user["date_of_birth"]) == (
        "Ada Lovelace", "student", "", None,
    )  # fmt: skip
    assert (await mails.login(PASSWORD)).status_code == 200
    await assert_nothing_is_left(identity, mails)


@pytest.mark.promise("codes")
async def test_who_registers_after_the_owner_does_not_get_into_what_her_code_verifies(
    identity: Harness, mails: Mails, mailbox: Mailbox
):
    hers = await mails.register(OWNER)
    mails.later()
    theirs = await mails.register(MALLORY, "6.6.6.6")
    assert "Hello Mallory Malevolent," in mailbox.text()
    assert (await mails.verify(hers)).json()["user"]["full_name"] == "Ada Lovelace"
    assert (await mails.verify(theirs)).status_code == 422
    await assert_nothing_is_left(identity, mails)


@pytest.mark.promise("codes")
@pytest.mark.parametrize("first", [MALLORY, OWNER], ids=["attacker first", "owner first"])
async def test_registrations_within_a_minute_get_a_code_each(
    identity: Harness, mails: Mails, mailbox: Mailbox, first: dict[str, Any]
):
    second = OWNER if first is MALLORY else MALLORY
    one, waits = [
        await mails.register(fields, "6.6.6.6" if fields is MALLORY else "192.0.2.1")
        for fields in (first, second)
    ]
    assert waits is None
    for _ in range(2):  # a sweep before the minute is over sends nothing
        await mails.sweep()
        assert len(mailbox.messages) == 1
    mails.later()
    mails.clock.advance(seconds=10)
    await mails.sweep()
    assert len(mailbox.messages) == 2
    other = mailbox.code()
    assert f"Hello {second['first_name']} {second['last_name']}," in mailbox.text()
    hers, theirs = (other, one) if second is OWNER else (one, other)
    assert (await mails.verify(hers)).json()["user"]["full_name"] == "Ada Lovelace"
    assert (await mails.verify(theirs)).status_code == 422
    await assert_nothing_is_left(identity, mails)


@pytest.mark.promise("codes")
async def test_a_registration_too_many_cannot_be_verified_by_anothers_code_nor_by_one_sent_again(
    identity: Harness, mails: Mails
):
    hers = await mails.register(OWNER)
    for number in range(2):
        await mails.register(OWNER | {"first_name": f"Ada{number}"})
    assert await mails.register(MALLORY, "6.6.6.6") is None
    assert (await mails.login(EVIL)).status_code == 401
    async with identity.db.sessions() as session:
        kept = (await session.scalars(text("SELECT first_name FROM registrations ORDER BY 1"))).all()
    assert kept == ["Ada", "Ada0", "Ada1"]
    assert (await mails.verify(hers)).json()["user"]["full_name"] == "Ada Lovelace"
    await assert_nothing_is_left(identity, mails)


@pytest.mark.parametrize(
    ("ip", "name"), [("192.0.2.77", "Ada Lovelace"), ("203.0.113.5", "Mallory Malevolent")]
)
async def test_a_code_sent_again_is_for_the_registration_from_the_same_network_else_for_the_last_one(
    mails: Mails, mailbox: Mailbox, ip: str, name: str
):
    await mails.register(OWNER, "192.0.2.1")
    mails.later()
    await mails.register(MALLORY, "6.6.6.6")
    mails.later()
    await mails.post("resend-verification", {"email": ADA}, ip)
    assert f"Hello {name}," in mailbox.text()
    assert (await mails.verify(mailbox.code())).json()["user"]["full_name"] == name


async def test_wrong_tries_count_at_the_codes_of_all_registrations(mails: Mails):
    first = await mails.register(MALLORY, "6.6.6.6")
    mails.later()
    second = await mails.register(OWNER)
    assert first
    assert second
    wrong = next(f"{n:06d}" for n in range(3) if f"{n:06d}" not in (first, second))
    for _ in range(5):
        assert (await mails.verify(wrong)).status_code == 422
    assert [(await mails.verify(code)).status_code for code in (first, second)] == [422, 422]


async def test_two_codes_entered_at_once_make_one_account_of_one_registration(
    identity: Harness, mails: Mails
):
    first = await mails.register(MALLORY, "6.6.6.6")
    mails.later()
    second = await mails.register(OWNER)
    answers = await asyncio.gather(*(mails.verify(code) for code in [first, second] * 4))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 7
    won = next(answer.json()["user"] for answer in answers if answer.status_code == 200)
    password = {"Ada": PASSWORD, "Mallory": EVIL}[won["first_name"]]
    assert (await mails.login(password)).json()["user"]["full_name"] == won["full_name"]
    assert (await mails.login(EVIL if password == PASSWORD else PASSWORD)).status_code == 401


async def test_registrations_at_once_keep_those_that_are_mailed(
    identity: Harness, mails: Mails, mailbox: Mailbox
):
    names = [f"Name{number}" for number in range(8)]
    await asyncio.gather(*(mails.register(OWNER | {"first_name": name}) for name in names))
    await mails.identity.run_tasks()
    assert len(mailbox.messages) == 1
    for _ in range(5):
        mails.later()
        await mails.sweep()
    async with identity.db.sessions() as session:
        kept = (await session.scalars(text("SELECT first_name FROM registrations"))).all()
    greeted = {name for name in names for mail in range(3) if f"Hello {name} Lovelace," in mailbox.text(mail)}
    assert len(mailbox.messages) == len(kept) == 3
    assert greeted == set(kept)
    verified = (await mails.verify(mailbox.code())).json()["user"]["full_name"]
    assert f"Hello {verified}," in mailbox.text()


@pytest.mark.promise("codes")
async def test_a_reset_proves_the_address_and_leaves_nothing_of_an_unverified_registration(
    identity: Harness, mails: Mails, mailbox: Mailbox
):
    theirs = await mails.register(MALLORY, "6.6.6.6")
    await mails.post("password-reset", {"email": ADA})
    assert "Mallory" not in mailbox.text()
    assert await mails.reset(mailbox.code()) == 200
    assert (await mails.verify(theirs)).status_code == 422
    user = (await mails.login(NEW)).json()["user"]
    assert (user["full_name"], user["role"], user["is_verified"]) == ("ada", "student", True)
    await assert_nothing_is_left(identity, mails)


async def stale_session(identity: Harness) -> None:
    """What an unverified account should never have had."""
    for statement in (
        "INSERT INTO sessions (uuid, version, user_uuid, salt, device, ip, expires_at)"
        " SELECT gen_random_uuid(), 1, uuid, 'x', '', '6.6.6.6', now() + interval '1 day' FROM users",
        "INSERT INTO totp_secrets (user_uuid, secret, last_step) SELECT uuid, 'x', 0 FROM users",
        "INSERT INTO recovery_codes (user_uuid, code_hmac) SELECT uuid, 'x' FROM users",
        "UPDATE users SET mfa_enabled = true, avatar = 'Mallory.webp', profile = '{\"bio\": \"Mallory\"}'",
    ):
        async with identity.db.session() as session:
            await session.execute(text(statement))


def by_code(mails: Mails) -> Callable[[], Awaitable[Any]]:
    async def prove() -> None:
        mails.later()
        assert (await mails.verify(await mails.register(OWNER))).status_code == 200

    return prove


def by_reset(mails: Mails) -> Callable[[], Awaitable[Any]]:
    async def prove() -> None:
        await mails.post("password-reset", {"email": ADA})
        assert await mails.reset(mails.mailbox.code(), PASSWORD) == 200

    return prove


def by_operator(mails: Mails) -> Callable[[], Awaitable[Any]]:
    return lambda: create_admin(mails.identity.db, ADA, PASSWORD, "Ada", "Lovelace")


def by_import(mails: Mails) -> Callable[[], Awaitable[Any]]:
    line = '{"email": "ada@lectern.example", "first_name": "Ada", "last_name": "Lovelace"}'
    return lambda: create_people(mails.identity.db, PASSWORD, [line])


@pytest.mark.parametrize("way", [by_code, by_reset, by_operator, by_import])
async def test_every_way_to_prove_an_address_ends_what_was_there_before(
    identity: Harness, mails: Mails, way: Callable[[Mails], Callable[[], Awaitable[Any]]]
):
    await mails.register(MALLORY, "6.6.6.6")
    await stale_session(identity)
    await way(mails)()
    user = (await mails.login(PASSWORD)).json()["user"]
    assert (user["mfa_enabled"], user["avatar"], user["profile"]["bio"]) == (False, None, "")
    async with identity.db.session() as session:
        live = await session.scalar(text("SELECT count(*) FROM sessions WHERE ended_at IS NULL"))
        assert live == (2 if way is by_code else 1)
        assert await session.scalar(text("SELECT count(*) FROM totp_secrets")) == 0
        assert await session.scalar(text("SELECT count(*) FROM recovery_codes")) == 0
        await session.execute(text("UPDATE sessions SET ip = '' WHERE ended_at IS NOT NULL"))
    await assert_nothing_is_left(identity, mails)


async def test_a_role_is_given_to_proved_addresses_only(identity: Harness, people: People, mails: Mails):
    admin = await people.admin()
    await mails.register(MALLORY)
    async with identity.db.sessions() as session:
        uuid = await session.scalar(text("SELECT uuid FROM users WHERE NOT is_verified"))
    answer = await admin.client.patch(f"/api/accounts/users/{uuid}/", json={"role": "manager"})
    assert (answer.status_code, answer.json()["code"]) == (409, "address_not_verified")


async def change_password(mails: Mails, ada: Account, admin: Account) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW, "confirm_password": NEW}
    assert (await ada.client.post("/api/accounts/change-password/", json=body)).status_code == 200


async def reset_again(mails: Mails, ada: Account, admin: Account) -> None:
    mails.later()
    await mails.post("password-reset", {"email": ADA})
    assert await mails.reset(mails.mailbox.code()) == 200


async def disable(mails: Mails, ada: Account, admin: Account) -> None:
    await _patch(ada, admin, {"is_active": False})


async def disable_and_enable(mails: Mails, ada: Account, admin: Account) -> None:
    await _patch(ada, admin, {"is_active": False})
    await _patch(ada, admin, {"is_active": True})


async def change_role(mails: Mails, ada: Account, admin: Account) -> None:
    await _patch(ada, admin, {"role": "teacher"})


async def erase(mails: Mails, ada: Account, admin: Account) -> None:
    body = {"password": PASSWORD}
    answer = await ada.client.request("DELETE", "/api/accounts/users/me/", json=body)
    assert answer.status_code == 202


async def _patch(ada: Account, admin: Account, body: dict[str, Any]) -> None:
    answer = await admin.client.patch(f"/api/accounts/users/{ada.user['uuid']}/", json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.promise("codes")
@pytest.mark.parametrize(
    "change", [change_password, reset_again, disable, disable_and_enable, change_role, erase]
)
@pytest.mark.parametrize("sent", [True, False])
async def test_a_reset_code_dies_with_every_change_of_who_may_log_in(
    identity: Harness, people: People, mails: Mails, mailbox: Mailbox, change: Any, sent: bool
):
    admin, ada = await people.admin(), await people.join(ADA)
    client = identity.client()
    await client.post("/api/accounts/password-reset/", json={"email": ADA})
    count = len(mailbox.messages)
    if not sent:  # the task that mails it is late
        late = identity.queue.started.pop()
        await change(mails, ada, admin)
        mailbox.messages.clear()
        await identity.run_task(late[0], *late[1])
        await identity.run_task("identity.sweep_codes", clock=lambda: system_clock() + timedelta(seconds=61))
        await identity.run_tasks()
        assert not [mail for mail in mailbox.messages if "Reset" in mail["Subject"]]
        return
    await identity.run_tasks()
    assert len(mailbox.messages) == count + 1
    code = mailbox.code()
    await change(mails, ada, admin)
    assert await mails.reset(code, "Yet-another-pass-3") == 422


async def test_a_code_to_verify_dies_when_its_account_is_disabled(
    identity: Harness, people: People, mails: Mails
):
    admin = await people.admin()
    code = await mails.register(OWNER)
    async with identity.db.sessions() as session:
        uuid: UUID = await session.scalar(text("SELECT uuid FROM users WHERE NOT is_verified"))
    for active in (False, True):
        await admin.client.patch(f"/api/accounts/users/{uuid}/", json={"is_active": active})
    assert (await mails.verify(code)).status_code == 422
    mails.later()
    await mails.post("resend-verification", {"email": ADA})
    assert (await mails.verify(mails.mailbox.code())).status_code == 200


@pytest.mark.promise("codes")
@pytest.mark.parametrize("purpose", ["verify", "reset"])
async def test_a_code_sent_twice_at_once_is_used_once_and_never_a_503(
    identity: Harness, people: People, mails: Mails, mailbox: Mailbox, purpose: str
):
    for _ in range(8):
        await identity.reset()
        mailbox.messages.clear()
        if purpose == "verify":
            code = await mails.register(OWNER)
            answers = [a.status_code for a in await asyncio.gather(*(mails.verify(code) for _ in range(2)))]
        else:
            await people.join(ADA)
            await mails.post("password-reset", {"email": ADA})
            answers = await asyncio.gather(*(mails.reset(mailbox.code()) for _ in range(2)))
        assert sorted(answers) == [200, 422]


async def test_registrations_that_nobody_verifies_are_forgotten(identity: Harness, mails: Mails):
    await mails.register(MALLORY)
    await identity.run_task("identity.sweep_old", clock=lambda: system_clock() + timedelta(days=31))
    async with identity.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM registrations")) == 0
