"""What a service shows its operators: `/api/ops/<service>/`, for administrators alone.

Its processes, what waits, dead letters and their redrive, the log of acts of power; and the two halves of the
audit (published = applied + parked): a service tells its own versions, and weighs another's against what it
has applied. Whoever asks puts the halves together, so that no service calls or reads another.
"""

from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import Text, cast, select, text

from libs.common.bus.audit import progress_of, publishers, weigh
from libs.common.bus.backlog import OLDEST, PARKED, PENDING, UNRESOLVED, age_of
from libs.common.bus.deadletters import parked_keys, readable
from libs.common.bus.dlq import redrive_key
from libs.common.bus.received import Subscription
from libs.common.data.audit_log import write_entry
from libs.common.data.db import SessionDep
from libs.common.data.heartbeat import SILENT
from libs.common.runtime.errors import InvalidFilter, NotFound
from libs.common.runtime.release import release
from libs.common.runtime.settings import ServiceSettings
from libs.common.security.auth import Admin
from libs.common.service.ops_schemas import (
    AuditEntryRead,
    BalanceRead,
    BalanceRequest,
    DeadLetterRead,
    OperationsRead,
    ParkedKeyRead,
    Redriven,
    RedriveRequest,
    VersionsRead,
)
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from libs.common.web.paging import Page, PagingDep

MOST_KEYS = 200
"""Keys of one redrive: each is a transaction."""
MOST_VERSIONS = 5000
BIGINT = 2**63 - 1

PROCESSES = text("SELECT instance, kind, started_at, seen_at, facts FROM processes ORDER BY kind, instance")
LETTERS = (
    " FROM (SELECT topic, key, (array_agg(id ORDER BY seq))[1] AS letter,"
    "  (array_agg(reason ORDER BY seq))[1] AS reason, count(*) AS waiting, min(parked_at) AS since,"
    "  (array_agg(error ORDER BY seq) FILTER (WHERE error IS NOT NULL))[1] AS error"
    " FROM dead_letter WHERE resolved_at IS NULL AND key IS NOT NULL GROUP BY topic, key"
    " UNION ALL SELECT topic, NULL, id, reason, 1, parked_at, error"
    " FROM dead_letter WHERE resolved_at IS NULL AND key IS NULL) AS parked"
)
LETTER = text(
    'SELECT id, consumer, topic, "partition", "offset", key, seq AS sequence, type, reason, error, headers,'
    " payload, parked_at, resolved_at, resolution FROM dead_letter WHERE id = :id"
)
ENTRIES = " FROM audit_entries WHERE CAST(:target AS text) IS NULL OR target = :target"


