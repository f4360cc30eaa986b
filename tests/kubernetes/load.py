"""A bounded load of reads and writes through the gateway, counting what people would notice."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from deploy.local.database import service_url
from deploy.local.project import Project
from tests.e2e.test_story import Story
from tests.support import Visitor

PAUSE = 0.1
"""Seconds between two requests of one client."""
AGAIN, PATIENCE = 0.5, 90.0
"""Seconds between two attempts, and in all, of a client that does not give up."""
CUT = "cut off"
"""How a failure is counted where there was no answer: the gateway's process was gone."""


@dataclass
class Load:
    """`failed` has a line for each request that was neither answered nor given an answer that a client
    expects; 5xx among it. `kinds` counts them."""

    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    given_up: list[str] = field(default_factory=list)
    """Of those that failed: what did not come about by repeating it either."""
    made: dict[str, list[str]] = field(default_factory=lambda: {"discussion": [], "ticket": []})
    """Titles of what services have said that they made."""
    slowest: float = 0.0
    writes: int = 0

    @property
    def total(self) -> int:
        return sum(self.answers.values()) + len(self.failed)

    def said(self) -> str:
        return f"{self.total} requests, {self.writes} of them writes, {len(self.failed)} failed"

    def kinds_said(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common()) or "none"


@asynccontextmanager
async def load(story: Story, *, patient: bool = False) -> AsyncIterator[Load]:
    """Runs while it is open; the people of a story that has been told send the requests. `patient` ones
    repeat what failed, as it was and with its key, as a front end does."""
    found = Load()
    over = asyncio.Event()
    clients = [asyncio.create_task(_Client(story, found, over, patient, each).run()) for each in range(4)]
    try:
        yield found
    finally:
        over.set()
        await asyncio.gather(*clients)


class _Client:
    def __init__(self, story: Story, found: Load, over: asyncio.Event, patient: bool, index: int) -> None:
        self.story, self.found, self.over, self.patient, self.index = story, found, over, patient, index
        self.mark = uuid4().hex[:6]

    async def run(self) -> None:
        """One after the other, round and round; each service is asked, and four are written to."""
        story = self.story
        ada, teacher, visitor = story.ada, story.teacher, story.visitor
        path = f"/api/courses/{story.course}/"
        count = 0
        while not self.over.is_set():
            count += 1
            title = f"Load {self.mark}-{self.index}-{count}"
            discussion = {"forum": story.forum, "title": title, "content": "Is it up?",
                          "discussion_type": "question"}  # fmt: skip
            ticket = {"subject": title, "description": "Is it up, and does it go on?"}
            requests: list[tuple[Visitor, str, str, Any, str]] = [
                (visitor, "GET", path, None, ""),
                (ada, "GET", "/api/accounts/users/me/", None, ""),
                (ada, "PATCH", "/api/accounts/users/me/", {"bio": title}, ""),
                (ada, "GET", "/api/enrollments/my-courses/", None, ""),
                (ada, "POST", "/api/core/discussions/", discussion, "discussion"),
                (ada, "GET", "/api/core/analytics/student/", None, ""),
                (ada, "GET", "/api/core/notifications/", None, ""),
                (ada, "POST", "/api/core/support-tickets/", ticket, "ticket"),
                (teacher, "PATCH", path, {"short_description": f"{title}."}, ""),
            ]
            for who, method, url, body, makes in requests:
                if self.over.is_set():
                    return
                await self._request(who, method, url, body, title if makes else "", makes)
                await asyncio.sleep(PAUSE)

    async def _request(self, who: Visitor, method: str, url: str, body: Any, title: str, makes: str) -> None:
        found = self.found
        found.writes += method != "GET"
        options: dict[str, Any] = {}
        if body:
            options = {"json": body, "headers": {"Idempotency-Key": uuid4().hex}}
        began = time.monotonic()
        kind, answer = await _ask(who, method, url, options)
        if kind:
            found.kinds[kind] += 1
            found.failed.append(f"{method} {url}: {kind} {answer}")
            while kind and self.patient and time.monotonic() - began < PATIENCE:
                await asyncio.sleep(AGAIN)
                kind, answer = await _ask(who, method, url, options)
            if kind:
                found.given_up.append(f"{method} {url}: {kind} {answer}")
        else:
            found.slowest = max(found.slowest, time.monotonic() - began)
            found.answers[answer] += 1
        if makes and not kind and answer == "201":
            found.made[makes].append(title)


async def _ask(who: Visitor, method: str, url: str, options: dict[str, Any]) -> tuple[str, str]:
    """The kind of failure, empty if there is none, and the status or what was said."""
    try:
        answer = await who.raw(method, url, **options)
    except (httpx.HTTPError, AssertionError) as error:
        return CUT, repr(error)
    code = answer.json().get("code", "") if answer.status_code >= 400 else ""
    # Two clients change one object at once: to be told so is no failure.
    if answer.is_success or (answer.status_code in (409, 412) and code != "request_in_flight"):
        return "", str(answer.status_code)
    return f"{answer.status_code} {code}".strip(), answer.text[:200]


def done_once(project: Project, found: Load) -> int:
    """What was made is there once, however often it was asked for; AssertionError otherwise."""
    tables = {
        "discussion": ("forum", "discussions", "title"),
        "ticket": ("support", "tickets", "subject"),
    }
    for what, (service, table, column) in tables.items():
        with psycopg.connect(service_url(project.postgres_url, service)) as connection:
            rows = connection.execute(
                f"SELECT {column}, count(*) FROM {table} WHERE {column} LIKE 'Load %' GROUP BY 1"
            )
            there = dict(rows.fetchall())
            twice = [title for title, count in there.items() if count > 1]
            missing = [title for title in found.made[what] if title not in there]
            assert not twice, f"{what}: {twice[:5]} were made twice"
            assert not missing, f"{what}: {missing[:5]} were made, and are gone"
    return sum(map(len, found.made.values()))
