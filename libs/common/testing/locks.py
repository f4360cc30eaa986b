"""The order in which transactions lock, watched while the tests run: two opposite orders are a deadlock.

Every statement that psycopg sends is read for the tables in which it locks rows, and how (PostgreSQL manual,
13.3.2): `SELECT … FOR`, UPDATE, DELETE, INSERT … ON CONFLICT, advisory locks, and the KEY SHARE that a new
row takes of those that it refers to. A transaction that holds a lock of one class and asks for one of another
makes an edge. Edges of all tests together must have no cycle; `GUARDED` names those that cannot happen, and
why. What does not wait (SKIP LOCKED, NOWAIT, try) is held but never asked for.

Classes are tables, not rows: that rows of one table are locked in one order is not seen here. Where two edges
of a cycle were made under the exclusive lock of the row that owns the others (`OWNERS`), they take turns.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus

from libs.common.runtime.settings import SERVICES

KEY_SHARE, SHARE, NO_KEY, UPDATE, INSERT = "KEY SHARE", "SHARE", "NO KEY UPDATE", "UPDATE", "INSERT"
CONFLICTS = {
    KEY_SHARE: {UPDATE},
    SHARE: {NO_KEY, UPDATE},
    NO_KEY: {SHARE, NO_KEY, UPDATE},
    UPDATE: {KEY_SHARE, SHARE, NO_KEY, UPDATE},
    INSERT: {INSERT},
}
SHARED = (KEY_SHARE, SHARE)
_WORDS = re.compile(
    r"(?<!FOR )(?<!KEY )(?<!DO )\bUPDATE\s+(?:ONLY\s+)?(?P<update>\w+)"
    r"|\bDELETE\s+FROM\s+(?P<delete>\w+)"
    r"|\bINSERT\s+INTO\s+(?P<insert>\w+)"
    r"|\bON\s+CONFLICT\b.*?\bDO\s+(?P<conflict>UPDATE|NOTHING)"
    r"|\bFOR\s+(?P<strength>NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b(?:\s+OF\s+(?P<of>\w+(?:\s*,\s*\w+)*))?"
    r"(?P<skip>\s+SKIP\s+LOCKED|\s+NOWAIT)?"
    r"|\bpg_(?P<tried>try_)?advisory_xact_lock(?P<shared>_shared)?\((?P<advisory>[^,()]*(?:\([^()]*\))?[^()]*)\)",
    re.IGNORECASE | re.DOTALL,
)
_SOURCE = re.compile(
    r"\b(?:FROM|JOIN)\s+(?:ONLY\s+)?(\w+)"
    r"(?:\s+(?:AS\s+)?(?!WHERE|JOIN|ON\b|ORDER|FOR|LIMIT|LEFT|INNER|GROUP)(\w+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Lock:
    """Rows of a table that a statement locks; `waits` is false where it takes only what is free."""

    table: str
    mode: str
    waits: bool = True


@dataclass(frozen=True)
class Edge:
    """Somebody held the first and asked for the second."""

    held: Lock
    wanted: Lock


Keys = Mapping[str, tuple[frozenset[str], frozenset[str]]]
"""By table: those that its rows refer to, and those whose rows change when one of its is deleted."""


def locks_of(statement: str, keys: Keys) -> tuple[Lock, ...]:
    """What a statement locks, in the order of its text."""
    found: list[Lock] = []
    parents: list[Lock] = []  # their keys are checked at the end of the statement
    into = ""
    for match in _WORDS.finditer(statement):
        if table := match["update"]:
            found.append(Lock(table, NO_KEY))
        elif table := match["delete"]:
            found.append(Lock(table, UPDATE))
            found += [Lock(child, NO_KEY) for child in sorted(keys.get(table, ((), ()))[1])]
        elif table := match["insert"]:
            into = table
            found.append(Lock(table, INSERT, False))
            parents += [Lock(parent, KEY_SHARE) for parent in sorted(keys.get(table, ((), ()))[0])]
        elif what := match["conflict"]:
            found.append(Lock(into, INSERT))
            if what.upper() == "UPDATE":
                found.append(Lock(into, NO_KEY))
        elif mode := match["strength"]:
            waits = match["skip"] is None
            found += [Lock(t, mode.upper(), waits) for t in _sources(statement[: match.start()], match["of"])]
        else:
            mode = SHARE if match["shared"] else UPDATE
            found.append(Lock(f"advisory {match['advisory'].strip()}", mode, match["tried"] is None))
    return (*found, *parents)


def _sources(before: str, of: str | None) -> list[str]:
    """The tables of the SELECT that ends here: all of its FROM, or those that OF names."""
    start = before.upper().rfind("SELECT")
    depth = 0
    for at in range(len(before) - 1, -1, -1):  # the SELECT of this level, not of one in brackets
        depth += {")": 1, "(": -1}.get(before[at], 0)
        if depth < 0:
            break
        if depth == 0 and before[at : at + 6].upper() == "SELECT":
            start = at
            break
    flat = re.sub(r"\([^()]*(?:\([^()]*(?:\([^()]*\)[^()]*)*\)[^()]*)*\)", " ", before[start:])
    named = {alias or table: table for table, alias in _SOURCE.findall(flat)}
    if of is None:
        return list(named.values())
    return [named.get(name.strip(), name.strip()) for name in of.split(",")]


@dataclass
class LockOrder:
    """Edges by service, each with where it was seen (the test and both statements), and the owners whose lock
    was held every time."""

    edges: dict[str, dict[Edge, tuple[str, str, str]]] = field(default_factory=dict)
    under: dict[tuple[str, Edge], frozenset[str]] = field(default_factory=dict)

    def take(self, service: str, held: dict[Lock, str], statement: str, keys: Keys) -> None:
        """One more statement of a transaction that holds `held`, by lock the statement that took it."""
        for lock in _locks(statement, service, keys):
            same = [other for other in held if other.table == lock.table]
            if any(other.mode == INSERT for other in same) and lock.mode != INSERT:
                held.setdefault(lock, statement)
                continue  # of a row that it has made itself
            upgrade = [o for o in same if o.mode in SHARED and lock.mode in CONFLICTS[o.mode]]
            if any(other.mode not in SHARED and other.mode != INSERT for other in same):
                continue  # of this row, or of another one of the same table
            others = [
                other
                for other in held
                if other.table != lock.table and not (other.mode == lock.mode == KEY_SHARE)
            ]
            if lock.waits:
                exclusive = {each.table for each in held if each.mode in (NO_KEY, UPDATE)}
                owners = frozenset(exclusive & {"privacy_parts", *OWNERS.get(service, ())})
                for other in [*others, *upgrade]:
                    where = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
                    edge = Edge(other, lock)
                    known = self.edges.setdefault(service, {})
                    if edge not in known or not owners >= self.under[service, edge]:
                        known[edge] = (where, held[other], statement)
                    self.under[service, edge] = owners & self.under.get((service, edge), owners)
            held.setdefault(lock, statement)

    def cycles(self, service: str) -> Iterator[list[Edge]]:
        """The shortest cycle through each edge that has one."""
        edges = list(self.edges.get(service, ()))
        follow = {
            e: [
                f for f in edges if f.held.table == e.wanted.table and f.held.mode in CONFLICTS[e.wanted.mode]
            ]
            for e in edges
        }
        under = {edge: self.under[service, edge] for edge in edges}
        seen: set[frozenset[str]] = set()
        found: list[list[Edge]] = []
        for first in edges:
            cycle = _shortest(first, follow, under)
            tables = frozenset(edge.held.table for edge in cycle)
            if cycle and tables not in seen:
                seen.add(tables)
                found.append(cycle)
        told: set[tuple[str, str]] = set()
        for cycle in sorted(found, key=len):  # what a longer one shares with a shorter one is told once
            pairs = {(edge.held.table, edge.wanted.table) for edge in cycle}
            if not pairs & told:
                told |= pairs
                yield cycle

    def report(self, guarded: Mapping[tuple[str, frozenset[str]], str]) -> str:
        """What is locked in opposite orders, "" for nothing."""
        lines: list[str] = []
        for service in sorted(self.edges.keys() - RETRIED.keys()):
            for cycle in self.cycles(service):
                if (service, frozenset(edge.held.table for edge in cycle)) in guarded:
                    continue
                lines.append(f"{service}: {' → '.join(edge.held.table for edge in [*cycle, cycle[0]])}")
                for edge in cycle:
                    where, held, wanted = self.edges[service][edge]
                    lines.append(f"  {where}\n    holds {_short(edge.held)} by {_line(held)}")
                    lines.append(f"    wants {_short(edge.wanted)} by {_line(wanted)}")
        return "\n".join(lines)


def _shortest(
    first: Edge, follow: Mapping[Edge, list[Edge]], under: Mapping[Edge, frozenset[str]]
) -> list[Edge]:
    """The shortest cycle through `first` in which no two edges have an owner in common."""
    paths = [([first], under[first])]
    reached = {(first, under[first])}
    while paths:
        path, owners = paths.pop(0)
        for edge in follow[path[-1]]:
            if edge == first:
                return path
            place = (edge, owners | under[edge])
            if not owners & under[edge] and place not in reached:
                reached.add(place)
                paths.append(([*path, edge], place[1]))
    return []


def _short(lock: Lock) -> str:
    return f"{lock.table} ({lock.mode})"


def _line(statement: str) -> str:
    return " ".join(statement.split())[:300]


_LOCKS: dict[tuple[str, str], tuple[Lock, ...]] = {}


def _locks(statement: str, service: str, keys: Keys) -> tuple[Lock, ...]:
    known = _LOCKS.get((service, statement))
    if known is None:
        known = _LOCKS[service, statement] = locks_of(statement, keys)
    return known


@lru_cache
def keys_of(service: str) -> Keys:
    """The foreign keys of a service's tables."""
    tables: Iterable[Any] = import_module(f"services.{service}.models").Base.metadata.tables.values()
    parents: dict[str, set[str]] = {}
    children: dict[str, set[str]] = {}
    for table in tables:
        for key in table.foreign_keys:
            parents.setdefault(table.name, set()).add(key.column.table.name)
            if key.ondelete:
                children.setdefault(key.column.table.name, set()).add(table.name)
    return {
        name: (frozenset(parents.get(name, ())), frozenset(children.get(name, ())))
        for name in {*parents, *children}
    }


