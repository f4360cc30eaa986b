"""Conservation: published = applied + parked, per consumer, topic and key.

The sources are the versions of every aggregate that a service publishes (`__topics__` of its model); what was
applied and parked is read from every consumer's tables. `python -m libs.common.audit [--json]`.
"""

import argparse
import asyncio
import sys
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

import orjson
from sqlalchemy import Text, cast, select, text

from libs.common.dlq import open_service
from libs.common.settings import SERVICES

MOST_NAMED = 20


@dataclass
class Balance:
    """One consumer's balance on one topic, in events. `missing` names keys that do not balance."""

    consumer: str
    topic: str
    published: int = 0
    applied: int = 0
    parked: int = 0
    waiting_in_outbox: int = 0
    missing: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        return self.published == self.applied + self.parked and not self.missing


Versions = dict[str, dict[str, int]]  # topic → key → version


async def published(services: list[str]) -> tuple[Versions, dict[str, int]]:
    """Newest version of every aggregate by topic, and how many events still wait in outboxes by topic."""
    versions: Versions = {}
    waiting: dict[str, int] = {}
    for service in services:
        db, _ = open_service(service)
        base = import_module(f"services.{service}.models").Base
        async with db.sessions() as session:
            for mapper in base.registry.mappers:
                topics = getattr(mapper.class_, "__topics__", ())
                if not topics:
                    continue
                result = await session.execute(
                    select(cast(mapper.c.uuid, Text), mapper.c.version).where(mapper.c.version > 0)
                )
                rows = {key: version for key, version in result}
                for topic in topics:
                    versions.setdefault(topic, {}).update(rows)
            result = await session.execute(text("SELECT topic, count(*) FROM outbox GROUP BY topic"))
            waiting.update({topic: count for topic, count in result})
        await db.close()
    return versions, waiting


async def audit(services: list[str] | None = None) -> list[Balance]:
    """A balance for every (consumer, topic) pair of the suite."""
    names = services or list(SERVICES)
    versions, waiting = await published(names)
    balances: list[Balance] = []
    for service in names:
        db, subscription = open_service(service)
        if subscription is not None:
            async with db.sessions() as session:
                for topic in subscription.topics:
                    balance = await _balance(session, service, topic, versions.get(topic, {}))
                    balance.waiting_in_outbox = waiting.get(topic, 0)
                    balances.append(balance)
        await db.close()
    return balances


async def _balance(session: Any, consumer: str, topic: str, keys: dict[str, int]) -> Balance:
    balance = Balance(consumer, topic, published=sum(keys.values()))
    progress = await session.execute(
        text("SELECT key, last_seq FROM key_progress WHERE consumer = :c AND topic = :t"),
        {"c": consumer, "t": topic},
    )
    applied: dict[str, int] = {key: last for key, last in progress}
    held = await session.execute(
        text(
            "SELECT d.key, count(*) FROM dead_letter d JOIN key_progress p USING (consumer, topic, key)"
            " WHERE d.consumer = :c AND d.topic = :t AND d.resolved_at IS NULL AND d.seq > p.last_seq"
            " GROUP BY d.key"
        ),
        {"c": consumer, "t": topic},
    )
    parked: dict[str, int] = {key: count for key, count in held}
    is_log = topic.endswith(".events")
    for key, version in keys.items():
        done, waits = applied.get(key, 0), parked.get(key, 0)
        if waits and not is_log:
            waits = version - done  # states supersede each other: the newest one stands for all before it
        balance.applied += done
        balance.parked += waits
        if done + waits != version and len(balance.missing) < MOST_NAMED:
            balance.missing.append(f"{key}: published {version}, applied {done}, parked {waits}")
    return balance


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare what was published with what was applied.")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    balances = asyncio.run(audit())
    broken = [balance for balance in balances if not balance.balanced]
    if arguments.json:
        report = [asdict(balance) | {"balanced": balance.balanced} for balance in balances]
        print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        for balance in balances:
            mark = "ok " if balance.balanced else "BAD"
            print(
                f"{mark} {balance.consumer:<10} {balance.topic:<22} published {balance.published:>7}"
                f" = applied {balance.applied:>7} + parked {balance.parked}"
            )
            for line in balance.missing:
                print(f"      {line}")
        total = sum(balance.published for balance in balances)
        print(f"{len(balances) - len(broken)} of {len(balances)} balances hold ({total} events)")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