def ops_router(settings: ServiceSettings, subscription: Subscription | None) -> APIRouter:
    """The routes of one service."""
    service = settings.service
    router = APIRouter(prefix=f"/api/ops/{service}", tags=["operations"])

    @router.get("/", response_model=OperationsRead)
    async def get_operations(session: SessionDep, _: Admin, now: Now) -> Any:
        """Processes, outbox, consumers and jobs of this service."""
        waiting = getattr(import_module(f"services.{service}.worker"), "WAITING", {})
        parked = {consumer: count for consumer, count in await session.execute(PARKED)}
        return {
            "service": service,
            "as_of": now,
            "release": release(),
            "publishes": sorted({topic for _, topic in publishers(service)}),
            "subscribes": list(subscription.topics) if subscription else [],
            "processes": [_process(row, now) for row in await session.execute(PROCESSES)],
            "outbox": {
                "pending": await session.scalar(PENDING) or 0,
                "oldest_seconds": await age_of(session, OLDEST),
            },
            "dead_letters": {
                "waiting": await session.scalar(UNRESOLVED) or 0,
                "parked_keys": sum(parked.values()),
            },
            "waiting": [
                {"task": task, "oldest_seconds": await age_of(session, text(statement))}
                for task, statement in waiting.items()
            ],
            "links": settings.links,
        }

    @router.get("/dead-letters/", response_model=Page[ParkedKeyRead])
    async def list_dead_letters(session: SessionDep, _: Admin, page: PagingDep) -> Any:
        """What could not be applied, by key, the oldest first."""
        count = await session.scalar(text(f"SELECT count(*){LETTERS}")) or 0
        found = await session.execute(
            text(f"SELECT *{LETTERS} ORDER BY since, topic, key, letter LIMIT :size OFFSET :offset"),
            {"size": page.size, "offset": page.offset},
        )
        return page.answer(count, [row._mapping for row in found])

    @router.get("/dead-letters/{letter}/", response_model=DeadLetterRead)
    async def get_dead_letter(
        letter: Annotated[int, Path(ge=1, le=BIGINT)], session: SessionDep, who: Admin
    ) -> Any:
        """One event with its payload and error. Payloads are people's data: each look is written down."""
        row = (await session.execute(LETTER, {"id": letter})).one_or_none()
        if row is None:
            raise NotFound
        await write_entry(session, "dead_letter_read", str(letter), actor=who.user, details={"key": row.key})
        return {**row._mapping, "payload": readable(row.payload)}

    @router.post("/dead-letters/redrive/", response_model=Redriven)
    async def redrive_dead_letters(
        body: RedriveRequest, session: SessionDep, who: Admin, request: Request
    ) -> Any:
        """Apply parked events again, in order; each key in a transaction of its own."""
        if subscription is None:
            return {"results": [], "more": False}
        found = await parked_keys(session, subscription.consumer, body.topic, body.key, MOST_KEYS + 1)
        db, results = request.app.state.db, []
        for place in found[:MOST_KEYS]:
            outcome = await redrive_key(
                db, subscription, place.topic, place.key, dry_run=body.dry_run, actor=who.user
            )
            results.append({"topic": place.topic, "key": place.key, "waiting": place.waiting, **outcome})
        return {"results": results, "more": len(found) > MOST_KEYS}

    @router.get("/audit-log/", response_model=Page[AuditEntryRead])
    async def list_audit_entries(
        session: SessionDep,
        _: Admin,
        page: PagingDep,
        target: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Any:
        """Who did what to whom, newest first; `target` is an id."""
        count = await session.scalar(text(f"SELECT count(*){ENTRIES}"), {"target": target}) or 0
        found = await session.execute(
            text(f"SELECT *{ENTRIES} ORDER BY id DESC LIMIT :size OFFSET :offset"),
            {"target": target, "size": page.size, "offset": page.offset},
        )
        return page.answer(count, [row._mapping for row in found])

    @router.get("/versions/", response_model=VersionsRead, responses=raises(InvalidFilter))
    async def list_versions(
        session: SessionDep,
        _: Admin,
        topic: Annotated[str, Query(max_length=200)],
        after: Annotated[str, Query(max_length=200)] = "",
    ) -> Any:
        """How many events this service has recorded of each aggregate, by key; 5,000 at once."""
        models = [model for model, name in publishers(service) if name == topic]
        if not models:
            raise InvalidFilter("topic", sorted({name for _, name in publishers(service)}))
        found: list[dict[str, Any]] = []
        for model in models:
            key = cast(model.uuid, Text)
            rows = await session.execute(
                select(key, model.version)
                .where(model.version > 0, key > after)
                .order_by(key)
                .limit(MOST_VERSIONS + 1)
            )
            found += [{"key": name, "version": version} for name, version in rows]
        found.sort(key=lambda each: each["key"])
        some = found[:MOST_VERSIONS]
        return {"topic": topic, "versions": some, "next": some[-1]["key"] if len(found) > len(some) else None}

    @router.post("/balances/", response_model=BalanceRead, responses=raises(InvalidFilter))
    async def weigh_versions(body: BalanceRequest, session: SessionDep, _: Admin) -> Any:
        """Weigh what a producer says it has published against what this service has applied and parked."""
        if subscription is None or body.topic not in subscription.topics:
            raise InvalidFilter("topic", list(subscription.topics) if subscription else [])
        keys = [each.key for each in body.versions]
        applied, parked = await progress_of(session, subscription.consumer, body.topic, keys)
        balance: dict[str, Any] = {
            "topic": body.topic, "published": 0, "applied": 0, "parked": 0, "missing": [],
        }  # fmt: skip
        for each in body.versions:
            key, done = each.key, applied.get(each.key, 0)
            published, waits, holds = weigh(body.topic, each.version, None, done, parked.get(key, 0))
            balance["published"] += published
            balance["applied"] += done
            balance["parked"] += waits
            if not holds:
                missing = {"key": key, "published": published, "applied": done, "parked": waits}
                balance["missing"].append(missing)
        return balance

    return router


def _process(row: Any, now: datetime) -> Mapping[str, Any]:
    facts = {"connections": None, "sockets": None, "consumers": [], **row.facts}
    halted = any(consumer["halted"] for consumer in facts["consumers"])
    silent = now - row.seen_at > SILENT
    status = "silent" if silent else "halted" if halted else "running"
    return {**facts, **row._mapping, "status": status}
