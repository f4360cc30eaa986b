"""A person's data in one service: packing it for an export, erasing it for good.

Identity asks on `identity.privacy.events`; every other service answers once per job on
`<service>.privacy.events`. A service says in its `privacy.py` what it holds and what becomes of it:

    PRIVACY = Privacy("toy", PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, erase)

and adds `PRIVACY.handlers` to its `HANDLERS`, `PRIVACY.declare(TASKS)` to its tasks, and to its handler of
users `await PRIVACY.lock(session, batch)` as the first line and `await PRIVACY.on_tombstones(session, batch)`
before the replica is touched: an erasure locks what is somebody's, and then them.
"""

import traceback
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import BigInteger, CheckConstraint, Index, Select, SmallInteger, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from libs.common.bus.received import Handler, Received
from libs.common.data.db import enqueue
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.data.outbox import record
from libs.common.data.tables import Aggregate
from libs.common.events.identity import ErasureRequested, ExportRequested, UserState
from libs.common.events.privacy import Erased, PartFailed, PartPacked
from libs.common.files.storage import EXCHANGE, Storage
from libs.common.privacy.content import PersonalData, as_json, copy_object
from libs.common.runtime.clock import system_clock
from libs.common.runtime.errors import NotFound
from libs.common.runtime.logs import get_logger
from libs.common.runtime.trace import Trace, from_headers, tracing

log = get_logger(__name__)

MOST_TRIES = 5
RETRY_AFTER = timedelta(seconds=30)
"""Time before the second try of a part; doubled before each further one."""
TOMBSTONE_PATIENCE = timedelta(hours=1)
"""Time after which a person is erased although the tombstone on `identity.users` has not come: it is kept for
a week only, the request for ever."""
LASTING = (
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError, psycopg.DataError, DataError,
)  # fmt: skip
"""What another try would meet again: it lies in the data, or in how they are read."""
GONE = "[erased]"
"""What stands in place of a text of somebody who is erased, where a text has to stand."""

# Received[…] of the class that the handler is registered for.
Batch = Sequence[Any]


PENDING_PARTS = "SELECT min(requested_at) FROM privacy_parts WHERE status = 'pending'"
"""When the oldest part that is not done was asked for."""


class PrivacyPartTable(Aggregate):
    """What this service was asked to do with somebody's data: pending → done, or failed (an export only).

    `uuid` is the job's, so that a job is done here once. Version 0 until it has ended and said so.
    `user_version` is the tombstone's. `objects` are files of an erased person that are still to be deleted.
    """

    __tablename__ = "privacy_parts"

    user: Mapped[UUID]
    kind: Mapped[str]
    user_version: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(default="pending", server_default="pending")
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    tried_at: Mapped[datetime | None]
    rows: Mapped[int | None]
    objects: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    requested_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    request_id: Mapped[str]
    traceparent: Mapped[str]

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:
        return (
            CheckConstraint("kind IN ('export', 'erasure')", name="kind"),
            CheckConstraint("status IN ('pending', 'done', 'failed')", name="status"),
            CheckConstraint("(status = 'pending') = (version = 0)", name="answered"),
            CheckConstraint("(kind = 'erasure') = (user_version IS NOT NULL)", name="user_version"),
            Index("ix_privacy_parts_pending", "requested_at", postgresql_where=text("status = 'pending'")),
            Index(None, "user", "kind"),
        )


@dataclass
class Erasure:
    """One person being erased in the transaction of `session`."""

    session: AsyncSession
    user: UUID
    now: datetime
    trace: Trace
    rows: int = 0
    objects: list[str] = field(default_factory=list)
    """Paths in the service's storage, deleted by a task after the commit."""

    async def run(self, statement: Any) -> None:
        """Execute a statement and count the rows that it changes."""
        result: Any = await self.session.execute(statement)
        self.rows += result.rowcount


async def find_erased(session: AsyncSession, part: type[Any], users: Collection[UUID]) -> set[UUID]:
    """Who of `users` is erased, or about to be: nothing new is to be kept of them."""
    if not users:
        return set()
    query = select(part.user).where(part.user.in_(users), part.kind == "erasure")
    return set(await session.scalars(query))


async def erase_kept_messages(erasure: Erasure) -> None:
    """Stored answers to the person's requests, and to other people's where they tell of the person; and the
    person's state where it is parked: it becomes a tombstone."""
    user = str(erasure.user)
    await erasure.run(
        text(
            "DELETE FROM idempotency_keys"
            " WHERE principal = :u OR position(convert_to(:u, 'UTF8') IN body) > 0"
        ).bindparams(u=user)
    )
    await erasure.run(
        text(
            "UPDATE dead_letter SET payload = NULL, error = NULL"
            " WHERE topic = :t AND key = :u AND payload IS NOT NULL"
        ).bindparams(t=UserState.topic, u=user)
    )


