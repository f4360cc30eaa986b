"""Signing keys: rotated on schedule, published before first use, kept as long as tokens of theirs live."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from libs.common.runtime.clock import SettableClock
from libs.common.security.tokens import REFRESH_SECONDS, InvalidToken, KeySet, TokenVerifier, mint
from libs.common.testing.harness import Harness
from services.identity.keys import PUBLISH_AHEAD, RELOAD_SECONDS, KeyRing, add_key, rotate_keys
from services.identity.models import TokenKey
from services.identity.tests.conftest import People


async def rows(identity: Harness) -> list[TokenKey]:
    async with identity.db.sessions() as session:
        return list(await session.scalars(select(TokenKey).order_by(TokenKey.signs_from)))


@pytest.fixture
async def ring(identity: Harness) -> tuple[KeyRing, SettableClock]:
    """A process's keys on a clock of its own; the first key is made at its start."""
    async with identity.db.session() as session:
        await session.execute(text("DELETE FROM token_keys"))
    clock = SettableClock()
    ring = KeyRing(identity.db, identity.app.state.identity.crypto, KeySet(jwks={"keys": []}), clock)
    await ring.load()
    return ring, clock


async def sweep(identity: Harness, clock: SettableClock) -> None:
    await identity.run_task("identity.rotate_old_key", clock=clock)


async def test_another_key_is_published_when_the_newest_is_thirty_days_old(
    identity: Harness, ring: tuple[KeyRing, SettableClock]
):
    keys, clock = ring
    first = keys.signing_key().kid
    clock.advance(days=29, hours=23)
    await sweep(identity, clock)
    assert len(await rows(identity)) == 1
    clock.advance(hours=1)
    await asyncio.gather(*(sweep(identity, clock) for _ in range(3)))
    assert len(await rows(identity)) == 2
    await keys.load()
    # Published at once, but it does not sign before everybody has had the time to fetch it.
    assert len(keys.jwks["keys"]) == 2
    assert keys.signing_key().kid == first
    clock.advance(seconds=PUBLISH_AHEAD.total_seconds() - 1)
    assert keys.signing_key().kid == first
    clock.advance(seconds=1)
    assert keys.signing_key().kid != first


@pytest.mark.promise("keys")
async def test_the_old_key_is_kept_for_the_life_of_a_token_and_then_wiped(
    identity: Harness, ring: tuple[KeyRing, SettableClock]
):
    keys, clock = ring
    first = keys.signing_key().kid
    clock.advance(days=30)
    await sweep(identity, clock)
    clock.now += PUBLISH_AHEAD + timedelta(seconds=600)
    await sweep(identity, clock)
    await keys.load()
    assert first in [key["kid"] for key in keys.jwks["keys"]]
    clock.advance(seconds=61)
    await sweep(identity, clock)
    old, new = await rows(identity)
    assert (old.kid, old.retired_at, old.private_key) == (first, clock.now, None)
    assert (new.retired_at, new.private_key is None) == (None, False)
    await keys.load()
    assert [key["kid"] for key in keys.jwks["keys"]] == [new.kid]
    assert keys.signing_key().kid == new.kid


async def test_private_halves_are_encrypted(identity: Harness, ring: tuple[KeyRing, SettableClock]):
    [row] = await rows(identity)
    assert row.private_key is not None
    assert b"PRIVATE KEY" not in row.private_key
    assert "d" not in row.public_jwk


@pytest.mark.promise("keys")
async def test_no_token_is_refused_while_keys_rotate(identity: Harness, ring: tuple[KeyRing, SettableClock]):
    """Forty minutes in steps of five seconds: identity reloads every 20 s, another service fetches the public
    keys as seldom as it may, and every token is checked when it is new, in the middle and at its end."""
    keys, clock = ring
    clock.advance(days=30)
    start = clock.now
    elsewhere = KeySet(jwks=keys.jwks)
    verifiers = [TokenVerifier("lectern", "lectern-api", which, clock) for which in (keys.keys, elsewhere)]
    tokens: dict[int, str] = {}
    kids = set()
    for second in range(0, 2400, 5):
        clock.now = start + timedelta(seconds=second)
        if second % 600 == 100:
            await sweep(identity, clock)
        if second % RELOAD_SECONDS == 0:
            await keys.load()
        if second % (1.1 * REFRESH_SECONDS) < 5:
            elsewhere.replace(keys.jwks)
        key = keys.signing_key()
        kids.add(key.kid)
        tokens[second] = mint(
            key, issuer="lectern", audience="lectern-api", user=uuid4(), session=uuid4(), role="student",
            version=1, clock=clock,
        )  # fmt: skip
        for age in (0, 300, 595):
            for verifier in verifiers:
                if second >= age:
                    verifier.verify(tokens[second - age])
    assert len(kids) == 2
    assert [row.retired_at is not None for row in await rows(identity)] == [True, False]
    with pytest.raises(InvalidToken, match="unknown_key"):
        verifiers[0].verify(tokens[0])


@pytest.mark.promise("keys")
async def test_requests_go_on_while_keys_are_added_and_taken_over(identity: Harness, people: People):
    parts = identity.app.state.identity
    ada = await people.join("ada@lectern.example")
    kids = {parts.ring.signing_key().kid}
    done = asyncio.Event()

    async def use(refresh: str) -> int:
        count = 0
        while not done.is_set():
            answer = await identity.client().post("/api/accounts/refresh/", json={"refresh": refresh})
            assert answer.status_code == 200
            refresh = answer.json()["refresh"]
            me = await identity.client(answer.json()["access"]).get("/api/accounts/users/me/")
            assert me.status_code == 200
            count += 1
        return count

    async def rotate() -> None:
        for _ in range(5):
            async with identity.db.session() as session:
                kids.add(await add_key(session, parts.crypto, parts.clock()))
            await parts.ring.load()
            await asyncio.sleep(0)
        done.set()

    sessions = [ada, *[await people.login(ada.email) for _ in range(3)]]
    counts, _ = await asyncio.gather(asyncio.gather(*(use(each.refresh) for each in sessions)), rotate())
    assert min(counts) > 0
    assert len(kids) == 6


async def test_a_rotation_by_hand_publishes_before_use_too(identity: Harness, people: People):
    parts = identity.app.state.identity
    before = parts.ring.signing_key().kid
    async with identity.db.session() as session:
        kid = await rotate_keys(session, parts.crypto, parts.clock(), 600)
    await parts.ring.load()
    assert kid in [key["kid"] for key in parts.ring.jwks["keys"]]
    assert parts.ring.signing_key().kid == before
    ada = await people.join("ada@lectern.example")
    assert (await ada.client.get("/api/accounts/users/me/")).status_code == 200
