"""Whether an address has an account shows neither in status, nor in body, nor in time.

200 samples of each side, interleaved. What is judged is the probability that a random sample of one side
takes longer than one of the other (the area under the ROC curve): 0.5 when time tells nothing, 0 or 1 when it
tells all. For 200 samples a side it strays by 0.029 (one standard deviation) without any difference.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from libs.common.testing.harness import Harness
from services.identity.passwords import HASHER, Passwords
from services.identity.tests.conftest import PASSWORD, People

SAMPLES = 200
MOST = 0.15
Send = Callable[[int, bool], Awaitable[httpx.Response]]


def separability(one: list[float], other: list[float]) -> float:
    """How far P(one < other) lies from a half: 0 tells nothing, 0.5 all."""
    wins = sum((a < b) + (a == b) / 2 for a in one for b in other)
    return abs(wins / (len(one) * len(other)) - 0.5)


async def sample(send: Send, samples: int, abreast: int) -> tuple[float, set[tuple[int, str]]]:
    """Separability of known and unknown addresses by time, and the different answers there were."""
    times: dict[bool, list[float]] = {True: [], False: []}
    answers = set()
    numbers = iter(range(samples))

    async def one_after_the_other() -> None:
        for number in numbers:
            for known in random.sample([True, False], 2):
                begin = time.perf_counter()
                answer = await send(number, known)
                times[known].append(time.perf_counter() - begin)
                body: dict[str, Any] = answer.json()
                shown = {name: value for name, value in body.items() if name not in ("request_id", "email")}
                answers.add((answer.status_code, str(shown)))

    await asyncio.gather(*(one_after_the_other() for _ in range(abreast)))
    return separability(times[True], times[False]), answers


def anywhere() -> dict[str, str]:
    """Each from a network of its own, so that no throttle answers."""
    return {"X-Forwarded-For": ".".join(str(random.randint(1, 223)) for _ in range(4))}


@pytest.fixture
async def known(identity: Harness, people: People) -> list[str]:
    """200 accounts, every other one verified."""
    emails = [f"known{number}@lectern.example" for number in range(SAMPLES)]
    password_hash = HASHER.hash(PASSWORD)
    async with identity.db.session() as session:
        await session.execute(
            text(
                "INSERT INTO users (uuid, version, email, password_hash, first_name, last_name, role,"
                " is_active, is_verified, phone_number, profile)"
                " SELECT gen_random_uuid(), 1, e, :hash, 'Ada', 'L', 'student', true, n % 2 = 0, '', '{}'"
                " FROM unnest(CAST(:emails AS text[])) WITH ORDINALITY AS x(e, n)"
            ),
            {"emails": emails, "hash": password_hash},
        )
    return emails


def login(identity: Harness, known: list[str]) -> Send:
    client = identity.client()

    async def send(number: int, is_known: bool) -> httpx.Response:
        email = known[number] if is_known else f"nobody{number}@lectern.example"
        body = {"email": email, "password": "wrong-one-1"}
        return await client.post("/api/accounts/login/", json=body, headers=anywhere())

    return send


@pytest.mark.promise("enumeration")
async def test_a_failed_login_does_not_tell_whether_the_address_is_known(identity: Harness, known: list[str]):
    distance, answers = await sample(login(identity, known), SAMPLES, 2)
    assert len(answers) == 1
    assert distance < MOST


async def test_without_the_dummy_hash_this_measure_would_tell(identity: Harness, known: list[str]):
    class Hasty(Passwords):
        @staticmethod
        def _verify(password: str, known: str | None) -> tuple[bool, str | None]:
            return Passwords._verify(password, known) if known else (False, None)

    before = identity.app.state.identity
    hasty = Hasty(2)
    identity.app.state.identity = replace(before, passwords=hasty)
    try:
        distance, _ = await sample(login(identity, known), 30, 1)
    finally:
        identity.app.state.identity = before
        await hasty.close()
    assert distance > MOST


def ask(identity: Harness, known: list[str], path: str) -> Send:
    client = identity.client(**{"Authorization": "Bearer nonsense"})

    async def send(number: int, is_known: bool) -> httpx.Response:
        body = {"email": known[number] if is_known else f"new{number}@lectern.example"}
        if path == "register":
            body |= {"password": PASSWORD, "first_name": "Ada", "last_name": "L"}
        answer = await client.post(f"/api/accounts/{path}/", json=body)
        assert "consistency-token" not in answer.headers
        return answer

    return send


@pytest.mark.promise("enumeration")
@pytest.mark.parametrize("path", ["register", "password-reset", "resend-verification"])
async def test_asking_about_an_address_does_not_tell_whether_it_is_known(
    identity: Harness, known: list[str], path: str
):
    distance, answers = await sample(ask(identity, known, path), SAMPLES, 8)
    assert len(answers) == 1
    assert distance < MOST


async def test_without_even_times_this_measure_would_tell(
    identity: Harness, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(identity.settings, "answer_step", 1e-6)
    distance, _ = await sample(ask(identity, known, "password-reset"), 60, 1)
    assert distance > MOST
