"""Sessions: login, refresh with rotation on acknowledgement, logout."""

import asyncio

from sqlalchemy import text

from libs.common.testing import Harness
from libs.common.tokens import KeySet, TokenVerifier
from services.identity.passwords import HASHER
from services.identity.tests.conftest import PASSWORD, People


async def refresh(identity: Harness, token: str):
    return await identity.client().post("/api/accounts/refresh/", json={"refresh": token})


async def test_wrong_password_and_unknown_address_answer_alike(identity: Harness, people: People):
    await people.join("ada@lectern.example")
    answers = [
        await identity.client().post("/api/accounts/login/", json={"email": email, "password": "wrong-one-1"})
        for email in ("ada@lectern.example", "nobody@lectern.example")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    first, second = (answer.json() | {"request_id": ""} for answer in answers)
    assert first == second
    assert first["code"] == "bad_credentials"


async def test_a_successor_is_always_the_same_until_it_is_used(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    first = (await refresh(identity, ada.refresh)).json()
    again = (await refresh(identity, ada.refresh)).json()
    assert first["refresh"] == again["refresh"] != ada.refresh
    # Using the access token of the successor acknowledges nothing.
    client = identity.client(first["access"])
    assert (await client.get("/api/accounts/users/me/")).status_code == 200
    assert (await refresh(identity, ada.refresh)).json()["refresh"] == first["refresh"]


async def test_a_predecessor_used_after_its_successor_kills_the_family(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    second = (await refresh(identity, ada.refresh)).json()["refresh"]
    third = (await refresh(identity, second)).json()["refresh"]
    reused = await refresh(identity, ada.refresh)
    assert (reused.status_code, reused.json()["code"]) == (401, "invalid_refresh_token")
    for token in (second, third):
        assert (await refresh(identity, token)).status_code == 401
    assert ("identity.session_ended.v1") in [kind for kind, _, _ in await identity.published()]


async def test_twenty_parallel_refreshes_get_one_successor(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    answers = await asyncio.gather(*(refresh(identity, ada.refresh) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh"] for answer in answers}) == 1
    assert (await refresh(identity, answers[0].json()["refresh"])).status_code == 200


async def test_a_bad_refresh_token_is_401_and_a_malformed_one_422(identity: Harness):
    assert (await refresh(identity, "x" * 43)).status_code == 401
    assert (await refresh(identity, "short")).status_code == 422
    assert (await identity.client().post("/api/accounts/refresh/", json={})).status_code == 422


async def test_logout_ends_this_session_and_all_ends_every_one(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    other = await people.login(ada.email)
    assert (await ada.client.post("/api/accounts/logout/", json={})).status_code == 200
    assert (await refresh(identity, ada.refresh)).status_code == 401
    third = await people.login(ada.email)
    assert (await other.client.post("/api/accounts/logout/", json={"all": True})).status_code == 200
    assert (await refresh(identity, third.refresh)).status_code == 401
    ended = [kind for kind, _, _ in await identity.published() if kind == "identity.session_ended.v1"]
    assert len(ended) == 3


async def test_own_sessions_are_shown_and_ended_and_not_those_of_others(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    eve = await people.join("eve@lectern.example")
    phone = await people.login(ada.email)
    page = (await ada.client.get("/api/accounts/users/me/sessions/")).json()
    assert page["count"] == 2
    other = next(row for row in page["results"] if not row["is_current"])
    path = f"/api/accounts/users/me/sessions/{other['uuid']}/"
    assert (await eve.client.delete(path)).status_code == 404
    assert (await ada.client.delete(path)).status_code == 200
    assert (await refresh(identity, phone.refresh)).status_code == 401
    assert (await ada.client.delete(path)).status_code == 404


async def test_activity_shows_logins_and_failures(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    await identity.client().post("/api/accounts/login/", json={"email": ada.email, "password": "wrong-one-1"})
    await people.login(ada.email)
    page = (await ada.client.get("/api/accounts/users/me/activity/?page_size=2")).json()
    assert [row["kind"] for row in page["results"]] == ["login", "login_failed"]
    rest = (await ada.client.get(page["next"].replace("http://127.0.0.1:8000", ""))).json()
    assert [row["kind"] for row in rest["results"]] == ["email_verified", "registered"]


async def test_tokens_verify_with_the_published_keys(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    jwks = (await identity.client().get("/.well-known/jwks.json")).json()
    assert "d" not in jwks["keys"][0]
    keys = KeySet(jwks=jwks)
    principal = TokenVerifier("lectern", "lectern-api", keys).verify(ada.access)
    assert str(principal.user) == ada.user["uuid"]


async def test_passwords_are_argon2id_and_rehashed_when_parameters_change(identity: Harness, people: People):
    from argon2 import PasswordHasher

    ada = await people.join("ada@lectern.example")

    async def stored() -> str:
        async with identity.db.sessions() as session:
            return await session.scalar(text("SELECT password_hash FROM users"))

    assert (await stored()).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    async with identity.db.session() as session:
        await session.execute(text("UPDATE users SET password_hash = :h"), {"h": weak})
    await people.login(ada.email)
    assert (await stored()).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert HASHER.verify(PASSWORD, await stored())


async def test_a_rotated_key_is_published_before_it_signs(identity: Harness, people: People):
    from libs.common.clock import system_clock
    from services.identity.keys import rotate_keys

    ring = identity.app.state.identity.ring
    before = ring.signing_key().public_jwk()["kid"]
    async with identity.db.session() as session:
        kid = await rotate_keys(session, identity.app.state.identity.vault, system_clock(), 600)
    await ring.load()
    assert kid in [key["kid"] for key in ring.jwks["keys"]]
    assert ring.signing_key().public_jwk()["kid"] == before
    ada = await people.join("ada@lectern.example")
    assert (await ada.client.get("/api/accounts/users/me/")).status_code == 200
