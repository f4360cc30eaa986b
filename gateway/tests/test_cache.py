"""Answers kept for the anonymous: for whom, for how long, and for whom never."""

import asyncio
import json
import random
from uuid import uuid4

import pytest

from gateway.cache import canonical_query
from gateway.fetch import MOST_BYTES
from gateway.tests.catalogue import PATH, all_of, answering, fresh
from gateway.tests.harness import COURSE, bearer, token
from libs.common.security.tokens import TokenVerifier
from libs.common.testing.harness import eventually


async def test_what_everybody_may_read_is_fetched_once(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    first = await client.get("/api/courses/?page=1", "X-Request-ID: one\r\n")
    again = await (await kept.client()).get(
        "/api/courses/?page=1", "X-Request-ID: two\r\nOrigin: https://a.example\r\n"
    )
    assert (first.status, again.status, first.body) == (200, 200, again.body)
    assert len(catalog.seen) == 1
    assert (first.get("x-request-id"), again.get("x-request-id")) == ("one", "two")
    assert again.get("access-control-allow-origin") == "https://a.example"
    assert again.get("cache-control") == "public, no-cache"
    assert {name.strip() for name in all_of(again, "vary").split(",")} == {"Authorization", "Origin"}
    assert int(again.get("age")) <= 1
    assert again.get("etag") == first.get("etag")
    assert again.get("content-type") == "text/plain"
    assert again.get("date")
    assert again.get("ratelimit")  # kept answers count as well
    await client.get("/api/courses/?page=2")
    assert len(catalog.seen) == 2


@pytest.mark.promise("caches")
async def test_nobody_sees_what_another_was_answered(kept):
    """A thousand interleaved reads of two users and the anonymous; every answer names its reader."""
    verifier = TokenVerifier("lectern", "lectern-api", kept.gateway.keys)

    async def name_the_reader(seen, reader, writer):
        header = seen.get("authorization")
        who = str(verifier.verify(header.split()[1]).user) if header else "anonymous"
        body = json.dumps({"canary": who}).encode()
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body))

    kept.upstreams["catalog"].handler = name_the_reader
    readers = {"anonymous": ""}
    for _ in range(2):
        user = uuid4()
        readers[str(user)] = bearer(token(user=user))
    chosen, found = random.Random(7), []

    async def read(count: int) -> None:
        client = await kept.client()
        for _ in range(count):
            who = chosen.choice(list(readers))
            path = chosen.choice(
                ["/api/courses/", PATH, "/api/categories/", f"/api/modules/?course={COURSE}"]
            )
            answer = await client.get(path, readers[who])
            assert json.loads(answer.body)["canary"] == who
            private = "no-store" in answer.get("cache-control")
            assert private is (who != "anonymous")
            found.append(who)

    await asyncio.gather(*(read(125) for _ in range(8)))
    assert len(found) == 1000
    assert kept.gateway.cache.counts["hit"] > 300
    assert [seen for seen in kept.upstreams["catalog"].seen if not seen.get("authorization")][4:] == []


