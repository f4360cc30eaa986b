"""Writing exports, and forgetting them."""

import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import enqueue
from libs.common.data.jobs import TaskRun, Tasks
from libs.common.files.storage import NO_LIMIT, Storage
from libs.common.runtime.errors import LecternError
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger
from libs.common.security.tokens import Principal
from libs.common.web.zones import local_date
from services.analytics.exports import rules
from services.analytics.exports.schemas import ExportRequest
from services.analytics.exports.source import Source, check, role_of
from services.analytics.exports.writing import TooManyRows, chunks, write_rows
from services.analytics.models import Export
from services.analytics.queries import as_of
from services.analytics.query.errors import QueryTooExpensive
from services.analytics.query.run import begin
from services.analytics.settings import Settings
from services.analytics.tries import begin_try, code_of, silent

log = get_logger(__name__)

TASKS = Tasks("analytics", Settings)


class Unwanted(Exception):
    """The export was cancelled, or another writer has taken over."""


@TASKS.task()
async def write_export(run: TaskRun, uuid: str) -> None:
    """Write the file from the beginning, whatever an earlier try has left; the fifth failure ends it."""
    async with run.db.session() as session:
        export = await begin_try(session, Export, uuid, run.clock())
    if export is None or export.status == "failed":
        return
    writing = _Writing(run, export)
    try:
        await writing.write()
    except Unwanted:
        await writing.forget()
    except (TooManyRows, QueryTooExpensive, LecternError) as error:
        await writing.fail(code_of(error))
    except Exception as error:
        log.warning("export_not_written", export=uuid, error=type(error).__name__)
        await writing.forget()
        raise


def _end(export: Export, status: str, now: Any, error: str | None = None) -> None:
    export.status, export.ended_at, export.error = status, now, error


class _Writing:
    """One try. Its file has a path of its own, so that two writers never write to one."""

    def __init__(self, run: TaskRun, export: Export) -> None:
        self._run, self._export, self._attempt = run, export, export.attempts
        self._storage = Storage(run.settings)
        self._path = f"exports/{export.uuid}/{uuid4()}"
        self._said = time.monotonic()

    async def write(self) -> None:
        for path in await self._storage.list_folder(f"exports/{self._export.uuid}"):
            await self._storage.delete(path)  # what earlier tries have left
        with tempfile.TemporaryDirectory(prefix="lectern-export-") as folder:
            file = Path(folder) / "export"
            async with self._run.db.sessions() as session:
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                await begin(session, rules.SECONDS)
                newest = await as_of(session, self._run.clock())
                source = await self._source(session)
                failpoint("export.opened")
                rows = await write_rows(session, source, self._export.format, file, self._pulse)
            failpoint("export.written")
            stored = await self._storage.put(self._path, chunks(file), NO_LIMIT, hashlib.sha256())
        failpoint("export.stored")
        manifest = {
            "rows": rows,
            "columns": [{"name": name, "type": kind} for name, kind in source.columns],
            "size": stored.size,
            "sha256": stored.sha256,
            "format": self._export.format,
            "as_of": newest.isoformat(),
            **self._export.asked,
        }
        async with self._run.db.session() as session:
            export = await self._mine(session)
            now = self._run.clock()
            export.object, export.manifest = self._path, manifest
            export.percent, export.expires_at = 100, now + rules.KEPT
            _end(export, "done", now)

    async def _source(self, session: AsyncSession) -> Source:
        """What may be written today, by what the owner is today."""
        body = ExportRequest.model_validate(self._export.asked | {"format": self._export.format})
        role = await role_of(session, self._export.owner, self._export.role)
        if role is None:
            await self.fail("not_allowed")
            raise Unwanted
        owner = Principal(self._export.owner, self._export.uuid, role, 0, 0)
        zone = body.query.timezone if body.query else "UTC"
        return check(body, owner, local_date(self._export.created_at, zone))

    async def _pulse(self, done: int, total: int) -> None:
        if time.monotonic() - self._said <= rules.PULSE:
            return
        async with self._run.db.session() as session:
            export = await self._mine(session)
            export.percent, export.tried_at = rules.percent(done, total), self._run.clock()
        self._said = time.monotonic()

    async def _mine(self, session: AsyncSession) -> Export:
        export = await session.get_one(Export, self._export.uuid, with_for_update=True)
        if export.status != "running" or export.attempts != self._attempt:
            raise Unwanted
        return export

    async def fail(self, error: str) -> None:
        await self._storage.delete(self._path)
        async with self._run.db.session() as session:
            export = await session.get_one(Export, self._export.uuid, with_for_update=True)
            if export.status == "running" and export.attempts == self._attempt:
                _end(export, "failed", self._run.clock(), error)

    async def forget(self) -> None:
        await self._storage.delete(self._path)
        async with self._run.db.session() as session:
            export = await session.get_one(Export, self._export.uuid, with_for_update=True)
            if export.status == "running" and export.attempts == self._attempt:
                export.tried_at = None


@TASKS.task(every=30)
async def sweep_exports(run: TaskRun) -> None:
    """Write again what was lost with its writer; delete files that are kept no longer."""
    now = run.clock()
    async with run.db.session() as session:
        for uuid in await session.scalars(silent(Export, now)):
            enqueue(session, "analytics.write_export", str(uuid))
        over = select(Export).where(Export.object.is_not(None), Export.expires_at <= now)
        gone = list(await session.scalars(over))
    storage = Storage(run.settings)
    for export in gone:
        for path in await storage.list_folder(f"exports/{export.uuid}"):
            await storage.delete(path)
        async with run.db.session() as session:
            row = await session.get_one(Export, export.uuid, with_for_update=True)
            row.object = None
