"""Rate limits: who is counted as what, what clients are told, and that all gateways count together."""

import asyncio
import json
import os
import signal
import time
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from deploy.local.servers import Server, start_valkey
from gateway.limits import MOST_KNOWN, Limiter
from gateway.metrics import Metrics
from gateway.settings import GatewaySettings
from gateway.tests.fields import parse_list
from gateway.tests.harness import COURSE, SCRAPE, Client, Suite, Upstream, bearer, token
from libs.common.testing.harness import eventually

LOGIN = "POST /api/accounts/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
BEHIND_PROXY = {"trusted_proxies": ["127.0.0.0/8"]}


def anonymous(address: str) -> str:
    return f"X-Forwarded-For: {address}\r\n"


async def statuses(client: Client, count: int, headers: str = "", path: str = "/api/courses/") -> list[int]:
    return [(await client.get(path, headers)).status for _ in range(count)]


def told(answer) -> tuple[str, dict[str, int], dict[str, int]]:
    """Name, policy and what is left, as an answer's fields say."""
    [(name, policy)] = parse_list(answer.get("ratelimit-policy"))
    [(same, left)] = parse_list(answer.get("ratelimit"))
    assert (same, set(policy), set(left)) == (name, {"q", "w"}, {"r", "t"})
    return name, policy, left


@pytest.fixture
async def pair(start, valkey: Server) -> tuple[Suite, Suite]:
    """Two gateways that count in one Valkey; twenty a minute, ten at once."""
    settings = {"valkey_url": valkey.url, "limit_signed_in": 20, "limit_anonymous": 20, **BEHIND_PROXY}
    one, two = await start(**settings), await start(**settings)
    assert one.gateway.limiter.shared
    assert two.gateway.limiter.shared
    return one, two


@pytest.mark.promise("rate limits")
@pytest.mark.parametrize("at_once", [False, True])
async def test_n_plus_one_requests_over_two_gateways_get_n_passes(pair, at_once):
    for header in (bearer(token(user=uuid4())), anonymous(f"203.0.{int(at_once)}.7")):
        clients = [await suite.client() for suite in pair for _ in range(3)]
        if at_once:
            found = await asyncio.gather(*(statuses(client, 2, header) for client in clients))
        else:
            found = [await statuses(clients[number % 6], 1, header) for number in range(11)]
        flat = sorted(status for each in found for status in each)
        assert flat == [200] * 10 + [429] * (len(flat) - 10)
    # Each gateway may ask for one or two reads more than the other has left, and never answers them.
    seen = [seen for suite in pair for seen in suite.upstreams["catalog"].seen]
    assert 20 <= len(seen) < 30


@pytest.mark.promise("rate limits")
async def test_answers_say_what_is_left_over_all_gateways(pair):
    header = bearer(token(user=uuid4()))
    one, two = [await suite.client() for suite in pair]
    for number, client in enumerate([one, two, two, one]):
        answer = await client.get("/api/courses/", header)
        name, policy, left = told(answer)
        assert (name, policy) == ("signed-in", {"q": 20, "w": 60})
        assert left["r"] == 9 - number
        assert 3 * number < left["t"] <= 3 * (number + 1)
    for client in (one, two):
        await statuses(client, 4, header)
    refused = await one.get("/api/courses/", header)
    assert refused.status == 429
    assert refused.get("content-type") == "application/problem+json"
    problem = json.loads(refused.body)
    assert (problem["code"], problem["status"]) == ("rate_limited", 429)
    assert problem["detail"]
    assert problem["request_id"] == refused.get("x-request-id")
    assert 1 <= int(refused.get("retry-after")) <= 3
    assert told(refused)[2]["r"] == 0


async def test_one_passes_after_retry_after_and_not_before(start, valkey):
    suite = await start(valkey_url=valkey.url, limit_signed_in=40)
    client, header = await suite.client(), bearer(token(user=uuid4()))
    assert await statuses(client, 21, header) == [200] * 20 + [429]
    began = time.monotonic()
    wait = int((await client.get("/api/courses/", header)).get("retry-after"))

    async def passes() -> bool:
        return (await client.get("/api/courses/", header)).status == 200

    await eventually(passes, timeout=wait + 0.5)
    assert time.monotonic() - began > wait - 1