async def test_answers_to_the_signed_in_are_private_where_the_service_says_nothing(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    answer = await client.get("/api/courses/", bearer())
    assert (answer.get("cache-control"), answer.get("age")) == ("private, no-store", None)
    catalog.headers = b"Cache-Control: public, max-age=60\r\n"
    assert (await client.get("/api/courses/", bearer())).get("cache-control") == "public, max-age=60"
    refused = await client.get("/api/enrollments/")
    assert (refused.status, refused.get("cache-control")) == (401, "no-store")


@pytest.mark.parametrize(
    "header",
    ["Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache", "Range: bytes=0-1",
     'If-Match: "1"', "Idempotency-Key: 1", "Consistency-Require: strict",
     "Content-Length: 2"],
)  # fmt: skip
async def test_who_wants_something_else_than_everybody_asks_the_service(kept, header):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    for number in range(1, 3):
        body = "{}" if header.startswith("Content-Length") else ""
        answer = await client.ask(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n{body}")
        assert (answer.status, answer.get("age"), len(catalog.seen)) == (200, None, number)


@pytest.mark.parametrize(
    ("line", "status"),
    [("Set-Cookie: a=b", "200 OK"), ("Consistency: stale", "200 OK"), ("Consistency-Token: a:b:1", "200 OK"),
     ("Vary: Cookie", "200 OK"), ("Vary: Accept, *", "200 OK"), ("X-A: 1", "404 Not Found"),
     ("X-A: 1", "400 Bad Request"), ("X-A: 1", "500 Internal Server Error"),
     ("X-A: 1", "206 Partial Content"), ("Location: /x", "302 Found")],
)  # fmt: skip
async def test_what_is_not_for_everybody_is_not_kept(kept, line, status):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    catalog.handler = answering(b"{}", line, "Cache-Control: private, no-store", status=status)
    for _ in range(2):
        before = len(catalog.seen)
        answer = await client.get("/api/courses/")
        assert (answer.status, answer.body) == (int(status.split()[0]), b"{}")
        assert line.split(": ")[1] in all_of(answer, line.split(":")[0].lower())
        assert (answer.get("cache-control"), answer.get("age")) == ("private, no-store", None)
        assert len(catalog.seen) > before
    assert not kept.gateway.cache._entries


async def test_writes_are_never_kept(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    for method in ("POST", "PATCH", "PUT", "DELETE", "OPTIONS"):
        for number in range(2):
            before = len(catalog.seen)
            answer = await client.get("/api/courses/", bearer() if method != "OPTIONS" else "", method=method)
            assert (answer.status, len(catalog.seen)) == (200, before + 1), (method, number)
    assert not kept.gateway.cache._entries


@pytest.mark.parametrize("said", ['ETag: "v7-abc"', 'ETag: W/"weak"', "X-None: 1"])
async def test_a_reader_that_has_this_version_gets_a_304(kept, said):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    catalog.handler = answering(
        b'{"a":1}', said, "Content-Type: application/json", "Date: Sun, 22 Nov 2026 10:00:00 GMT"
    )
    tag = (await client.get(PATH)).get("etag")
    assert tag.startswith('"')
    assert (tag == '"v7-abc"') is ("v7" in said)
    for header in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        answer = await client.get(PATH, f"If-None-Match: {header}\r\n")
        assert (answer.status, answer.body, answer.get("etag")) == (304, b"", tag)
        assert answer.get("cache-control") == "public, no-cache"
        assert answer.get("date") == "Sun, 22 Nov 2026 10:00:00 GMT"
        assert [answer.get(name) for name in ("content-length", "content-type", "transfer-encoding")] == [
            None
        ] * 3
    assert (await client.get(PATH, 'If-None-Match: "other"\r\n')).status == 200
    assert len(catalog.seen) == 1
    catalog.handler = answering(b'{"a":2}')
    await kept.call(kept.gateway.cache.change)
    answer = await client.get(PATH, f"If-None-Match: {tag}\r\n")  # also when it has to be fetched first
    assert (answer.status, answer.body) == (200, b'{"a":2}')


async def test_head_is_answered_from_what_get_keeps(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    catalog.handler = answering(b'{"a":1}')
    for _ in range(2):
        answer = await client.get(PATH, method="HEAD")
        assert (answer.status, answer.get("content-length")) == (200, "7")
    assert (await client.get(PATH)).body == b'{"a":1}'
    assert [seen.line for seen in catalog.seen] == [f"GET {PATH} HTTP/1.1"]


async def test_answers_are_kept_by_all_that_they_depend_on(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]

    async def ask(target: str, host: str = "x", header: str = "") -> int:
        answer = await client.ask(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{header}\r\n")
        assert answer.status == 200
        return len(catalog.seen)

    assert await ask("/api/courses/?b=2&a=1") == 1
    assert await ask("/api/courses?a=1&b=2") == 1  # the same path, the same query
    assert await ask("/api/courses/courses/?a=1&&b=2&") == 1
    assert await ask("/api/courses/?a=1&b=3") == 2
    assert await ask("/api/courses/?a=1&a=2") == 3
    assert await ask("/api/courses/?a=2&a=1") == 4
    assert await ask("/api/courses/?a=1&b=2", host="y") == 5
    assert await ask("/api/courses/", header="Accept: text/html\r\n") == 6
    assert await ask("/api/courses/", header="Accept: application/json\r\n") == 6
    catalog.headers = b"Vary: accept, Accept-Language\r\n"
    await kept.call(kept.gateway.cache.change)
    assert await ask("/api/courses/", header="Accept: text/html\r\n") == 7
    assert await ask("/api/courses/", header="Accept: text/html\r\n") == 7
    assert await ask("/api/courses/", header="Accept: application/json\r\n") == 8
    assert await ask("/api/courses/", header="Accept: application/json\r\nAccept-Language: ar\r\n") == 9


@pytest.mark.parametrize(
    ("query", "same"),
    [(b"a=1&b=2", b"b=2&a=1"), (b"", b"&&"), (b"%61=1&b=1", b"b=1&%61=1"), (b"a%20b=1&a=1", b"a=1&a%20b=1")],
)
def test_queries_that_mean_the_same_are_one(query, same):
    assert canonical_query(query) == canonical_query(same)


@pytest.mark.parametrize(
    ("query", "other"),
    [(b"a=1&a=2", b"a=2&a=1"), (b"a=1&%61=2", b"%61=2&a=1"), (b"a+b=1&a%20b=2", b"a%20b=2&a+b=1"),
     (b"a=1", b"A=1"), (b"a", b"a=1"), (b"a=1;b=2", b"b=2;a=1"), (b"%FF=1&%ff=2", b"%ff=2&%FF=1")],
)  # fmt: skip
def test_queries_that_a_service_may_tell_apart_are_not(query, other):
    assert canonical_query(query) != canonical_query(other)


async def test_a_service_hears_nothing_of_whom_it_answers_for_all(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    await client.get(
        PATH, "Cookie: session=1\r\nUser-Agent: me\r\nX-Original-URL: /evil\r\nAccept: text/html\r\n"
        'Origin: https://a.example\r\nIf-None-Match: "x"\r\nX-Request-ID: mine\r\n'
        "X-HTTP-Method-Override: PUT\r\n",
    )  # fmt: skip
    [seen] = catalog.seen
    assert {name for name, _ in seen.headers} == {
        "host", "accept", "x-request-id", "traceparent", "x-forwarded-for", "x-forwarded-proto",
        "x-forwarded-host", "x-lectern-gateway",
    }  # fmt: skip
    assert (seen.get("host"), seen.get("x-request-id")) == ("school.example", "mine")


async def test_an_invented_consistency_token_goes_past_nothing(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    for _ in range(3):
        assert (await client.get(PATH, "Consistency-Token: catalog.events:x:1:abc\r\n")).status == 200
    assert len(catalog.seen) == 1


async def test_readers_of_one_thing_share_one_request(kept):
    catalog, go = kept.upstreams["catalog"], asyncio.Event()

    async def slow(seen, reader, writer):
        await go.wait()
        await catalog.say_ok(seen, reader, writer)

    catalog.handler = slow
    first, *others = [await kept.client() for _ in range(30)]
    first.send(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: catalog.seen)
    for client in others:
        client.send(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: kept.gateway.cache.counts["joined"] == 29)
    first.close()  # who asked first need not stay
    await eventually(lambda: kept.gateway.metrics.in_flight == 29)
    go.set()
    answers = [await client.answer() for client in others]
    assert {answer.status for answer in answers} == {200}
    assert len(catalog.seen) == 1


async def test_readers_of_a_service_that_is_away_all_hear_of_it(kept):
    catalog = kept.upstreams["catalog"]
    await catalog.stop()
    clients = [await kept.client() for _ in range(5)]
    for client in clients:
        client.send(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in clients:
        answer = await client.answer()
        assert (answer.status, bool(answer.get("retry-after"))) == (503, True)
    await catalog.start(catalog.port)

    async def is_back() -> bool:
        return (await clients[0].get(PATH)).status == 200

    await eventually(is_back)


async def test_a_fetch_has_a_deadline_and_a_broken_answer_is_a_502(start):
    suite = await fresh(await start(answer_timeout=0.3))
    client, catalog = await suite.client(), suite.upstreams["catalog"]

    async def hang(seen, reader, writer):
        await reader.read()

    async def nonsense(seen, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello")

    catalog.handler = hang
    answer = await client.get(PATH)
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "service_timeout")
    assert not suite.gateway.pools["catalog"]._all
    assert suite.gateway.pools["catalog"].waiting == 0
    catalog.handler = nonsense
    assert (await client.get(PATH)).status == 502


async def test_a_fetch_on_a_connection_closed_meanwhile_is_repeated(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    answers = catalog.handler
    assert (await client.get(PATH)).status == 200

    async def die_when_reused(seen, reader, writer):
        if catalog.connections == 1:
            writer.transport.abort()
        else:
            await answers(seen, reader, writer)

    catalog.handler = die_when_reused
    await kept.call(kept.gateway.cache.change)
    assert (await client.get(PATH)).status == 200


async def test_what_is_too_large_is_passed_on(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    catalog.handler = answering(b"x" * (MOST_BYTES + 1))
    for _ in range(3):
        assert len((await client.get(PATH)).body) == MOST_BYTES + 1
    assert len(catalog.seen) == 4  # tried once
    assert not kept.gateway.cache._entries


async def test_memory_is_bounded_and_the_least_used_goes_first(start):
    suite = await fresh(await start(cache_bytes=100_000))
    client, catalog = await suite.client(), suite.upstreams["catalog"]
    catalog.handler = answering(b"x" * 20_000)
    for number in (1, 2, 3, 4, 1, 5, 6):
        await client.get(f"/api/courses/?page={number}")
    cache = suite.gateway.cache
    assert [query for _, _, query in cache._entries] == [b"page=4", b"page=1", b"page=5", b"page=6"]
    assert cache.bytes == sum(entry.size for entry in cache._entries.values()) <= 100_000
