"""Failed tries cost a delay, per account and place; nobody is locked out for good, or by somebody else."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from conftest import Mailbox
from libs.common.runtime.clock import SettableClock, system_clock
from libs.common.runtime.networks import network_of
from libs.common.testing.harness import Harness
from services.identity.errors import BadCredentials, TooManyAttempts
from services.identity.tests.conftest import PASSWORD, People
from services.identity.throttle import throttled

STANDING = pytest.mark.usefixtures("clock")  # delays end when a test says so, however slow the machine is
ADA = "ada@lectern.example"
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


async def login(
    identity: Harness, password: str = "wrong-one-1", email: str = ADA, ip: str = HOME
) -> httpx.Response:
    body = {"email": email, "password": password}
    client = identity.client(**{"X-Forwarded-For": ip})
    return await client.post("/api/accounts/login/", json=body)


async def count(identity: Harness, query: str) -> int:
    async with identity.db.sessions() as session:
        return int(await session.scalar(text(query)) or 0)


async def test_the_delay_begins_after_five_failures_and_is_the_same_for_unknown_addresses(
    identity: Harness, people: People, clock: SettableClock
):
    await people.join(ADA)

    async def statuses(email: str) -> list[tuple[int, str | None]]:
        found = []
        for seconds in (0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0):
            clock.advance(seconds=seconds)
            answer = await login(identity, email=email)
            found.append((answer.status_code, answer.headers.get("retry-after")))
        clock.advance(seconds=100)
        assert answer.json()["code"] == "too_many_attempts"
        return found

    known = await statuses(ADA)
    assert known == [(401, None)] * 5 + [
        (429, "1"), (401, None), (429, "2"), (429, "1"), (401, None), (429, "4")
    ]  # fmt: skip
    assert await statuses("nobody@lectern.example") == known


async def test_after_the_delay_the_right_password_is_taken(
    identity: Harness, people: People, clock: SettableClock
):
    await people.join(ADA)
    for _ in range(5):
        assert (await login(identity)).status_code == 401
    assert (await login(identity, PASSWORD)).status_code == 429
    clock.advance(seconds=1)
    assert (await login(identity, PASSWORD)).status_code == 200
    assert (await login(identity)).status_code == 401


@pytest.mark.promise("login throttle")
async def test_an_attacker_who_fails_a_thousand_times_does_not_keep_the_owner_out(
    identity: Harness, people: People, clock: SettableClock
):
    await people.join(ADA)
    parts = identity.app.state.identity
    key = (parts.crypto.account_hmac(ADA), network_of(ELSEWHERE))
    for _ in range(1000):
        with pytest.raises(BadCredentials):
            async with throttled(identity.db, parts.turns, clock, key):
                raise BadCredentials
        clock.advance(minutes=15)
    clock.advance(minutes=-15)
    attacker = await login(identity, PASSWORD, ip=ELSEWHERE)
    assert (attacker.status_code, attacker.headers["retry-after"]) == (429, "900")
    assert (await login(identity, PASSWORD)).status_code == 200
    # Even where the attacker sits it is a delay and no lock, and a success elsewhere has not ended it.
    assert (await login(identity, PASSWORD, ip=ELSEWHERE)).status_code == 429
    clock.advance(minutes=15)
    assert (await login(identity, PASSWORD, ip=ELSEWHERE)).status_code == 200


@STANDING
@pytest.mark.promise("login throttle")
async def test_parallel_tries_cannot_slip_through(identity: Harness, people: People):
    await people.join(ADA)
    answers = await asyncio.gather(*(login(identity) for _ in range(40)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 35
    assert await count(identity, "SELECT count(*) FROM activities WHERE kind = 'login_failed'") == 5


@STANDING
async def test_tries_of_several_processes_are_counted_together(identity: Harness, people: People):
    from services.identity.throttle import Turns

    parts = identity.app.state.identity
    key = (parts.crypto.account_hmac(ADA), network_of(HOME))

    async def fail() -> bool:
        try:
            async with throttled(identity.db, Turns(), parts.clock, key):  # turns of a process of its own
                raise BadCredentials
        except TooManyAttempts:
            return False
        except BadCredentials:
            return True

    assert sum(await asyncio.gather(*(fail() for _ in range(30)))) == 5


async def test_parallel_logins_with_the_right_password_all_succeed(identity: Harness, people: People):
    await people.join(ADA)
    answers = await asyncio.gather(*(login(identity, PASSWORD) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_success_forgets_the_failures_of_its_place_only(identity: Harness, people: People):
    await people.join(ADA)
    for ip in (HOME, ELSEWHERE):
        for _ in range(4):
            assert (await login(identity, ip=ip)).status_code == 401
    assert (await login(identity, PASSWORD)).status_code == 200
    for ip, statuses in ((HOME, [401, 401]), (ELSEWHERE, [401, 429])):
        assert [(await login(identity, ip=ip)).status_code for _ in range(2)] == statuses


async def test_a_reset_password_can_be_used_at_once(identity: Harness, people: People, mailbox: Mailbox):
    await people.join(ADA)
    for _ in range(6):
        last = await login(identity)
    assert last.status_code == 429
    new = "Another-good-one-2"
    client = identity.client(**{"X-Forwarded-For": HOME})
    await client.post("/api/accounts/password-reset/", json={"email": ADA})
    await identity.run_tasks()
    body = {"email": ADA, "reset_code": mailbox.code(), "new_password": new, "confirm_password": new}
    assert (await client.post("/api/accounts/password-reset-confirm/", json=body)).status_code == 200
    assert (await login(identity, new)).status_code == 200


async def test_guessing_the_current_password_is_throttled_per_session(
    identity: Harness, people: People, clock: SettableClock
):
    ada = await people.join(ADA)
    phone = await people.login(ADA)
    new = "Another-good-one-2"
    body = {"current_password": "wrong-one-1", "new_password": new, "confirm_password": new}
    path = "/api/accounts/change-password/"
    answers = await asyncio.gather(*(ada.client.post(path, json=body) for _ in range(7)))
    assert sorted(answer.status_code for answer in answers) == [422] * 5 + [429] * 2
    right = body | {"current_password": PASSWORD}
    blocked = await ada.client.post(path, json=right)
    assert (blocked.status_code, blocked.headers["retry-after"]) == (429, "1")
    assert (await phone.client.post(path, json=right)).status_code == 200


async def test_failures_long_past_are_swept(identity: Harness, people: People):
    await login(identity)
    await identity.run_task("identity.sweep_old", clock=lambda: system_clock() + timedelta(hours=23))
    assert await count(identity, "SELECT count(*) FROM throttles") == 1
    await identity.run_task("identity.sweep_old", clock=lambda: system_clock() + timedelta(hours=25))
    assert await count(identity, "SELECT count(*) FROM throttles") == 0


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, 203.0.113.9", "127.0.0.1"),
        ("<script>", "127.0.0.1"),
    ],
)
async def test_the_address_is_the_one_that_the_gateway_saw(
    identity: Harness, people: People, header: str, seen: str
):
    await people.join(ADA)
    body = (await login(identity, PASSWORD, ip=header)).json()
    client = identity.client(body["access"])
    for path in ("sessions", "activity"):
        rows = (await client.get(f"/api/accounts/users/me/{path}/")).json()["results"]
        assert rows[0]["ip"] == seen
