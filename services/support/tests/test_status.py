"""The history of availability: a check a minute, ninety days of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from libs.common.runtime.settings import SERVICES
from libs.common.testing.harness import Harness
from services.support import status

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ALL_WELL = {status.GATEWAY: True, **dict.fromkeys(SERVICES, True)}


async def count(support: Harness, parts: dict[str, bool], at: datetime) -> None:
    async with support.db.session() as session:
        await status.count(session, parts, at)


async def shown(support: Harness, at: datetime) -> dict:
    support.app.state.clock = lambda: at
    answer = await support.client().get("/api/status/history/")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=60"
    body = answer.json()
    assert body["days"] == 90
    return {component["name"]: component for component in body["components"]}


async def test_before_the_first_check_every_part_is_there_and_not_measured(support: Harness):
    found = await shown(support, NOON)
    assert list(found) == ["gateway", *SERVICES]
    assert all(part["uptime"] is None and part["history"] == [] for part in found.values())


async def test_checks_are_counted_by_day_and_part(support: Harness):
    for minute in range(4):
        await count(support, ALL_WELL | {"forum": minute != 2}, NOON + timedelta(minutes=minute))
    await count(support, ALL_WELL, NOON + timedelta(days=1))
    found = await shown(support, NOON + timedelta(days=1))
    assert found["forum"]["history"] == [
        {"day": "2026-11-30", "checks": 4, "good": 3}, {"day": "2026-12-01", "checks": 1, "good": 1},
    ]  # fmt: skip
    assert found["forum"]["uptime"] == 80.0
    assert found["learning"]["uptime"] == 100.0


async def test_two_workers_count_a_minute_once(support: Harness):
    for second in (0, 1, 59):
        await count(support, ALL_WELL, NOON + timedelta(seconds=second))
    await count(support, {"gateway": False}, NOON - timedelta(minutes=5))  # a worker whose clock is behind
    found = await shown(support, NOON)
    assert found["gateway"]["history"] == [{"day": "2026-11-30", "checks": 1, "good": 1}]


async def test_days_that_are_not_shown_any_more_are_forgotten(support: Harness):
    await count(support, ALL_WELL, NOON)
    at = NOON + timedelta(days=89)
    await count(support, ALL_WELL, at)
    assert [d["day"] for d in (await shown(support, at))["notify"]["history"]] == ["2026-11-30", "2027-02-27"]
    later = NOON + timedelta(days=90)
    await count(support, ALL_WELL, later)
    assert [d["day"] for d in (await shown(support, later))["notify"]["history"]] == [
        "2027-02-27", "2027-02-28",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "good", "percent"), [(0, 0, None), (1440, 1440, 100.0), (129_600, 129_599, 99.99), (3, 0, 0.0)]
)
def test_uptime_is_cut_off_so_that_a_hundred_means_all(checks: int, good: int, percent: float | None):
    assert status.uptime(checks, good) == percent


@asynccontextmanager
async def gateway(status_code: int, body: bytes) -> AsyncIterator[str]:
    """A server that answers every request with this."""

    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status_code} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    server = await asyncio.start_server(give, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/status/"


async def test_what_the_gateway_says_is_measured(support: Harness, monkeypatch: pytest.MonkeyPatch):
    services = dict.fromkeys(SERVICES, "ok") | {"learning": "unavailable", "forum": "down", "unheard": "ok"}
    async with gateway(200, orjson.dumps({"status": "degraded", "services": services})) as url:
        monkeypatch.setattr(support.settings, "status_url", url)
        await support.run_task("support.measure_status", clock=lambda: NOON)
    found = await shown(support, NOON)
    assert {name for name, part in found.items() if part["uptime"] == 0.0} == {"learning", "forum"}
    assert "unheard" not in found


@pytest.mark.parametrize(
    ("status_code", "body"), [(503, b"no"), (200, b"{"), (200, b"[]"), (200, b'{"services": null}')]
)
async def test_of_a_gateway_that_does_not_answer_nothing_more_is_known(status_code: int, body: bytes):
    async with gateway(status_code, body) as url:
        assert await status.ask(url) == {"gateway": False}
    assert await status.ask(url) == {"gateway": False}  # nobody listens any more
