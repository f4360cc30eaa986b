"""Watches a real suite with a real Prometheus and Alertmanager: `make observe-test`.

Rules and routes hold by promtool and amtool; every process is scraped; every panel's expression answers; one
enrolment is one trace from the gateway to the mail; on a healthy suite nothing fires, and a service that dies
again and again arrives at Alertmanager and in its receiver's mailbox. `LECTERN_TRACE_PAGE=FILE` keeps the
trace as text.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.control import Process, down, up
from deploy.local.project import OBSERVERS, Project
from deploy.local.testing import temporary_directory
from libs.common.testing.harness import eventually
from tests.observability.expressions import panels
from tests.observability.receiver import Receiver, Span, receiving, tree
from tests.observability.tools import check_all
from tests.security import world as things
from tests.security.world import World, until
from tests.support import Stage

QUIET = frozenset(
    {
        # What a healthy suite has none of.
        "events.json: Failed waves", "events.json: Stale reads", "events.json: Duplicates",
        "events.json: Events parked", "gateway.json: WebSockets ended by the server",
        "gateway.json: Failures of services", "gateway.json: Requests refused as too many",
        "overview.json: Errors by route", "overview.json: Errors", "tasks.json: Failures in 15 minutes",
    }
)  # fmt: skip
SLOW_MACHINE = frozenset({"LatencyBudgetBurn", "FreshnessBudgetBurn"})
"""What a machine that does much else meanwhile may rightly say of itself."""
MADE = (
    things.seat, things.published_quiz, things.submitted_attempt, things.submission, things.certificate,
    things.reply, things.ticket, things.review,
)  # fmt: skip


class Observed:
    """A running suite with its observers."""

    def __init__(self, project: Project, receiver: Receiver) -> None:
        self.project = project
        self.receiver = receiver
        self.stage = Stage(project, uuid4().hex[:8])
        self.http = httpx.AsyncClient(timeout=20)

    async def ask(self, path: str, observer: str = "prometheus", **query: str) -> Any:
        answer = await self.http.get(f"{self.project.observer_urls[observer]}{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def query(self, expression: str) -> list[Any]:
        found = await self.ask("/api/v1/query", query=expression)
        return list(found["data"]["result"])

    async def firing(self) -> list[Any]:
        found = (await self.ask("/api/v1/alerts"))["data"]["alerts"]
        return [alert for alert in found if alert["state"] == "firing"]

    async def close(self) -> None:
        await self.stage.close()
        await self.http.aclose()


async def use_the_suite(observed: Observed) -> World:
    """Something of every kind, open sockets, and the catalogue read by many."""
    world = await World.make(observed.stage)
    for thing in MADE:
        await world.once(thing)
    for _ in range(30):
        await world.anonymous.get("/api/courses/")
    return world


async def everything_is_scraped(observed: Observed) -> str:
    async def up_now() -> list[Any]:
        found = await observed.query("up == 1")
        assert len(found) == len(observed.project.services) + 2
        return found

    return f"{len(await eventually(up_now, 60))} processes scraped"


async def panels_answer(observed: Observed) -> str:
    """Each expression answers, and gives figures unless a healthy suite has none."""

    async def silent() -> list[str]:
        found = []
        for place, expression in panels():
            if not await observed.query(expression) and place not in QUIET:
                found.append(place)
        return found

    async def all_speak() -> bool:
        left = await silent()
        assert not left, f"no figures: {left}"
        return True

    await eventually(all_speak, 90, interval=2)
    return f"{len(list(panels()))} expressions of dashboards answered"


async def nothing_fires(observed: Observed) -> str:
    fires = [alert["labels"]["alertname"] for alert in await observed.firing()]
    arrived = [a["labels"]["alertname"] for a in await observed.ask("/api/v2/alerts", "alertmanager")]
    assert {*fires, *arrived} <= SLOW_MACHINE
    return "nothing fires"


async def an_alert_arrives(observed: Observed) -> str:
    """A process that dies again and again: alert, Alertmanager, the receiver's mailbox."""
    process = Process(observed.project, "support")
    for _ in range(4):
        before = process.pid
        process.kill()
        await eventually(lambda gone=before: process.pid not in (None, gone), 30)
        process.wait_ready()
        await asyncio.sleep(3)  # so that Prometheus, which looks each second, sees this start

    async def told() -> Any:
        alerts = await observed.ask("/api/v2/alerts", "alertmanager")
        return [a for a in alerts if a["labels"]["alertname"] == "ProcessRestarting"]

    (alert,) = await eventually(told, 60)
    assert [receiver["name"] for receiver in alert["receivers"]] == ["ticket"]
    assert alert["annotations"]["runbook_url"] == "docs/runbooks/process-restarting.md"
    mails = await eventually(lambda: observed.stage.mails("ticket@operators.example"), 90)
    assert "ProcessRestarting" in mails[0]["subject"]
    return "an alert arrived in the mailbox of its receiver"


