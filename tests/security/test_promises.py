"""The promises about security that the suite as a whole keeps, each through the gateway."""

import asyncio
import json
import re
import statistics
import time
from base64 import urlsafe_b64encode
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pyotp
import pytest
import websockets
from jose import jwt

from deploy.local.project import DATABASE
from libs.common.data.bootstrap import ANALYST, ANALYST_PEOPLE, VIEWS, with_database
from libs.common.runtime.settings import SERVICES
from libs.common.security.tokens import SigningKey, mint
from libs.common.testing.harness import eventually
from tests.conftest import run_module
from tests.security import world as things
from tests.security.world import World, until
from tests.support import PASSWORD, Visitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

LOGIN = "/api/accounts/login/"
ME = "/api/accounts/users/me/"


def rows(world: World, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What the database holds, as its superuser sees it."""
    with psycopg.connect(with_database(world.stage.project.postgres_url, DATABASE)) as connection:
        return connection.execute(query, values).fetchall()


async def again(world: World, name: str) -> Visitor:
    """Another login of somebody, on another device."""
    visitor = world.stage.visitor()
    visitor.email = world.people[name].email
    return await visitor.login()


@pytest.mark.promise("password hashing")
def test_password_hashing(world: World) -> None:
    ((phc,),) = rows(world, "SELECT password_hash FROM identity.users WHERE email = %s", world.owner.email)
    assert phc.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.promise("codes")
async def test_codes(world: World) -> None:
    email = f"{world.name()}@lectern.example"
    body = {"email": email, "password": PASSWORD, "first_name": "A", "last_name": "B", "role": "student"}
    await world.anonymous.post("/api/accounts/register/", body, 201)
    mail = (await eventually(lambda: world.stage.mails(email), 30))[0]
    code = re.findall(r"\b\d{6}\b", mail["text"])[0]
    path, body = "/api/accounts/verify-email/", {"email": email, "verification_code": code}
    answers = await asyncio.gather(*(world.anonymous.raw("POST", path, json=body) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers)[:2] == [200, 422]
    assert [answer.status_code for answer in answers].count(200) == 1


@pytest.mark.promise("enumeration")
@pytest.mark.parametrize("path", ["resend-verification/", "password-reset/"])
async def test_enumeration(world: World, path: str) -> None:
    """Through the gateway, a known and an unknown address get the same answer in the same time."""
    times: dict[bool, list[float]] = {True: [], False: []}
    seen = set()

    async def ask(known: bool, number: int) -> None:
        email = world.student.email if known else f"nobody{number}@lectern.example"
        began = time.perf_counter()
        answer = await world.anonymous.raw("POST", f"/api/accounts/{path}", json={"email": email})
        times[known].append(time.perf_counter() - began)
        seen.add((answer.status_code, answer.text))

    for number in range(100):  # in pairs, by turns the one and the other first
        await asyncio.gather(*(ask(known, number) for known in (number % 2 == 0, number % 2 == 1)))
    assert len(seen) == 1
    one, other = (sorted(times[known]) for known in (True, False))
    pairs = sum((a > b) + 0.5 * (a == b) for a in one for b in other)
    assert 0.25 < pairs / (len(one) * len(other)) < 0.75, statistics.median(one) / statistics.median(other)


@pytest.mark.promise("refresh")
async def test_refresh(world: World) -> None:
    visitor = await again(world, "student")
    first = visitor.refresh

    async def refresh(token: str) -> httpx.Response:
        return await world.anonymous.raw("POST", "/api/accounts/refresh/", json={"refresh": token})

    answers = await asyncio.gather(*(refresh(first) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    (second,) = {answer.json()["refresh"] for answer in answers}
    assert (await refresh(second)).status_code == 200  # acknowledges, and retires the first
    assert (await refresh(first)).status_code == 401
    assert (await refresh(second)).status_code == 401  # the family is dead
    await eventually(lambda: _refused(visitor), 5)


async def _refused(visitor: Visitor) -> bool:
    return (await visitor.raw("GET", ME)).status_code == 401


@pytest.mark.promise("revocation")
async def test_revocation(world: World) -> None:
    """A logout ends the token at the gateway and at a service behind it, and the open socket, within 5 s."""
    visitor = await again(world, "student")
    port = world.stage.project.ports["learning"]
    async with visitor.socket("/ws/notifications/") as socket:
        began = time.monotonic()
        await visitor.post("/api/accounts/logout/")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            while True:
                await asyncio.wait_for(socket.connection.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
    await eventually(lambda: _refused(visitor), 5)

    async def refused_behind() -> bool:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as direct:
            token = {"Authorization": f"Bearer {visitor.access}"}
            return (await direct.get("/api/enrollments/", headers=token)).status_code == 401

    await eventually(refused_behind, 5)
    assert time.monotonic() - began < 5


@pytest.mark.promise("keys")
async def test_keys(world: World) -> None:
    """A rotation publishes the next key before it signs, and no call in the meantime is refused."""
    visitor = await again(world, "student")
    before = (await world.anonymous.get("/.well-known/jwks.json"))["keys"]
    statuses: set[int] = set()
    going = True

    async def ask() -> None:
        while going:
            statuses.add((await visitor.raw("GET", ME)).status_code)

    asking = asyncio.create_task(ask())
    rotated = await asyncio.to_thread(
        run_module, world.stage.project, "services.identity.admin", "rotate-keys"
    )
    assert rotated.returncode == 0, rotated.stderr

    async def published() -> bool:
        keys = (await world.anonymous.get("/.well-known/jwks.json"))["keys"]
        return len(keys) == len(before) + 1 and all(key in keys for key in before)

    await eventually(published, 30)
    await visitor.login()
    going = False
    await asking
    assert statuses == {200}
    header = jwt.get_unverified_header(visitor.access)
    assert header["kid"] in {key["kid"] for key in before}  # the new one does not sign yet


def _forged(real: str, jwks: dict[str, Any]) -> dict[str, str]:
    head, payload, signature = real.split(".")
    claims = jwt.get_unverified_claims(real)
    kid = jwt.get_unverified_header(real)["kid"]
    mine = SigningKey.generate()
    public = json.dumps(jwks["keys"][0])

    def encoded(value: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def header(**changed: Any) -> str:
        return encoded({"alg": "ES256", "typ": "at+jwt", "kid": kid} | changed)

    return {
        "none": f"{header(alg='none')}.{payload}.",
        "unsigned": f"{head}.{payload}.",
        "another payload": f"{head}.{encoded(claims | {'role': 'admin'})}.{signature}",
        "hs256 with the public key": jwt.encode(claims, public, "HS256", {"kid": kid, "typ": "at+jwt"}),
        "hs256 with an empty key": jwt.encode(claims, "", "HS256", {"kid": kid, "typ": "at+jwt"}),
        "a key of their own": mint(
            mine, issuer=claims["iss"], audience=claims["aud"], user=uuid4(), session=uuid4(), role="admin",
            version=1,
        ),
        "their key under our kid": f"{header()}.{payload}.{signature[:-6]}AAAAAA",
        "another typ": f"{header(typ='JWT')}.{payload}.{signature}",
        "crit": f"{header(crit=['exp'])}.{payload}.{signature}",
        "eight kilobytes": f"{head}.{payload}{'A' * 8192}.{signature}",
        "not a token": "a.b.c",
        "two tokens": f"{real},{real}",
    }  # fmt: skip


@pytest.mark.promise("tokens")
async def test_tokens(world: World) -> None:
    jwks = await world.anonymous.get("/.well-known/jwks.json")
    assert (await world.admin.raw("GET", ME)).status_code == 200
    for name, token in _forged(world.admin.access, jwks).items():
        for path in (ME, "/api/courses/"):
            answer = await world.anonymous.raw("GET", path, headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), name


@pytest.mark.promise("rate limits")
async def test_rate_limits(world: World) -> None:
    """Answers say what is left, and it becomes less."""
    left = []
    for _ in range(3):
        answer = await world.student.raw("GET", ME)
        assert re.fullmatch(r'"[\w-]+";q=\d+;w=\d+', answer.headers["RateLimit-Policy"])
        match = re.fullmatch(r'"[\w-]+";r=(\d+);t=\d+', answer.headers["RateLimit"])
        assert match
        left.append(int(match[1]))
    assert left[0] >= left[2]


@pytest.mark.promise("login throttle")
async def test_login_throttle(world: World) -> None:
    """Who fails is made to wait; the owner, from another network, is not."""
    visitor = world.stage.visitor()
    visitor.email = world.teacher.email
    body = {"email": world.teacher.email, "password": "Wrong-password-1"}

    async def attempt(network: str, password: str) -> httpx.Response:
        return await world.anonymous.raw(
            "POST", LOGIN, json=body | {"password": password}, headers={"X-Forwarded-For": network}
        )

    answers = [await attempt("198.51.100.7", "Wrong-password-1") for _ in range(7)]
    assert [answer.status_code for answer in answers][:4] == [401] * 4
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "too_many_attempts")
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert (await attempt("198.51.100.9", PASSWORD)).status_code == 429  # the same /24, though right
    assert (await attempt("203.0.113.5", PASSWORD)).status_code == 200


@pytest.mark.promise("MFA")
async def test_mfa(world: World) -> None:
    visitor = await world.stage.join(world.name())
    enrolled = await visitor.post("/api/accounts/users/me/mfa/enrol/")
    totp = pyotp.TOTP(enrolled["secret"])
    now = int(time.time())
    await visitor.post("/api/accounts/users/me/mfa/confirm/", {"otp": totp.at(now)})
    body = {"email": visitor.email, "password": PASSWORD}
    asked = await world.anonymous.raw("POST", LOGIN, json=body)
    assert (asked.status_code, asked.json()["code"]) == (401, "otp_required")
    replayed = await world.anonymous.raw("POST", LOGIN, json=body | {"otp": totp.at(now)})
    assert replayed.status_code == 401
    code = totp.at(now + 30)  # the next step, which the clock may lag behind
    assert (await world.anonymous.raw("POST", LOGIN, json=body | {"otp": code})).status_code == 200
    assert (await world.anonymous.raw("POST", LOGIN, json=body | {"otp": code})).status_code == 401
    ((stored,),) = rows(world, "SELECT u::text FROM identity.users u WHERE email = %s", visitor.email)
    assert enrolled["secret"] not in stored


@pytest.mark.promise("uploads")
@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("page.png", b"<html><script>alert(1)</script></html>", "image/png"),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "image/svg+xml"),
        ("run.exe", b"MZ\x90\x00" + b"\0" * 200, "application/pdf"),
        ("../../etc/passwd.pdf", b"#!/bin/sh\n", "application/pdf"),
        ("a\r\nX-Evil: 1.pdf", b"\x7fELF" + b"\0" * 64, "application/pdf"),
    ],
)
async def test_uploads(world: World, name: str, content: bytes, kind: str) -> None:
    made = await things.draft(world)
    for path in (f"/api/courses/{made['uuid']}/lessons/{made['lesson']}/upload/", f"{ME}avatar/"):
        field = "avatar" if "avatar" in path else "file"
        answer = await world.owner.raw("POST", path, files={field: (name, content, kind)})
        assert answer.status_code in (415, 422), (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.promise("WebSocket")
async def test_websocket(world: World) -> None:
    """A ticket opens one socket; a second use, no ticket, or a token in its place opens none."""
    url = world.stage.project.gateway_url.replace("http", "ws") + "/ws/notifications/"
    ticket = (await world.student.post("/api/ws-ticket/", status=201))["ticket"]
    async with websockets.connect(f"{url}?ticket={ticket}") as socket:
        assert json.loads(await socket.recv())["type"] == "ready"
    for bad in (f"?ticket={ticket}", "?ticket=", f"?ticket={world.student.access}"):
        with pytest.raises((websockets.ConnectionClosed, websockets.InvalidStatus)) as refused:
            async with websockets.connect(url + bad) as socket:
                await asyncio.wait_for(socket.recv(), 8)
        if isinstance(refused.value, websockets.ConnectionClosed):
            assert refused.value.rcvd is not None
            assert refused.value.rcvd.code in (4401, 4408)
        else:
            assert refused.value.response.status_code in (401, 403)


@pytest.mark.promise("CSRF")
async def test_csrf(world: World) -> None:
    """No answer sets a cookie, and what a form of a foreign page can send is refused."""
    answer = await world.anonymous.raw(
        "POST", LOGIN, json={"email": world.student.email, "password": PASSWORD}
    )
    assert "set-cookie" not in answer.headers
    form = {"email": world.student.email, "password": PASSWORD}
    for kind in ("application/x-www-form-urlencoded", "text/plain"):
        headers = {"Content-Type": kind, "Origin": "https://evil.example"}
        posted = await world.anonymous.raw("POST", LOGIN, data=form, headers=headers)
        assert posted.status_code in (400, 415, 422), posted.text


@pytest.mark.promise("mass assignment")
@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("me", {"role": "admin"}),
        ("me", {"is_verified": False}),
        ("me", {"is_staff": True}),
        ("me", {"password_hash": "x"}),
        ("me", {"points_earned": 9000}),
        ("register", {"role": "admin"}),
        ("register", {"is_verified": True}),
        ("course", {"instructor": str(uuid4())}),
        ("course", {"is_featured": True}),
        ("course", {"enrolled_count": 900}),
        ("course", {"average_rating": 5}),
        ("submission", {"score": 10}),
        ("submission", {"status": "graded"}),
        ("ticket", {"assigned_to": str(uuid4())}),
        ("discussion", {"is_pinned": True}),
        ("discussion", {"author": str(uuid4())}),
        ("attempt", {"score": 100}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
async def test_mass_assignment(world: World, what: str, fields: dict[str, Any]) -> None:
    """A field that is not the caller's to set is refused, and nothing else of the body is written."""
    if what == "me":
        answer = await world.student.raw("PATCH", ME, json={"bio": f"{fields}"} | fields)
        assert (await world.student.get(ME))["profile"]["bio"] != f"{fields}"
    elif what == "register":
        email = f"{world.name()}@lectern.example"
        body = {"email": email, "password": PASSWORD, "first_name": "A", "last_name": "B", "role": "student"}
        answer = await world.anonymous.raw("POST", "/api/accounts/register/", json=body | fields)
        assert rows(world, "SELECT 1 FROM identity.users WHERE email = %s", email) == []
    elif what == "course":
        made = await world.once(things.draft)
        path = f"/api/courses/{made['uuid']}/"
        answer = await world.owner.raw("PATCH", path, json={"title": f"{fields}"[:200]} | fields)
        seen = await world.owner.get(path)
        assert seen["title"] != f"{fields}"
        assert seen["instructor"]["uuid"] == world.owner.uuid
    else:
        answer = await _posted(world, what, fields)
    assert answer.status_code in (403, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["field"].split(".")[0] in fields


async def _posted(world: World, what: str, fields: dict[str, Any]) -> httpx.Response:
    if what == "submission":
        made = await world.once(things.assignment)
        path, body = f"/api/assignments/{made['uuid']}/submissions/", {"text": "Mine."}
    elif what == "ticket":
        path = "/api/core/support-tickets/"
        body = {"subject": "It does not play", "description": "The video stays black all day."}
    elif what == "discussion":
        place = await world.once(things.seat)
        path = "/api/core/discussions/"
        body = {"forum": place["forum"], "title": "Why?", "content": "I wonder."}
    else:
        made = await world.once(things.attempt)
        path = f"/api/attempts/{made['uuid']}/answers/{made['question']}/"
        return await world.member.raw("PUT", path, json={"answer": True} | fields)
    return await world.member.raw("POST", path, json=body | fields)


@pytest.mark.promise("injection")
@pytest.mark.parametrize(
    "payload",
    [
        "' OR '1'='1", "'; DROP TABLE courses; --", "\\", "%", "_%_", "a & | ! ( :*", '"', "\u202e\ufeff",
        "{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "=cmd|'/C calc'!A0",
    ],
)  # fmt: skip
async def test_injection(world: World, payload: str) -> None:
    """Searches take any text as text."""
    for path in ("/api/courses/", "/api/core/discussions/", "/api/core/support-tickets/"):
        await world.moderator.get(path, params={"search": payload})
    users = await world.admin.get("/api/accounts/users/", params={"search": payload})
    assert users["results"] == []
    body = {"course": (await world.once(things.draft))["uuid"], "title": payload}
    assert (await world.owner.post("/api/modules/", body, 201))["title"] == payload  # stored as written


@pytest.mark.promise("caches")
async def test_caches(world: World) -> None:
    """A thousand interleaved reads: what one sees of a course is never what another sees of it."""
    made = await world.once(things.seat)
    path = f"/api/courses/{made['uuid']}/"
    await until(world.member, "GET", path)
    callers = (world.anonymous, world.member, world.student, world.owner)

    async def read(number: int) -> None:
        who = callers[number % len(callers)]
        answer = await who.raw("GET", path)
        seen = answer.json()
        assert seen["is_enrolled"] is (who is world.member)
        assert ("email" in seen["instructor"] and seen["instructor"]["email"] is not None) is (
            who is world.owner
        )
        if who is not world.anonymous:
            assert answer.headers["cache-control"] == "private, no-store"

    for batch in range(20):
        await asyncio.gather(*(read(batch * 50 + number) for number in range(50)))


@pytest.mark.promise("audit")
async def test_audit(world: World) -> None:
    """A change of role is in the log with actor and target; no secret is in any log of the suite."""
    email = f"{world.name()}@lectern.example"
    secret = f"Canary-{uuid4().hex}"
    body = {"email": email, "password": secret, "first_name": "A", "last_name": "B", "role": "student"}
    await world.anonymous.post("/api/accounts/register/", body, 201)
    mail = (await eventually(lambda: world.stage.mails(email), 30))[0]
    code = re.findall(r"\b\d{6}\b", mail["text"])[0]
    verified = await world.anonymous.post(
        "/api/accounts/verify-email/", {"email": email, "verification_code": code}
    )
    user, tokens = verified["user"]["uuid"], verified["tokens"]
    await world.admin.call("PATCH", f"/api/accounts/users/{user}/", json={"role": "teacher"})
    entries = rows(
        world, "SELECT actor::text, action FROM identity_audit.audit_entries WHERE target = %s", user
    )
    assert entries == [(world.admin.uuid, "role_changed")]
    logs = list(world.stage.project.logs.glob("*.log"))
    assert logs
    for path in logs:
        text = path.read_text(errors="replace")
        for canary in (secret, tokens["access"], tokens["refresh"], email):
            assert canary not in text, path.name


@pytest.mark.promise("database")
def test_database(world: World) -> None:
    """No role of a service may read or write anything outside its own schemas."""
    found = rows(
        world,
        "SELECT r.rolname, n.nspname, c.relname FROM pg_roles r, pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE r.rolname LIKE 'lectern\\_%%' AND c.relkind IN ('r', 'v', 'm', 'p')"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public')"
        " AND has_schema_privilege(r.oid, n.oid, 'USAGE')"
        " AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')",
    )
    assert found
    for role, schema, table in found:
        if role in (ANALYST, ANALYST_PEOPLE):  # nobody logs in as these; the views are what they are for
            assert schema == VIEWS, (role, schema, table)
            continue
        service = role.removeprefix("lectern_")
        owns = schema in (service, f"{service}_audit") or schema.startswith(f"{service}_")
        owns = owns or (service == "analytics" and schema.startswith("projection_"))
        assert owns or (service == "audit" and schema.endswith("_audit")), (role, schema, table)
    written = rows(
        world,
        "SELECT r.rolname, c.oid::regclass::text FROM pg_roles r, pg_class c"
        " WHERE r.rolname IN ('lectern_analyst', 'lectern_analyst_people')"
        " AND c.relkind IN ('r', 'v', 'm', 'p') AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')"
        " AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
        " AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')",
    )
    assert written == []
    assert {role.removeprefix("lectern_") for role, _, _ in found} >= set(SERVICES)
