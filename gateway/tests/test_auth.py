"""Tokens, CORS and the memory of writes at the gateway."""

import json
from uuid import uuid4

import pytest

from gateway.consistency import ConsistencyMemory, parse
from gateway.tests.harness import KEY, bearer, token
from libs.common.security.revocation import Revocation
from libs.common.security.tokens import SigningKey


def bad_tokens() -> dict[str, str]:
    good = token()
    return {
        "forged": token(key=SigningKey.generate()),
        "altered": good[:-3] + ("AAA" if good[-3:] != "AAA" else "BBB"),
        "expired": KEY.sign({"iss": "lectern", "aud": "lectern-api", "sub": str(uuid4()), "sid": str(uuid4()),
                             "ver": 1, "role": "student", "iat": 1_000_000, "exp": 1_000_600}),
        "garbage": "x", "empty": "", "two": f"{good} {good}", "long": "x" * 9000,
    }  # fmt: skip


@pytest.mark.parametrize("name", bad_tokens())
@pytest.mark.parametrize("path", ["/api/courses/", "/api/enrollments/"])
async def test_a_bad_token_is_a_401_on_public_routes_too(client, catalog, learning, name, path):
    answer = await client.get(path, f"Authorization: Bearer {bad_tokens()[name]}\r\n")
    assert answer.status == 401
    assert answer.get("www-authenticate").startswith("Bearer")
    problem = json.loads(answer.body)
    assert (problem["code"], problem["status"]) == ("invalid_token", 401)
    assert not catalog.seen
    assert not learning.seen


async def test_without_any_keys_a_token_is_neither_good_nor_bad(suite, client):
    await suite.call(suite.gateway.keys.replace, {"keys": []})
    answer = await client.get("/api/enrollments/", bearer())
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "service_unavailable")
    assert answer.get("retry-after")
    assert (await client.get("/api/enrollments/")).status == 401


@pytest.mark.parametrize("value", ["Basic dTpw", "Token x", "Bearer", ""])
async def test_other_schemes_are_a_401(client, value):
    assert (await client.get("/api/courses/", f"Authorization: {value}\r\n")).status == 401


async def test_two_tokens_are_no_token(client):
    assert (await client.get("/api/courses/", bearer() + bearer())).status == 401


@pytest.mark.parametrize("path", ["login", "register", "refresh", "verify-email", "resend-verification",
                                  "password-reset", "password-reset-confirm"])  # fmt: skip
