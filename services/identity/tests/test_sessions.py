"""Sessions: login, refresh with rotation on acknowledgement, logout."""

import asyncio
from datetime import datetime, timedelta

import pytest

from libs.common.runtime.clock import SettableClock
from libs.common.security.tokens import KeySet, TokenVerifier
from libs.common.testing.harness import Harness
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


@pytest.mark.promise("refresh")
async def test_a_predecessor_used_after_its_successor_kills_the_family(identity: Harness, people: People):
    ada = await people.join("ada@lectern.example")
    second = (await refresh(identity, ada.refresh)).json()["refresh"]
    third = (await refresh(identity, second)).json()["refresh"]
    reused = await refresh(identity, ada.refresh)
    assert (reused.status_code, reused.json()["code"]) == (401, "invalid_refresh_token")
    for token in (second, third):
        assert (await refresh(identity, token)).status_code == 401
    assert ("identity.session_ended.v1") in [kind for kind, _, _ in await identity.published()]


@pytest.mark.promise("refresh")
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


async def test_a_session_tells_device_and_address_and_a_refresh_when_it_was_last_seen(
    identity: Harness, people: People, clock: SettableClock
):
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    ada = await people.join("ada@lectern.example")
    there = identity.client(**{"X-Forwarded-For": "203.0.113.9", "User-Agent": firefox})
    body = {"email": ada.email, "password": PASSWORD}
    token = (await there.post("/api/accounts/login/", json=body)).json()["refresh"]

    async def seen() -> dict:
        rows = (await ada.client.get("/api/accounts/users/me/sessions/")).json()["results"]
        return next(row for row in rows if not row["is_current"])

    first = await seen()
    assert (first["device"], first["ip"]) == ("Firefox on Linux", "203.0.113.9")
    clock.advance(minutes=10)
    elsewhere = identity.client(**{"X-Forwarded-For": "198.51.100.7", "User-Agent": firefox})
    assert (await elsewhere.post("/api/accounts/refresh/", json={"refresh": token})).status_code == 200
    later = await seen()
    assert later["ip"] == "198.51.100.7"
    passed = datetime.fromisoformat(later["last_seen"]) - datetime.fromisoformat(first["last_seen"])
    assert passed == timedelta(minutes=10)
    assert later["expires_at"] == first["expires_at"]


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