async def one_trace(observed: Observed, world: World) -> str:
    """An enrolment: gateway, learning, outbox, Kafka, notify, Celery, SMTP."""
    course = (await world.once(things.seat))["uuid"]
    visitor = await observed.stage.join("tracy")
    trace, client = uuid4().hex, uuid4().hex[:16]
    headers = {"traceparent": f"00-{trace}-{client}-01"}
    await until(visitor, "POST", f"/api/courses/{course}/enroll/", json={}, headers=headers)

    def whole() -> list[Span]:
        found = observed.receiver.trace_of(trace)
        assert {"send mail", "send notify.mail_sent.v1"} <= {span.name for span in found}
        return found

    spans: list[Span] = await eventually(whole, 60)
    by_id = {span.id: span for span in spans}
    (mail,) = [span for span in spans if span.name == "send mail"]
    path, at = [mail], mail
    while at.parent in by_id:
        at = by_id[at.parent]
        path.append(at)
    names = [(span.service, span.name) for span in reversed(path)]
    assert names == [
        ("gateway", "POST /api/courses/{uuid}/enroll/"),
        ("learning", "POST /api/courses/{uuid}/enroll/"),
        ("learning", "transaction"),
        ("learning", "send learning.student_enrolled.v1"),
        ("notify", "process learning.student_enrolled.v1"),
        ("tasks", "notify.send_mail"),
        ("tasks", "send mail"),
    ], names
    assert at.parent == client
    over_the_gap, task = path[2], path[1]
    assert over_the_gap.links == [path[3].id]
    assert task.links == [over_the_gap.id]
    email = visitor.email
    assert all(email not in span.text and "Lovelace" not in span.text for span in observed.receiver.spans)
    page = tree(spans)
    print(page, flush=True)
    if place := os.environ.get("LECTERN_TRACE_PAGE"):
        Path(place).write_text(page + "\n")
    return f"one trace of {len(spans)} spans"


async def watch(project: Project, receiver: Receiver) -> list[str]:
    observed = Observed(project, receiver)
    try:
        world = await use_the_suite(observed)
        async with world.member.socket("/ws/notifications/"):
            held = [await everything_is_scraped(observed), await panels_answer(observed)]
        held.append(await one_trace(observed, world))
        held.append(await nothing_fires(observed))
        held.append(await an_alert_arrives(observed))
        return held
    finally:
        await observed.close()


def main() -> None:
    began = time.monotonic()
    held = [f"{check_all()} rule tests and routes"]
    print(f"rules and routes: {time.monotonic() - began:.0f} s", flush=True)
    with receiving() as receiver, temporary_directory() as directory:
        extra = {
            "LECTERN_SCRAPE_SECONDS": "1",
            "LECTERN_OTLP_ENDPOINT": receiver.url,
            "LECTERN_TRACE_SHARE": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "GATEWAY_TRUSTED_PROXIES": "127.0.0.1/32",
        }
        project = Project.for_tests(directory, extra=extra)
        try:
            up(project)
            for name in OBSERVERS:
                Process(project, name).start()
            held += asyncio.run(watch(project, receiver))
        except BaseException:
            for name in OBSERVERS:
                log = project.logs / f"{name}.log"
                if log.exists():
                    print(log.read_text()[-2000:], file=sys.stderr)
            raise
        finally:
            down(project)
    print(f"observe-test: {'; '.join(held)}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
