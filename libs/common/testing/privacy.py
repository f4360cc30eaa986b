"""What the services' tests of exports and erasures use: asking as identity would, and looking everywhere."""

from typing import Any
from uuid import UUID, uuid4

import orjson
from sqlalchemy import text

from libs.common.bus.inbox import apply_batch
from libs.common.bus.received import Outcome, Record
from libs.common.events.identity import ErasureRequested, ExportRequested, UserState
from libs.common.files.storage import EXCHANGE, Storage
from libs.common.testing.harness import Harness, as_record


async def export(harness: Harness, user: UUID) -> dict[str, Any]:
    """The part that the service packs when it is asked twice; it answers once."""
    request = ExportRequested(job=uuid4(), user=user)
    assert (await harness.deliver((request, 1), (request, 1))).duplicates == 1
    await harness.run_tasks()
    await harness.run_task(f"{harness.service}.pack_export", str(request.job))
    answers = await answers_to(harness, request.job)
    assert [kind for kind, _ in answers] == [f"{harness.service}.export_part_packed.v1"]
    answer = answers[0][1]
    storage = Storage(harness.settings, EXCHANGE)
    part: dict[str, Any] = orjson.loads(await storage.read_all(answer["object"]))
    assert answer["files"] == len(part["files"])
    for file in part["files"]:
        assert await storage.size(file["object"]) == file["bytes"]
    return part


async def erase(harness: Harness, user: UUID, *, tombstone_first: bool = True) -> int:
    """Have the service erase somebody, everything delivered twice; returns the rows of its one answer."""
    request = ErasureRequested(job=uuid4(), user=user, user_version=100, actor=user)
    asked = as_record(request, 1)
    gone = tombstone(user, 100)
    first, second = (gone, asked) if tombstone_first else (asked, gone)
    await apply(harness, first, first)
    assert await answers_to(harness, request.job) == []
    await apply(harness, second, second)
    await harness.run_task(f"{harness.service}.sweep_privacy")
    await harness.run_tasks()
    answers = await answers_to(harness, request.job)
    assert [kind for kind, _ in answers] == [f"{harness.service}.person_erased.v1"]
    return int(answers[0][1]["rows"])


def tombstone(user: UUID, version: int) -> Record:
    """The end of somebody on `identity.users`."""
    request = as_record(ExportRequested(job=uuid4(), user=user), version)
    headers = request.headers | {"ce_type": UserState.type, "ce_partitionkey": str(user)}
    return Record(UserState.topic, str(user), None, headers)


async def apply(harness: Harness, *records: Record) -> Outcome:
    assert harness.subscription is not None
    outcome = await apply_batch(harness.db, harness.subscription, list(records))
    assert outcome.parked == 0
    return outcome


async def answers_to(harness: Harness, job: UUID) -> list[tuple[str, dict[str, Any]]]:
    """Type and content of what the service has published about a job."""
    async with harness.db.sessions() as session:
        rows = await session.execute(
            text("SELECT type, payload FROM outbox WHERE key = :k ORDER BY seq"), {"k": str(job)}
        )
        return [(kind, orjson.loads(bytes(payload))) for kind, payload in rows]


async def tables_with(harness: Harness, *words: str) -> set[str]:
    """Every table of the service in which any column of any row holds one of `words`, in whatever case."""
    found = set()
    async with harness.db.sessions() as session:
        tables = await session.execute(
            text(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
                " WHERE tableowner = current_user ORDER BY 1"
            )
        )
        for (table,) in tables.all():
            for word in words:
                # A row as text shows bytes in hexadecimal.
                hit = await session.scalar(
                    text(
                        f"SELECT EXISTS (SELECT 1 FROM {table} t WHERE strpos(lower(t::text), lower(:w)) > 0"
                        " OR strpos(t::text, encode(convert_to(:w, 'UTF8'), 'hex')) > 0)"
                    ),
                    {"w": word},
                )
                if hit:
                    found.add(f"{table} {word}")
    return found