@pytest.mark.parametrize("shared", [False, True])
async def test_users_and_networks_are_counted_apart(start, valkey, shared):
    limits = {"limit_signed_in": 8, "limit_anonymous": 6, "limit_credentials": 5}
    suite = await start(("catalog", "identity"), **limits, **BEHIND_PROXY,
                        **({"valkey_url": valkey.url} if shared else {}))  # fmt: skip
    assert suite.gateway.limiter.shared is shared
    client = await suite.client()
    one, other = bearer(token(user=uuid4())), bearer(token(user=uuid4()))
    here, beside, elsewhere = (anonymous(address) for address in ("192.0.2.1", "192.0.2.200", "192.0.3.1"))
    assert await statuses(client, 5, one + here) == [200] * 4 + [429]
    assert await statuses(client, 5, other + here) == [200] * 4 + [429]
    assert await statuses(client, 2, here) == [200] * 2
    assert await statuses(client, 2, beside) == [200, 429]  # the same /24
    assert await statuses(client, 1, elsewhere) == [200]
    # A bad token is nobody's: its requests are the network's.
    bad = "Authorization: Bearer x.y.z\r\n"
    assert await statuses(client, 3, bad + elsewhere) == [401, 401, 429]
    assert await statuses(client, 1, bad + here) == [429]
    # Guessing paths and coming without a token is counted as well.
    third = anonymous("192.0.4.1")
    assert [(await client.get(path, third)).status for path in ("/x/", "/api/../x", "/api/enrollments/")] == [
        404, 400, 401,
    ]  # fmt: skip
    assert await statuses(client, 1, third) == [429]
    assert await statuses(client, 1, third, "/api/status/") == [429]


@pytest.mark.parametrize("shared", [False, True])
async def test_ipv6_is_counted_by_56_bits(start, valkey, shared):
    suite = await start(limit_anonymous=6, **BEHIND_PROXY, **({"valkey_url": valkey.url} if shared else {}))
    client = await suite.client()
    same = [anonymous(f"2001:db8:0:{subnet:x}::{subnet}") for subnet in (0x1200, 0x12FF, 0x1234)]
    assert [(await statuses(client, 1, header))[0] for header in same] == [200, 200, 200]
    assert await statuses(client, 1, anonymous("2001:db8:0:1211::1")) == [429]
    assert await statuses(client, 1, anonymous("2001:db8:0:1300::1")) == [200]


async def test_logins_registrations_and_codes_share_a_minute_of_twenty(start):
    suite = await start(("identity", "catalog"), limit_credentials=20)
    client = await suite.client()
    paths = (
        "login",
        "register",
        "verify-email",
        "resend-verification",
        "password-reset",
        "password-reset-confirm",
    )
    for number in range(20):
        answer = await client.ask(LOGIN.replace("login", paths[number % 6]))
        assert answer.status == 200
        assert told(answer)[:2] == ("credentials", {"q": 20, "w": 60})
        assert told(answer)[2]["r"] == 19 - number
    refused = await client.ask(LOGIN)
    assert refused.status == 429
    assert int(refused.get("retry-after")) == 3
    for path, name in (("/api/accounts/refresh/", "refresh"), ("/api/courses/", "anonymous")):
        answer = await client.ask(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}")
        assert told(answer)[0] == name  # who is in goes on working
    assert await statuses(client, 1, bearer()) == [200]


async def test_defaults_are_those_of_the_api(start):
    fields = GatewaySettings.model_fields
    suite = await start(("identity", "catalog"), **{
        name: fields[name].default for name in fields if name.startswith("limit_")
    })  # fmt: skip
    client = await suite.client()
    for header, name, quota, burst in (("", "anonymous", 300, 150), (bearer(), "signed-in", 1200, 600)):
        _, policy, left = told(await client.get("/api/courses/", header))
        assert policy == {"q": quota, "w": 60}, name
        assert left == {"r": burst - 1, "t": 1}
    for path, name, quota in (
        ("/api/accounts/login/", "credentials", 20),
        ("/media/catalog/x.png", "media", 3000),
    ):
        said = told(await client.get(path))
        assert (said[0], said[1]["q"]) == (name, quota)


SPELLED = LOGIN.replace("/api/accounts/login/", "%s")


@pytest.mark.promise("rate limits")
@pytest.mark.parametrize(
    "path",
    ["/api/accounts/%6cogin/", "/api/accounts/l%6Fgin", "/api/accounts/%6C%6f%67%69%6e/",
     "/%61pi/accounts/login/", "/api/accounts/login", "/api/accounts/verify%2Demail/",
     "/api/accounts/resend%2dverification"],
)  # fmt: skip
async def test_a_limit_is_of_the_route_however_its_path_is_spelled(start, path):
    suite = await start(("identity",), limit_credentials=3)
    client, identity = await suite.client(), suite.upstreams["identity"]
    requests = [SPELLED % path] * 3 + [LOGIN, SPELLED % path]
    assert [(await client.ask(request)).status for request in requests] == [200, 200, 200, 429, 429]
    assert {seen.line.split()[1] for seen in identity.seen} <= {
        "/api/accounts/login/", "/api/accounts/verify-email/", "/api/accounts/resend-verification/",
    }  # fmt: skip


