"""A bounded load of reads and writes through the gateway, counting what people would notice."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from tests.e2e.test_story import Story

PAUSE = 0.1
"""Seconds between two requests of one client."""


@dataclass
class Load:
    """`failed` holds what was neither answered nor an answer that a client expects; 5xx among it."""

    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    slowest: float = 0.0
    writes: int = 0

    @property
    def total(self) -> int:
        return sum(self.answers.values()) + len(self.failed)

    def said(self) -> str:
        return f"{self.total} requests, {self.writes} of them writes, {len(self.failed)} failed"


@asynccontextmanager
async def load(story: Story) -> AsyncIterator[Load]:
    """Runs while it is open; the people of a story that has been told send the requests."""
    found = Load()
    over = asyncio.Event()
    clients = [asyncio.create_task(_client(story, found, over, index)) for index in range(4)]
    try:
        yield found
    finally:
        over.set()
        await asyncio.gather(*clients)


async def _client(story: Story, found: Load, over: asyncio.Event, index: int) -> None:
    """One after the other, round and round; each service is asked, and four are written to."""
    ada, teacher, visitor = story.ada, story.teacher, story.visitor
    path = f"/api/courses/{story.course}/"
    count = 0
    while not over.is_set():
        count += 1
        discussion = {"forum": story.forum, "title": f"Load {index}-{count}", "content": "Is it up?",
                      "discussion_type": "question"}  # fmt: skip
        ticket = {"subject": f"Load {index}-{count}", "description": "Is it up, and does it go on?"}
        requests = [
            (visitor, "GET", path, None),
            (ada, "GET", "/api/accounts/users/me/", None),
            (ada, "PATCH", "/api/accounts/users/me/", {"bio": f"Load {index}-{count}"}),
            (ada, "GET", "/api/enrollments/my-courses/", None),
            (ada, "POST", "/api/core/discussions/", discussion),
            (ada, "GET", "/api/core/analytics/student/", None),
            (ada, "GET", "/api/core/notifications/", None),
            (ada, "POST", "/api/core/support-tickets/", ticket),
            (teacher, "PATCH", path, {"short_description": f"Load {index}-{count}."}),
        ]
        for who, method, url, body in requests:
            if over.is_set():
                return
            began = time.monotonic()
            try:
                answer = await who.raw(method, url, **({"json": body} if body else {}))
            except (httpx.HTTPError, AssertionError) as error:
                found.failed.append(f"{method} {url}: {error!r}")
                continue
            found.slowest = max(found.slowest, time.monotonic() - began)
            found.writes += method != "GET"
            # Two clients change one object at once: to be told so is no failure.
            if answer.is_success or answer.status_code in (409, 412):
                found.answers[f"{answer.status_code}"] += 1
            else:
                found.failed.append(f"{method} {url}: {answer.status_code} {answer.text[:200]}")
            await asyncio.sleep(PAUSE)
