"""Conservation: published = applied + parked, per consumer, topic and key.

The sources are the versions of every aggregate that a service publishes (`__topics__` of its model); what was
applied and parked is read from every consumer's tables. `python -m libs.common.bus.audit [--json]`.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

import orjson
from sqlalchemy import Text, cast, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.bus.dlq import open_service
from libs.common.runtime.settings import SERVICES

MOST_NAMED = 20
PATIENCE = 5.0
"""Seconds in which a consumer may catch up before it is said to lag."""


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


Counts = dict[str, int]  # by key
Versions = dict[str, Counts]  # topic → key → version


def publishers(service: str) -> Iterator[tuple[Any, str]]:
    """Models of a service whose versions number events, each with the topics that these go to."""
    for mapper in import_module(f"services.{service}.models").Base.registry.mappers:
        for topic in getattr(mapper.class_, "__topics__", ()):
            yield mapper.class_, topic


async def published(services: list[str]) -> tuple[Versions, dict[str, int]]:
    """Newest version of every aggregate by topic, and how many events still wait in outboxes by topic."""
    versions: Versions = {}
    waiting: dict[str, int] = {}
    for service in services:
        db, _ = open_service(service)
        async with db.sessions() as session:
            for model, topic in publishers(service):
                result = await session.execute(
                    select(cast(model.uuid, Text), model.version).where(model.version > 0)
                )
                versions.setdefault(topic, {}).update({key: version for key, version in result})
            result = await session.execute(text("SELECT topic, count(*) FROM outbox GROUP BY topic"))
            waiting.update({topic: count for topic, count in result})
        await db.close()
    return versions, waiting


async def audit(services: list[str] | None = None) -> list[Balance]:
    """A balance for every (consumer, topic) pair of the suite.

    The versions are read before and after what was applied, so that keys may move on meanwhile. Only a
    consumer that lags behind the first reading does not balance.
    """
    names = services or list(SERVICES)
    before, waiting = await published(names)
    read: list[tuple[Balance, Counts, Counts]] = []
    for service in names:
        db, subscription = open_service(service)
        if subscription is not None:
            async with db.sessions() as session:
                for topic in subscription.topics:
                    balance = Balance(service, topic, waiting_in_outbox=waiting.get(topic, 0))
                    read.append((balance, *await progress_of(session, service, topic)))
        await db.close()
    after, _ = await published(names)
    for balance, applied, parked in read:
        _weigh(balance, before.get(balance.topic, {}), after.get(balance.topic, {}), applied, parked)
    return [balance for balance, _, _ in read]


async def progress_of(
    session: AsyncSession, consumer: str, topic: str, keys: Sequence[str] | None = None
) -> tuple[Counts, Counts]:
    """By key, of all or of these: the newest version applied, and how many events are parked behind it."""
    asked = {"c": consumer, "t": topic, "k": None if keys is None else list(keys)}
    progress = await session.execute(
        text(
            "SELECT key, last_seq FROM key_progress WHERE consumer = :c AND topic = :t"
            " AND (CAST(:k AS text[]) IS NULL OR key = ANY(:k))"
        ),
        asked,
    )
    held = await session.execute(
        text(
            "SELECT d.key, count(*) FROM dead_letter d JOIN key_progress p USING (consumer, topic, key)"
            " WHERE d.consumer = :c AND d.topic = :t AND d.resolved_at IS NULL AND d.seq > p.last_seq"
            " AND (CAST(:k AS text[]) IS NULL OR d.key = ANY(:k)) GROUP BY d.key"
        ),
        asked,
    )
    return {key: last for key, last in progress}, {key: count for key, count in held}


def weigh(topic: str, earliest: int, latest: int | None, applied: int, parked: int) -> tuple[int, int, bool]:
    """One key: how many events count as published and as parked, and whether it balances.

    `earliest` and `latest` are its versions before and after the look at what was applied; None is unknown.
    """
    if parked and not topic.endswith(".events"):
        # States supersede each other: the newest one stands for all before it.
        parked = max(earliest, applied + parked) - applied
    version = max(applied + parked, earliest)
    if latest is not None:
        version = min(version, latest)
    return version, parked, applied + parked == version


def _weigh(balance: Balance, before: Counts, after: Counts, applied: Counts, parked: Counts) -> None:
    for key, latest in after.items():
        done = applied.get(key, 0)
        version, waits, holds = weigh(balance.topic, before.get(key, 0), latest, done, parked.get(key, 0))
        balance.published += version
        balance.applied += done
        balance.parked += waits
        if not holds and len(balance.missing) < MOST_NAMED:
            balance.missing.append(f"{key}: published {version}, applied {done}, parked {waits}")


async def balanced_or_late() -> list[Balance]:
    """The balances once all hold, or as they are after `PATIENCE`: events need a moment on their way."""
    until = time.monotonic() + PATIENCE
    while True:
        balances = await audit()
        if all(balance.balanced for balance in balances) or time.monotonic() > until:
            return balances
        await asyncio.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare what was published with what was applied.")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    balances = asyncio.run(balanced_or_late())
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
