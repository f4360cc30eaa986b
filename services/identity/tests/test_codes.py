"""Mailed codes: single use, few tries each, few wrong ones an hour, nowhere to be read but in the mail."""

import asyncio
import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from conftest import Mailbox
from libs.common.data.jobs import TaskRun
from libs.common.runtime.clock import SettableClock, system_clock
from libs.common.runtime.trace import tracing
from libs.common.testing.harness import Harness
from services.identity.tests.conftest import PASSWORD, People, dump

ADA = "ada@lectern.example"


async def submit(identity: Harness, code: str, purpose: str = "verify") -> int:
    if purpose == "verify":
        path, body = "verify-email", {"email": ADA, "verification_code": code}
    else:
        new = {"new_password": "Another-good-one-2", "confirm_password": "Another-good-one-2"}
        path, body = "password-reset-confirm", {"email": ADA, "reset_code": code} | new
    answer = await identity.client().post(f"/api/accounts/{path}/", json=body)
    assert answer.status_code == 200 or answer.json()["code"] == "invalid_code", answer.text
    return answer.status_code


async def another_code(identity: Harness, mailbox: Mailbox, clock: SettableClock) -> str:
    """One more code to verify the address, a minute later."""
    clock.advance(seconds=61)
    await identity.client().post("/api/accounts/resend-verification/", json={"email": ADA})
    while identity.queue.started:
        name, arguments, trace = identity.queue.started.pop(0)
        with tracing(trace):
            await identity.tasks.by_name[name].function(TaskRun(identity.db, clock), *arguments)
    return mailbox.code()


def wrong(code: str, by: int = 1) -> str:
    return f"{(int(code) + by) % 1_000_000:06d}"


async def test_fifty_parallel_submissions_of_a_code_have_one_success(
    identity: Harness, people: People, mailbox: Mailbox
):
    await people.register(ADA)
    answers = await asyncio.gather(*(submit(identity, mailbox.code()) for _ in range(50)))
    assert sorted(answers) == [200] + [422] * 49


@pytest.mark.promise("codes")
@pytest.mark.parametrize("purpose", ["verify", "reset"])
@pytest.mark.parametrize(("tries", "status"), [(4, 200), (5, 422)])
async def test_five_wrong_tries_kill_a_code(
    identity: Harness, people: People, mailbox: Mailbox, purpose: str, tries: int, status: int
):
    await people.register(ADA)
    if purpose == "reset":
        await submit(identity, mailbox.code())
        await identity.client().post("/api/accounts/password-reset/", json={"email": ADA})
        await identity.run_tasks()
    right = mailbox.code()
    for _ in range(tries):
        assert await submit(identity, wrong(right), purpose) == 422
    assert await submit(identity, right, purpose) == status


@pytest.mark.promise("codes")
async def test_parallel_wrong_tries_are_counted_like_those_in_a_row(
    identity: Harness, people: People, mailbox: Mailbox
):
    await people.register(ADA)
    right = mailbox.code()
    await asyncio.gather(*(submit(identity, wrong(right, by)) for by in range(1, 31)))
    assert await submit(identity, right) == 422
    async with identity.db.sessions() as session:
        assert await session.scalar(text("SELECT tries FROM code_mails")) == 5
        assert await session.scalar(text("SELECT count(*) FROM code_tries")) == 5


@pytest.mark.promise("codes")
async def test_after_fifteen_wrong_tries_no_code_is_taken_until_the_hour_has_passed(
    identity: Harness, people: People, mailbox: Mailbox, clock: SettableClock
):
    await people.register(ADA)
    code = mailbox.code()
    first = clock.now
    for round in range(3):
        await asyncio.gather(*(submit(identity, wrong(code, by)) for by in range(1, 9)))
        code = await another_code(identity, mailbox, clock)
        assert round < 2 or await submit(identity, code) == 422
    clock.now = first + timedelta(minutes=58)
    code = await another_code(identity, mailbox, clock)
    assert clock.now < first + timedelta(hours=1)
    assert await submit(identity, code) == 422
    clock.now = first + timedelta(minutes=60, seconds=1)
    assert await submit(identity, code) == 200


async def test_wrong_tries_at_one_purpose_leave_the_other_alone(
    identity: Harness, people: People, mailbox: Mailbox, clock: SettableClock
):
    await people.register(ADA)
    await submit(identity, mailbox.code())
    async with identity.db.session() as session:
        await session.execute(
            text(
                "INSERT INTO code_tries SELECT gen_random_uuid(), uuid, 'verify', :now"
                " FROM users, generate_series(1, 15)"
            ),
            {"now": clock.now},
        )
    await identity.client().post("/api/accounts/password-reset/", json={"email": ADA})
    await identity.run_tasks()
    assert await submit(identity, mailbox.code(), "reset") == 200


async def test_an_expired_code_is_refused(
    identity: Harness, people: People, mailbox: Mailbox, clock: SettableClock
):
    await people.register(ADA)
    clock.advance(seconds=601)
    assert await submit(identity, mailbox.code()) == 422


async def test_only_the_newest_code_counts(
    identity: Harness, people: People, mailbox: Mailbox, clock: SettableClock
):
    await people.register(ADA)
    older = mailbox.code()
    newer = await another_code(identity, mailbox, clock)
    assert older == newer or await submit(identity, older) == 422
    assert await submit(identity, newer) == 200


async def test_old_tries_are_swept(identity: Harness, people: People, mailbox: Mailbox):
    await people.register(ADA)
    await submit(identity, wrong(mailbox.code()))
    await identity.run_task("identity.sweep_old", clock=lambda: system_clock() + timedelta(minutes=61))
    async with identity.db.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM code_tries")) == 0


@pytest.mark.promise("codes")
async def test_a_dump_of_the_database_holds_no_code_no_refresh_token_and_no_password(
    identity: Harness, people: People, mailbox: Mailbox
):
    ada = await people.join(ADA)
    client = identity.client()
    refreshed = await client.post("/api/accounts/refresh/", json={"refresh": ada.refresh})
    await client.post("/api/accounts/login/", json={"email": ADA, "password": "A-wrong-guess-7"})
    await client.post("/api/accounts/password-reset/", json={"email": ADA})
    await identity.run_tasks()
    everything = await dump(identity)
    assert "ada@lectern.example" in everything
    codes = {mailbox.code(index) for index in range(len(mailbox.messages))}
    assert len(mailbox.messages) == 2
    for secret in (PASSWORD, "A-wrong-guess-7", ada.refresh, refreshed.json()["refresh"], ada.access):
        assert secret not in everything
        assert secret.encode().hex() not in everything
    for code in codes:
        # Between other letters and digits it is part of a hash.
        assert not re.search(rf"(?<![0-9A-Za-z+/=_-]){code}(?![0-9A-Za-z+/=_-])", everything)
        assert code.encode().hex() not in everything