async def test_who_wants_to_log_in_may_carry_a_dead_token(start, path):
    suite = await start(("identity",))
    client = await suite.client()
    client.send(
        f"POST /api/accounts/{path}/ HTTP/1.1\r\nHost: x\r\n"
        "Authorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert (await client.answer()).status == 200
    assert suite.upstreams["identity"].seen[0].get("authorization") is None


async def test_a_missing_token_is_a_401_where_the_table_says_so(client, catalog):
    for method, path, status in (
        ("GET", "/api/courses/", 200), ("POST", "/api/courses/", 401), ("GET", "/api/enrollments/", 401),
        ("POST", "/api/ws-ticket/", 401), ("GET", "/api/certificates/CERT-2026-ABCDEF/verify/", 200),
    ):  # fmt: skip
        answer = await client.get(path, method=method)
        assert answer.status == status, path
        if status == 401:
            assert answer.get("www-authenticate") == "Bearer"
            assert json.loads(answer.body)["code"] == "not_authenticated"
    assert len(catalog.seen) == 1


async def test_a_revoked_token_is_refused_at_once(suite, client):
    user, session, other = uuid4(), uuid4(), uuid4()
    one, two = bearer(token(session, user)), bearer(token(other, user))
    newer = bearer(token(uuid4(), user, version=5))
    for header in (one, two, newer):
        assert (await client.get("/api/enrollments/", header)).status == 200
    await suite.call(suite.gateway.revocations.revoke, Revocation(user, session=session))
    assert [(await client.get("/api/courses/", each)).status for each in (one, two, newer)] == [401, 200, 200]
    await suite.call(suite.gateway.revocations.revoke, Revocation(user, version=5))
    assert [(await client.get("/api/courses/", each)).status for each in (one, two, newer)] == [401, 401, 200]


async def test_preflights_are_answered_without_a_token_or_a_service(client, catalog):
    answer = await client.get(
        "/api/core/dashboard/",
        "Origin: http://localhost:5173\r\nAccess-Control-Request-Method: PATCH\r\n"
        "Access-Control-Request-Headers: authorization, content-type\r\n",
        method="OPTIONS",
    )
    assert answer.status == 200
    assert answer.get("access-control-allow-origin") == "http://localhost:5173"
    assert answer.get("vary") == "Origin"
    assert int(answer.get("access-control-max-age")) >= 600
    for name in ("Authorization", "Content-Type", "Idempotency-Key", "If-Match"):
        assert name in answer.get("access-control-allow-headers")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert method in answer.get("access-control-allow-methods")
    assert not catalog.seen


async def test_only_listed_origins_are_allowed(start):
    suite = await start(cors_origins=["https://school.example"])
    client = await suite.client()
    for origin, allowed in (
        ("https://school.example", True),
        ("https://evil.example", False),
        ("null", False),
    ):
        preflight = f"Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n"
        answer = await client.get("/api/courses/", preflight, method="OPTIONS")
        assert (answer.status == 200) is allowed
        answer = await client.get("/api/courses/", f"Origin: {origin}\r\n")
        assert answer.status == 200
        assert answer.get("access-control-allow-origin") == (origin if allowed else None)
        assert answer.get("vary") == "Origin"
        exposed = answer.get("access-control-expose-headers") or ""
        for name in ("ETag", "Consistency-Token", "Consistency", "X-Request-ID", "Retry-After", "RateLimit",
                     "RateLimit-Policy", "Location", "Content-Disposition"):  # fmt: skip
            assert (name in exposed.split(", ")) is allowed
    refused = await client.get("/api/enrollments/", "Origin: https://school.example\r\n")
    assert refused.status == 401  # a page can read errors too
    assert refused.get("access-control-allow-origin") == "https://school.example"


async def test_a_session_sees_its_own_writes(suite, client, catalog, learning):
    session = uuid4()
    mine, others = bearer(token(session)), bearer()
    post = "POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    for seq in (7, 9, 8):
        learning.headers = f"Consistency-Token: learning.events:k:{seq}:s{seq}\r\n".encode()
        answer = await client.ask(f"{post}{mine}\r\n{{}}")
        assert answer.get("consistency-token") == f"learning.events:k:{seq}:s{seq}"
    await client.get("/api/courses/", bearer(token(session)))  # another token of the same session
    assert catalog.seen[-1].get("consistency-token") == "learning.events:k:9:s9"
    older = "learning.events:k:3:s3,catalog.events:c:4:c4"
    await client.get("/api/courses/", f"{mine}Consistency-Token: {older}\r\n")
    assert parse(catalog.seen[-1].get("consistency-token")) == {
        "learning.events:k": (9, "s9"), "catalog.events:c": (4, "c4"),
    }  # fmt: skip
    for header in (others, ""):
        await client.get("/api/courses/", header)
        assert catalog.seen[-1].get("consistency-token") is None
    await client.get("/api/courses/", f"{others}Consistency-Token: a:b:1:x\r\n")
    assert catalog.seen[-1].get("consistency-token") == "a:b:1:x"
    await client.get("/api/courses/", "Consistency-Token: a:b:1:x\r\n")  # nobody's writes
    assert catalog.seen[-1].get("consistency-token") is None


async def test_nothing_is_remembered_for_the_anonymous_or_from_reads(start):
    suite = await start(("identity", "catalog"))
    client = await suite.client()
    for upstream in suite.upstreams.values():
        upstream.headers = b"Consistency-Token: identity.events:k:7:s\r\n"
    await client.ask("POST /api/accounts/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    await client.get("/api/courses/", bearer())
    assert len(suite.gateway.memory) == 0


def test_the_memory_of_writes_is_short_and_bounded():
    now = [100.0]
    memory = ConsistencyMemory(10, lambda: now[0])
    session = uuid4()
    for number in range(40):
        memory.remember(session, f"t:{number}:1:s")
    remembered = parse((memory.add(session, None) or b"").decode())
    assert sorted(remembered) == sorted(f"t:{number}" for number in range(24, 40))
    now[0] = 110.5
    assert memory.add(session, b"x:y:1:s") == b"x:y:1:s"
    assert len(memory) == 0


def test_nonsense_in_a_consistency_token_is_left_out():
    given = "a:b:1:s, c:d:e:2:t,,x,y:3,z:w:-1:s,z:w:1:,a:b:1,z:w:9" + "9" * 30 + ":s"
    assert parse(given) == {"a:b": (1, "s"), "c:d:e": (2, "t")}