def watch(order: LockOrder) -> Callable[[], None]:
    """Read every statement of this process's connections to services from now on; returns what stops it."""
    held: WeakKeyDictionary[Any, dict[Lock, str]] = WeakKeyDictionary()
    services: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def read(connection: Any, query: Any) -> None:
        service = services.get(connection)
        if service is None:
            name = connection.info.get_parameters().get("application_name", "").removeprefix("lectern-")
            service = services[connection] = name if name in SERVICES else ""
        if not service or not isinstance(query, str):
            return
        if connection.info.transaction_status is TransactionStatus.IDLE:
            held[connection] = {}
        order.take(service, held.setdefault(connection, {}), query, keys_of(service))

    before = {name: getattr(psycopg.AsyncCursor, name) for name in ("execute", "executemany")}

    def watched(method: Any) -> Any:
        async def call(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
            read(self.connection, query)
            return await method(self, query, *arguments, **options)

        return call

    for name, method in before.items():
        setattr(psycopg.AsyncCursor, name, watched(method))

    def stop() -> None:
        for name, method in before.items():
            setattr(psycopg.AsyncCursor, name, method)

    return stop


OWNERS: dict[str, set[str]] = {
    "identity": {"users"},  # codes, sessions, registrations, factors are of the user whose row is locked
    "learning": {"enrollments"},  # progress, attempts, submissions, grades are of one seat
}
"""Tables whose rows own what is locked under their lock: it is never shared between two of them. In every
service `privacy_parts` too: the erasure of one person."""
GUARDED: dict[tuple[str, frozenset[str]], str] = {
    ("catalog", frozenset({"categories", "courses"})): (
        "a course comes before its category only when a deleted one is brought back: a rename locks none such"
    ),
    ("learning", frozenset({"certificates", "enrollments"})): (
        "a certificate is requested once, under its seat's lock; only afterwards is there one to replace"
    ),
}
"""Cycles that cannot happen, by service and tables, with the reason."""
RETRIED = {
    "analytics": "only its consumer writes: a batch that meets another one is rolled back and applied again",
}
"""Services whose transactions answer nobody, so that a deadlock costs a moment and no request."""