@pytest.mark.promise("rate limits")
@pytest.mark.parametrize(
    "path",
    ["/api/accounts//login/", "/api//accounts/login/", "/api/accounts/login%0A", "/api/accounts/./login/",
     "/api/accounts/x/../login/", "/api/accounts/%2e/login/", "/api/accounts%2Flogin/",
     "//api/accounts/login/", "/api/accounts/login%00/", "/api/accounts/login%7f/",
     "http://x/api/accounts/login/"],
)  # fmt: skip
async def test_a_path_that_could_be_read_as_another_is_refused_and_counted(start, path):
    suite = await start(("identity",), limit_anonymous=2)
    client, identity = await suite.client(), suite.upstreams["identity"]
    assert [(await client.ask(SPELLED % path)).status for _ in range(2)] == [400, 429]
    assert identity.seen == []


async def test_preflights_and_probes_are_free(start):
    suite = await start(limit_anonymous=2)
    client = await suite.client()
    assert await statuses(client, 2) == [200, 429]
    preflight = "Origin: https://x.example\r\nAccess-Control-Request-Method: GET\r\n"
    for _ in range(5):
        assert (await client.get("/api/courses/", preflight, method="OPTIONS")).status == 200
        for path, header in (("/livez", ""), ("/readyz", ""), ("/metrics", SCRAPE)):
            answer = await client.get(path, header)
            assert (answer.status, answer.get("ratelimit")) == (200, None)
    assert (
        await client.get("/api/courses/", method="OPTIONS")
    ).status == 429  # no preflight without its headers
    text = (await client.get("/metrics", SCRAPE)).body.decode()
    assert 'lectern_gateway_limited_total{policy="anonymous"} 2.0' in text
    assert "lectern_gateway_limits_shared 0.0" in text


async def test_handshakes_of_sockets_count(start):
    suite = await start(("forum",), limit_anonymous=2)
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

    async def refuse(seen, reader, writer):
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}")

    suite.upstreams["forum"].handler = refuse
    client = await suite.client()
    assert await statuses(client, 2, upgrade, f"/ws/chat/{COURSE}/") == [403, 429]


async def test_a_body_waits_for_the_limits_and_arrives_whole(pair):
    client, body = await pair[0].client(), "x" * 300_000
    client.send(f"POST /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 300000\r\n\r\n{body}")
    assert (await client.answer()).status == 200
    assert len(pair[0].upstreams["catalog"].seen[0].body) == 300_000


async def test_a_client_that_does_not_wait_for_its_limits_harms_nobody(pair, valkey):
    os.kill(valkey.pid, signal.SIGSTOP)
    gone, there = await pair[0].client(), await pair[0].client()
    for client in (gone, there):
        client.send(f"GET /api/courses/ HTTP/1.1\r\nHost: x\r\n{bearer()}\r\n")
    await eventually(lambda: pair[0].gateway.metrics.in_flight == 2, interval=0.001)
    gone.close()
    assert (await there.answer()).status == 200
    await eventually(lambda: pair[0].gateway.metrics.in_flight == 0)
    os.kill(valkey.pid, signal.SIGCONT)


@pytest.mark.promise("rate limits")
async def test_a_killed_valkey_leaves_limits_in_force_and_is_found_again(start, valkey, tmp_path):
    suite = await start(valkey_url=valkey.url, limit_signed_in=12)
    client, header = await suite.client(), bearer(token(user=uuid4()))
    assert await statuses(client, 3, header) == [200] * 3
    os.kill(valkey.pid, signal.SIGKILL)
    await eventually(lambda: not suite.gateway.limiter.shared)
    # What was used up stays used up; nothing fails open, nothing fails closed.
    assert await statuses(client, 4, header) == [200] * 3 + [429]
    assert await statuses(client, 7, bearer(token(user=uuid4()))) == [200] * 6 + [429]
    port = int(valkey.url.rpartition(":")[2])
    again = await asyncio.to_thread(start_valkey, tmp_path, port, durable=False)
    try:
        await eventually(lambda: suite.gateway.limiter.shared)
        assert await statuses(client, 1, header) == [429]
        fresh = bearer(token(user=uuid4()))
        assert await statuses(client, 7, fresh) == [200] * 6 + [429]
        other = await start(valkey_url=valkey.url, limit_signed_in=12)
        assert await statuses(await other.client(), 1, fresh) == [429]
    finally:
        await asyncio.to_thread(again.stop)


