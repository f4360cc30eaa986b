"""Who did what to whom, and why: acts of power over other people and their work, in a table that only grows.

The entry is written in the transaction of the act. The service's role may add to the table and read it; see
deploy/local/database.py. Ids only, no names: the log outlives the people in it.
`python -m libs.common.data.audit_log [--service NAME] [--target ID]` prints it as JSON lines.
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.data.jobs import CeleryQueue
from libs.common.runtime.settings import SERVICES
from libs.common.runtime.trace import current_trace


async def write_entry(
    session: AsyncSession,
    action: str,
    target: UUID | str,
    *,
    actor: UUID | None = None,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Keep an act, past tense. Without `actor` it is the person at the command line."""
    await session.execute(
        text(
            "INSERT INTO audit_entries (actor, operator, action, target, reason, details, request_id)"
            " VALUES (:actor, :operator, :action, :target, :reason, CAST(:details AS jsonb), :request_id)"
        ),
        {
            "actor": actor,
            "operator": "" if actor else getpass.getuser(),
            "action": action,
            "target": str(target),
            "reason": reason,
            "details": orjson.dumps(dict(details or {})).decode(),
            "request_id": current_trace().request_id,
        },
    )


async def read_entries(service: str, target: str | None) -> list[dict[str, Any]]:
    """The entries of a service, oldest first."""
    settings = import_module(f"services.{service}.settings").Settings()
    db = Database(settings, CeleryQueue(settings))
    try:
        async with db.sessions() as session:
            rows = await session.execute(
                text("SELECT * FROM audit_entries WHERE CAST(:t AS text) IS NULL OR target = :t ORDER BY id"),
                {"t": target},
            )
            return [{"service": service, **row._mapping} for row in rows]
    finally:
        await db.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the audit log as JSON lines.")
    parser.add_argument("--service", choices=SERVICES)
    parser.add_argument("--target", help="what or who was acted upon")
    arguments = parser.parse_args()
    for service in [arguments.service] if arguments.service else SERVICES:
        for entry in asyncio.run(read_entries(service, arguments.target)):
            print(orjson.dumps(entry, default=str).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
