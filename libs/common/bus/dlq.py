"""Dead letters on the command line: `python -m libs.common.bus.dlq list | show ID | redrive`.

A redrive replays a parked key in order, in one transaction, and writes down that it did so.
"""

import argparse
import asyncio
import getpass
import sys
from importlib import import_module
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from libs.common.bus import deadletters
from libs.common.bus.inbox import replay
from libs.common.bus.received import Subscription
from libs.common.data.audit_log import write_entry
from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue
from libs.common.runtime.settings import SERVICES


def open_service(service: str) -> tuple[Database, Subscription | None]:
    """The database and subscription of a service, by name."""
    settings = import_module(f"services.{service}.settings").Settings()
    return Database(settings, CeleryQueue(settings)), import_module(f"services.{service}.worker").SUBSCRIPTION


async def list_parked(services: list[str]) -> list[dict[str, Any]]:
    """Every parked key, and every message without a readable envelope."""
    found: list[dict[str, Any]] = []
    for service in services:
        db, _ = open_service(service)
        async with db.sessions() as session:
            for row in await deadletters.parked_keys(session, service):
                found.append({"service": service, **row._mapping})
            result = await session.execute(
                text(
                    "SELECT id, topic, type, error, parked_at AS since, reason AS parked FROM dead_letter"
                    " WHERE key IS NULL AND resolved_at IS NULL ORDER BY id"
                )
            )
            found += [{"service": service, **row._mapping} for row in result]
        await db.close()
    return found


async def show(services: list[str], number: str) -> list[dict[str, Any]]:
    """Dead letters by id, or all that wait for one key."""
    found: list[dict[str, Any]] = []
    for service in services:
        db, _ = open_service(service)
        async with db.sessions() as session:
            result = await session.execute(
                text(
                    'SELECT id, consumer, topic, "partition", "offset", key, seq, type, reason, error, '
                    " headers, payload, parked_at, resolved_at, resolution"
                    " FROM dead_letter WHERE key = :n OR id::text = :n ORDER BY key, seq"
                ),
                {"n": number},
            )
            found += [
                {"service": service, **row._mapping, "payload": deadletters.readable(row.payload)}
                for row in result
            ]
        await db.close()
    return found


async def redrive(services: list[str], key: str | None, *, dry_run: bool) -> list[dict[str, Any]]:
    """Replay parked keys in order; each key in a transaction of its own. Tells what became of each."""
    report: list[dict[str, Any]] = []
    for service in services:
        db, subscription = open_service(service)
        async with db.sessions() as session:
            parked = await deadletters.parked_keys(session, service, key=key)
        for place in parked:
            entry = {"service": service, "topic": place.topic, "key": place.key, "waiting": place.waiting}
            if subscription is not None:
                entry |= await redrive_key(db, subscription, place.topic, place.key, dry_run=dry_run)
            report.append(entry)
        await db.close()
    return report


async def redrive_key(
    db: Database,
    subscription: Subscription,
    topic: str,
    key: str,
    *,
    dry_run: bool,
    actor: UUID | None = None,
) -> dict[str, Any]:
    """Replay what waits for one key, in a transaction of its own, and write down who did it.

    `actor` is an administrator, or None: the person at the command line. Returns `result` (applied, would
    apply, or failed) with how many were `applied`, or the `error`.
    """
    try:
        async with db.sessions() as session:
            who = str(actor or getpass.getuser())
            outcome = await replay(session, subscription, topic, key, f"redriven by {who}")
            details = {"topic": topic, "applied": outcome.applied}
            await write_entry(session, "dead_letters_redriven", key, actor=actor, details=details)
            if dry_run:
                await session.rollback()
            else:
                await session.commit()
        if not dry_run:
            await db.committed(session)
    except Exception as error:  # whatever a handler raises is what the operator has to see
        return {"result": "failed", "error": f"{type(error).__name__}: {error}"[:500]}
    return {"result": "would apply" if dry_run else "applied", "applied": outcome.applied}


def main() -> int:
    parser = argparse.ArgumentParser(description="Look at dead letters and replay them.")
    parser.add_argument("command", choices=("list", "show", "redrive"))
    parser.add_argument("id", nargs="?", help="id or key to show")
    parser.add_argument("--service", choices=SERVICES)
    parser.add_argument("--key")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    services = [arguments.service] if arguments.service else list(SERVICES)
    if arguments.command == "list":
        report = asyncio.run(list_parked(services))
    elif arguments.command == "show":
        if not arguments.id:
            parser.error("show takes an id or a key: see `lectern dlq list`")
        report = asyncio.run(show(services, arguments.id))
    else:
        report = asyncio.run(redrive(services, arguments.key or arguments.id, dry_run=arguments.dry_run))
    print(orjson.dumps(report, option=orjson.OPT_INDENT_2, default=str).decode())
    return 1 if any(entry.get("result") == "failed" for entry in report) else 0


if __name__ == "__main__":
    sys.exit(main())