async def test_what_was_let_through_meanwhile_is_told_to_the_others(start, valkey, tmp_path):
    one, two = [await start(valkey_url=valkey.url, limit_signed_in=12) for _ in range(2)]
    client, header = await one.client(), bearer(token(user=uuid4()))
    os.kill(valkey.pid, signal.SIGKILL)
    await eventually(lambda: not one.gateway.limiter.shared)
    assert await statuses(client, 5, header) == [200] * 5
    port = int(valkey.url.rpartition(":")[2])
    again = await asyncio.to_thread(start_valkey, tmp_path, port, durable=False)
    try:
        await eventually(lambda: one.gateway.limiter.shared and two.gateway.limiter.shared)
        assert await statuses(client, 1, header) == [200]
        assert await statuses(await two.client(), 1, header) == [429]
    finally:
        await asyncio.to_thread(again.stop)


async def test_a_valkey_that_hangs_costs_one_short_wait_and_then_nothing(start, valkey):
    suite = await start(valkey_url=valkey.url)
    client, header = await suite.client(), bearer()
    await statuses(client, 3, header)
    os.kill(valkey.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert await statuses(client, 1, header) == [200]
    assert 0.05 <= time.monotonic() - began < 0.5
    began = time.monotonic()
    assert await statuses(client, 50, header) == [200] * 50
    assert time.monotonic() - began < 0.5
    assert not suite.gateway.limiter.shared
    os.kill(valkey.pid, signal.SIGCONT)
    await eventually(lambda: suite.gateway.limiter.shared)
    assert await statuses(client, 3, header) == [200] * 3


@pytest.mark.parametrize("words", ["SCRIPT FLUSH", "FLUSHALL"])
async def test_a_valkey_that_was_emptied_goes_on_counting(start, valkey, words):
    suite = await start(valkey_url=valkey.url, limit_signed_in=12)
    client, header = await suite.client(), bearer(token(user=uuid4()))
    assert await statuses(client, 4, header) == [200] * 4
    async with Redis.from_url(valkey.url) as operator:
        await operator.execute_command(*words.split())
    found = await statuses(client, 10, header)
    assert found[:2] == [200, 200]
    assert found[-1] == 429
    assert suite.gateway.limiter.shared


async def test_a_valkey_with_a_password_and_another_database(start, tmp_path):
    server = await asyncio.to_thread(start_valkey, tmp_path, durable=False)
    try:
        async with Redis.from_url(server.url) as operator:
            await operator.execute_command("ACL", "SETUSER", "default", "on", ">s:3cret", "~*", "+@all")
        host = server.url.rpartition("@")[2]
        suite = await start(valkey_url=f"redis://:s%3A3cret@{host}/3", limit_signed_in=12)
        assert suite.gateway.limiter.shared
        assert await statuses(await suite.client(), 7, bearer()) == [200] * 6 + [429]
        wrong = await start(valkey_url=f"redis://:wrong@{host}/3", limit_signed_in=12)
        assert not wrong.gateway.limiter.shared
        assert await statuses(await wrong.client(), 7, bearer()) == [200] * 6 + [429]
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_server_that_is_no_valkey_counts_as_away(start):
    server = Upstream()
    await server.start()
    suite = await start(valkey_url=f"redis://127.0.0.1:{server.port}", limit_signed_in=12)
    assert not suite.gateway.limiter.shared
    assert await statuses(await suite.client(), 7, bearer()) == [200] * 6 + [429]
    await server.stop()


class Asked:
    """An exchange that only notes what became of it."""

    limits = b""
    passed: bool | None = None

    def pass_limits(self):
        self.passed = True

    def refuse_if_there(self, problem):
        self.passed = False


async def test_a_flood_of_addresses_is_bounded_and_shares_one_allowance(monkeypatch):
    monkeypatch.setattr("gateway.limits.MOST_KNOWN", 100)
    assert MOST_KNOWN == 100_000
    settings = GatewaySettings(environment="test", valkey_url="redis://127.0.0.1:1", limit_anonymous=6)
    limiter = Limiter(settings, Metrics())
    asked = []
    for number in range(200):
        asked.append(Asked())
        limiter.charge(asked[-1], limiter.anonymous, f"2001:db8:{number:x}::/56")
    assert [each.passed for each in asked] == [True] * 103 + [False] * 97
    assert len(limiter.anonymous.known) == 101
    known = Asked()
    limiter.charge(known, limiter.anonymous, "2001:db8:1::/56")
    assert known.passed
    for bucket in limiter.anonymous.known.values():
        bucket.tat = 0.0
    limiter.forget()
    assert not limiter.anonymous.known