@dataclass(frozen=True)
class Privacy:
    """How one service packs and erases: its rows, its events, and what it holds.

    `gather` reads everything about a person; `erase` deletes or blanks it, also the replica's row, and bumps
    and publishes every aggregate that it changes.
    """

    service: str
    part: type[Any]
    packed: type[PartPacked]
    failed: type[PartFailed]
    erased: type[Erased]
    gather: Callable[[AsyncSession, UUID], Awaitable[PersonalData]]
    erase: Callable[[Erasure], Awaitable[None]]

    @property
    def handlers(self) -> dict[type[Any], Handler]:
        return {ExportRequested: self.on_export_requested, ErasureRequested: self.on_erasure_requested}

    async def on_export_requested(self, session: AsyncSession, batch: Batch) -> None:
        """Only write down what is to be done: packing takes a while and reaches outside of the database."""
        for job, trace in (await self._accept(session, "export", batch)).items():
            enqueue(session, f"{self.service}.pack_export", str(job), trace=trace)

    async def on_erasure_requested(self, session: AsyncSession, batch: Batch) -> None:
        """Erase who is no longer in the replica of users; the others follow with their tombstone."""
        await self._accept(session, "erasure", batch)
        seen = self._tombstone_seen().where(self.part.uuid.in_([UUID(item.key) for item in batch]))
        await self._erase_all(session, seen)

    async def lock(self, session: AsyncSession, batch: Sequence[Received[UserState]]) -> None:
        """Lock the erasures that a batch of users is about to complete, before anything of those people: a
        request that completes one locks in this order."""
        gone = [UUID(item.key) for item in batch if item.event is None]
        if gone:
            pending = self._pending("erasure").where(self.part.user.in_(gone))
            await session.execute(pending.order_by(self.part.uuid).with_for_update())

    async def on_tombstones(self, session: AsyncSession, batch: Sequence[Received[UserState]]) -> None:
        """Erase those whose request came before their tombstone."""
        gone = [UUID(item.key) for item in batch if item.event is None]
        if gone:
            await self._erase_all(session, self._pending("erasure").where(self.part.user.in_(gone)))

    async def _accept(self, session: AsyncSession, kind: str, batch: Batch) -> dict[UUID, Trace]:
        """Write down jobs; returns those that are new here."""
        rows = [
            {
                "uuid": item.event.job,
                "version": 0,
                "user": item.event.user,
                "kind": kind,
                "user_version": getattr(item.event, "user_version", None),
                "requested_at": item.occurred_at,
                "request_id": item.trace.request_id,
                "traceparent": item.trace.traceparent,
            }
            for item in batch
        ]
        made = await session.execute(
            insert(self.part).values(rows).on_conflict_do_nothing().returning(self.part.uuid)
        )
        new = set(made.scalars())
        return {item.event.job: item.trace for item in batch if item.event.job in new}

    def _pending(self, kind: str) -> Select[Any]:
        return select(self.part).where(self.part.kind == kind, self.part.status == "pending")

    def _tombstone_seen(self) -> Select[Any]:
        """Pending erasures whose tombstone this service has applied."""
        applied = text(
            "EXISTS (SELECT 1 FROM key_progress k WHERE k.consumer = :consumer AND k.topic = :topic"
            ' AND k.key = CAST(privacy_parts."user" AS text) AND k.last_seq >= privacy_parts.user_version)'
        ).bindparams(consumer=self.service, topic=UserState.topic)
        return self._pending("erasure").where(applied)

    async def _erase_all(self, session: AsyncSession, pending: Select[Any]) -> None:
        parts = await session.scalars(
            pending.order_by(self.part.uuid).with_for_update().execution_options(populate_existing=True)
        )
        for part in parts.all():
            trace = trace_of(part)
            erasure = Erasure(session, part.user, system_clock(), trace)
            await self.erase(erasure)
            await erase_kept_messages(erasure)
            part.rows, part.objects = erasure.rows, erasure.objects
            self._end(session, part, "done", self.erased(job=part.uuid, user=part.user, rows=erasure.rows))
            if erasure.objects:
                enqueue(session, f"{self.service}.delete_erased_files", str(part.uuid), trace=trace)

    def _end(self, session: AsyncSession, part: Any, status: str, event: Any) -> None:
        part.status, part.ended_at = status, system_clock()
        part.version += 1
        record(session, event, part.version, trace=trace_of(part))

    def declare(self, tasks: Tasks) -> None:
        """Add `pack_export`, `delete_erased_files` and `sweep_privacy` to a service's tasks."""
        # Named wrappers: a task is found by the name of its function.

        async def pack_export(run: TaskRun, job: str) -> None:
            await self.pack(run, UUID(job))

        async def delete_erased_files(run: TaskRun, job: str) -> None:
            await self.delete_files(run, UUID(job))

        async def sweep_privacy(run: TaskRun) -> None:
            await self.sweep(run)

        tasks.task()(pack_export)
        tasks.task()(delete_erased_files)
        tasks.task(every=30)(sweep_privacy)

    async def pack(self, run: TaskRun, job: UUID) -> None:
        """Write a part to the exchange area and say where it lies; the fifth failure ends it, and the first
        of those that would come again.

        Every try is counted before it begins and writes to paths of its own, so two at once do not mix.
        """
        async with run.db.session() as session:
            part = await session.get(self.part, job, with_for_update={"skip_locked": True})
            if part is None or part.kind != "export" or part.status != "pending":
                return
            part.attempts += 1
            part.tried_at = run.clock()
        packed = None
        with tracing(trace_of(part)):
            if part.attempts <= MOST_TRIES:  # more: the last try never ended
                try:
                    packed = await self._packed(run, part)
                except Exception as error:
                    log.warning("export_part_not_packed", job=str(job), **without_message(error))
                    if part.attempts < MOST_TRIES and not isinstance(error, LASTING):
                        return
            async with run.db.session() as session:
                row = await session.get_one(self.part, job, with_for_update=True)
                if row.status != "pending":
                    return
                if packed is not None:
                    row.rows = packed.rows
                    self._end(session, row, "done", packed)
                else:
                    failed = self.failed(job=job, user=row.user, reason="not_packed")
                    self._end(session, row, "failed", failed)

    async def _packed(self, run: TaskRun, part: Any) -> PartPacked:
        own, exchange = Storage(run.settings), Storage(run.settings, EXCHANGE)
        async with run.db.sessions() as session:
            found = await self.gather(session, part.user)
        folder = f"{part.uuid}/{self.service}-{part.attempts}"
        files = []
        for number, (name, path) in enumerate(found.files, 1):
            place = f"{folder}/{number:04d}"
            try:
                stored = await copy_object(own, path, exchange, place)
            except NotFound:  # replaced or deleted meanwhile
                continue
            files.append({"name": name, "object": place, "bytes": stored.size})
        whole = {
            "service": self.service,
            "user": part.user,
            "packed_at": run.clock(),
            "data": found.data,
            "files": files,
        }
        stored = await exchange.put_bytes(f"{folder}.json", as_json(whole))
        return self.packed(
            job=part.uuid, user=part.user, object=f"{folder}.json", sha256=stored.sha256, bytes=stored.size,
            rows=found.rows, files=len(files),
        )  # fmt: skip

    async def delete_files(self, run: TaskRun, job: UUID) -> None:
        """Delete what `erase` has named. Twice is once."""
        async with run.db.sessions() as session:
            objects = await session.scalar(select(self.part.objects).where(self.part.uuid == job)) or []
        storage = Storage(run.settings)
        for path in objects:
            await storage.delete(path)
        async with run.db.session() as session:
            part = await session.get_one(self.part, job, with_for_update=True)
            part.objects = [path for path in part.objects if path not in objects]

    async def sweep(self, run: TaskRun) -> None:
        """Start again what was lost; erase where request and tombstone passed each other, or none came."""
        now = run.clock()
        async with run.db.session() as session:
            for part in await session.scalars(self._pending("export")):
                waited = now - (part.tried_at or part.requested_at)
                if waited >= RETRY_AFTER * 2 ** max(part.attempts - 1, 0):
                    enqueue(session, f"{self.service}.pack_export", str(part.uuid), trace=trace_of(part))
            left = select(self.part).where(self.part.objects != [])
            for part in await session.scalars(left):
                enqueue(session, f"{self.service}.delete_erased_files", str(part.uuid), trace=trace_of(part))
        async with run.db.session() as session:
            await self._erase_all(session, self._tombstone_seen())
        async with run.db.session() as session:
            late = self._pending("erasure").where(self.part.requested_at < now - TOMBSTONE_PATIENCE)
            await self._erase_all(session, late)


def without_message(error: BaseException) -> dict[str, str]:
    """What a log may say of an error whose message may repeat what somebody wrote: its type, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": " < ".join(f"{f.name}:{f.lineno}" for f in frames[::-1][:6])}


def trace_of(part: Any) -> Trace:
    return from_headers({"x-request-id": part.request_id, "traceparent": part.traceparent})
