"""When answers that were kept are dropped, and that none outlives a change."""

import asyncio
from functools import partial

from gateway.tests.catalogue import PATH, WRITE, answering, fresh
from gateway.tests.harness import SCRAPE, Upstream, bearer
from libs.common.testing.harness import eventually


async def test_nothing_is_kept_longer_than_its_time(start):
    suite = await fresh(await start(cache_seconds=0.2))
    client, catalog = await suite.client(), suite.upstreams["catalog"]
    assert (await client.get(PATH)).status == 200

    async def fetched_again() -> bool:
        await client.get(PATH)
        return len(catalog.seen) == 2

    await eventually(fetched_again, timeout=1)


async def test_only_news_that_show_in_answers_shorten_their_life(kept, monkeypatch):
    monkeypatch.setattr("gateway.cache.VOLATILE_SECONDS", 0.0)
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    cache = kept.gateway.cache
    for news, fetched in (
        (("identity.events", "identity.session_started.v1"), 1),
        (("identity.events", ""), 1),
        (("learning.enrollments", "learning.enrollment.v1"), 3),
    ):
        for _ in range(2):
            await kept.call(cache.hear, {news})
            assert (await client.get(PATH)).status == 200
        assert len(catalog.seen) == fetched
    monkeypatch.undo()
    await kept.call(cache.hear, {("catalog.courses", "catalog.course.v1")})
    await client.get(PATH)
    assert len(catalog.seen) == 4


async def test_a_write_that_passes_is_seen_at_once(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    for number in range(5):
        catalog.handler = answering(b"%d" % number)
        assert (await client.ask(f"{WRITE}{bearer()}\r\n{{}}")).status == 200
        for _ in range(3):
            assert (await client.get(PATH)).body == b"%d" % number


async def test_an_answer_asked_for_before_a_write_is_not_kept_after_it(kept):
    catalog, go = kept.upstreams["catalog"], asyncio.Event()
    early, writer_client, late = [await kept.client() for _ in range(3)]
    reads = 0

    async def old_then_new(seen, reader, writer):
        nonlocal reads
        if seen.line.startswith("GET"):
            reads += 1
            if reads == 1:
                await go.wait()
                await answering(b"old")(seen, reader, writer)
                return
        await answering(b"new")(seen, reader, writer)

    catalog.handler = old_then_new
    early.send(f"GET {PATH} HTTP/1.1\r\nHost: school.example\r\n\r\n")
    await eventually(lambda: reads == 1)
    assert (await writer_client.ask(f"{WRITE}{bearer()}\r\n{{}}")).body == b"new"
    assert (await late.get(PATH)).body == b"new"  # does not wait with those that came before the write
    go.set()
    assert (await early.answer()).body == b"old"
    assert (await late.get(PATH)).body == b"new"


def more_than(upstream: Upstream, before: int) -> bool:
    return len(upstream.seen) > before


async def test_a_write_without_an_answer_counts_as_one(start):
    suite = await fresh(await start(answer_timeout=0.2))
    client, catalog = await suite.client(), suite.upstreams["catalog"]
    for leaves in (False, True):
        catalog.handler = answering(b"old")
        assert (await client.get(PATH)).body == b"old"

        async def hang(seen, reader, writer):
            await reader.read()

        catalog.handler = hang
        writing = await suite.client()
        before = len(catalog.seen)
        writing.send(f"{WRITE}{bearer()}\r\n{{}}")
        if leaves:
            await eventually(partial(more_than, catalog, before))
            writing.close()
            await eventually(lambda: suite.gateway.metrics.in_flight == 0)
        else:
            assert (await writing.answer()).status == 503
        catalog.handler = answering(b"new")
        assert (await client.get(PATH)).body == b"new"
        await suite.call(suite.gateway.cache.change)


async def test_writes_of_other_services_leave_the_catalogue_alone(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    await client.get(PATH)
    answer = await client.ask(
        f"POST /api/quizzes/ HTTP/1.1\r\nHost: x\r\n{bearer()}Content-Length: 2\r\n\r\n{{}}"
    )
    assert answer.status == 200
    await client.get(PATH)
    assert len(catalog.seen) == 1


async def test_without_news_of_changes_there_is_no_cache(kept):
    client, catalog = await kept.client(), kept.upstreams["catalog"]
    await client.get(PATH)
    kept.tail.fresh = False
    for number in (2, 3):
        answer = await client.get(PATH, 'If-None-Match: "x"\r\n')
        assert (answer.get("age"), len(catalog.seen)) == (None, number)
        assert catalog.seen[-1].get("if-none-match") == '"x"'
    text = (await client.get("/metrics", SCRAPE)).body.decode()
    assert 'lectern_gateway_cache_total{outcome="passed"} 2.0' in text
    assert "lectern_gateway_cache_fresh 0.0" in text


async def test_a_cache_of_no_bytes_is_off(start):
    suite = await fresh(await start(cache_bytes=0))
    client = await suite.client()
    for _ in range(2):
        await client.get(PATH)
    assert len(suite.upstreams["catalog"].seen) == 2


async def test_a_client_that_reads_nothing_is_not_answered_on(kept):
    catalog = kept.upstreams["catalog"]
    catalog.handler = answering(b"x" * 900_000)
    await (await kept.client()).get(PATH)
    deaf = await kept.client()
    deaf.writer.transport.pause_reading()
    deaf.send(f"GET {PATH} HTTP/1.1\r\nHost: school.example\r\n\r\n" * 60)
    hits = kept.gateway.cache.counts
    await eventually(lambda: hits["hit"] >= 1)
    await (await kept.client()).get("/livez")
    assert hits["hit"] < 20
    deaf.writer.transport.resume_reading()
    for _ in range(60):
        assert len((await deaf.answer()).body) == 900_000
