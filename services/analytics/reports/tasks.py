"""Sending reports: what is due becomes a run, a run becomes files and letters, and is mailed once."""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.jobs import TaskRun, Tasks
from libs.common.data.outbox import record
from libs.common.data.uuids import as_v4
from libs.common.events.analytics import ReportRecipient, ReportWritten
from libs.common.files.letters import letter_storage, path_of, put_content, put_letter
from libs.common.files.storage import NO_LIMIT, Storage, Stored
from libs.common.runtime.errors import LecternError
from libs.common.runtime.failpoints import failpoint
from libs.common.runtime.logs import get_logger
from services.analytics.exports.rules import PULSE, SECONDS, percent
from services.analytics.exports.source import Source
from services.analytics.exports.writing import TooManyRows, chunks, write_rows
from services.analytics.models import Report, ReportFile, ReportLetter, ReportRun
from services.analytics.queries import as_of
from services.analytics.query.errors import QueryTooExpensive
from services.analytics.query.run import begin
from services.analytics.reports import rules
from services.analytics.reports.access import Person, day_of, person, whose_view
from services.analytics.reports.content import Document, query_plan, read_content
from services.analytics.reports.schemas import Content
from services.analytics.reports.sweeping import delete_expired, start_due, start_lost
from services.analytics.reports.words import TRANSLATIONS
from services.analytics.reports.writing import (
    Written,
    enclosure,
    make_letter,
    write_page,
)
from services.analytics.settings import Settings
from services.analytics.tries import begin_try, code_of

log = get_logger(__name__)

TASKS = Tasks("analytics", Settings)


class Unwanted(Exception):
    """The run was cancelled, its report was deleted, or another writer has taken over."""


@TASKS.task()
async def write_report(run: TaskRun, uuid: str) -> None:
    """Write a run from the beginning, whatever an earlier try has left; the fifth failure ends it."""
    async with run.db.session() as session:
        found = await begin_try(session, ReportRun, uuid, run.clock())
        if found is None:
            return
        report = await session.get_one(Report, found.report)
    writing = _Writing(run, report, found)
    if found.status == "failed":
        await writing.clear()
        return
    try:
        await writing.write()
    except Unwanted:
        await writing.clear_if_over()
    except (TooManyRows, QueryTooExpensive, LecternError) as error:
        await writing.fail(code_of(error))
    except Exception as error:
        log.warning("report_not_written", run=uuid, error=type(error).__name__)
        await writing.release()
        raise


@dataclass
class _View:
    """What several recipients get alike: whose numbers, in which language and time zone."""

    whose: UUID | None
    language: str
    zone: str
    readers: list[UUID] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    row: ReportFile
    content: str
    """Path of what its letters share."""
    attached: bool


class _Writing:
    """One try. Its files have paths of their own, so that two writers never write to one."""

    def __init__(self, run: TaskRun, report: Report, row: ReportRun) -> None:
        self._run, self._report, self._row, self._attempt = run, report, row, row.attempts
        self._content = Content.model_validate(report.asked)
        self._own, self._exchange = Storage(run.settings), letter_storage(run.settings)
        self._folder = f"reports/{row.uuid}"
        self._said = time.monotonic()
        self._owner: Person | None = None
        self._outcomes: list[dict[str, Any]] = []
        self._views: list[_View] = []
        self._files: dict[UUID, _File] = {}
        """By reader."""

    async def write(self) -> None:
        await self._tidy()  # what earlier tries have left
        with tempfile.TemporaryDirectory(prefix="lectern-report-") as folder:
            async with self._run.db.sessions() as session:
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                await begin(session, SECONDS)
                newest = await as_of(session, self._run.clock())
                await self._choose_readers(session)
                failpoint("report.opened")
                written: dict[Any, tuple[Stored, str, int]] = {}
                for number, view in enumerate(self._views):
                    await self._try_view(session, view, Path(folder), written)
                    await self._pulse(number + 1, len(self._views))
        failpoint("report.written")
        letters = await self._write_letters()
        failpoint("report.stored")
        await self._finish(newest, letters)
        failpoint("report.done")

    async def _choose_readers(self, session: AsyncSession) -> None:
        """Who may see it today, and whose numbers each gets. Raises LecternError where the owner may not."""
        owner = await person(session, self._report.owner, before=self._report.role)
        self._owner = owner
        if owner is None or not owner.is_active:
            await self.fail("not_allowed")
            raise Unwanted
        day = day_of(self._content, self._row.created_at)
        await whose_view(session, self._content, owner.principal, owner.principal, day)
        views: dict[Any, _View] = {}
        for name in self._report.recipients:
            user = UUID(name)
            reader = owner if user == self._report.owner else await person(session, user)
            reason = "unknown" if reader is None else None if reader.is_active else "inactive"
            if reader is None or reason:
                self._skip(user, reason or "unknown")
                continue
            try:
                whose = await whose_view(session, self._content, owner.principal, reader.principal, day)
            except LecternError:
                self._skip(user, "not_allowed")
                continue
            view = self._view(reader, whose)
            views.setdefault((view.whose, view.language, view.zone), view).readers.append(user)
            self._outcomes.append({"user": name, "outcome": "mailed"})
        self._views = list(views.values())

    def _skip(self, user: UUID, reason: str) -> None:
        self._outcomes.append({"user": str(user), "outcome": "skipped", "reason": reason})

    def _view(self, reader: Person, whose: UUID | None) -> _View:
        return _View(whose, TRANSLATIONS.nearest(reader.locale), reader.time_zone)

    async def _try_view(
        self, session: AsyncSession, view: _View, folder: Path, written: dict[Any, tuple[Stored, str, int]]
    ) -> None:
        """What some readers cannot be answered, as too many groups, keeps it from nobody else."""
        try:
            await self._write_view(session, view, folder, written)
        except QueryTooExpensive:
            raise
        except LecternError:
            readers = set(map(str, view.readers))
            self._outcomes = [each for each in self._outcomes if each["user"] not in readers]
            for reader in view.readers:
                self._skip(reader, "not_allowed")

    async def _write_view(
        self, session: AsyncSession, view: _View, folder: Path, written: dict[Any, tuple[Stored, str, int]]
    ) -> None:
        """One file for all readers of a view. The rows of a query are the same in every language."""
        kind, content, moment = self._report.format, self._content, self._row.created_at
        assert self._owner is not None
        document = await read_content(session, content, self._owner.principal, view.whose, view.zone, moment)
        as_rows = content.query is not None and kind in ("csv", "xlsx")
        key = view.whose if as_rows else (view.whose, view.language, view.zone)
        file = folder / f"{len(written)}.{kind}"
        page = await self._write_page(document, view, None if as_rows else kind, file)
        if key not in written:
            rows = page.rows
            if as_rows:
                assert content.query is not None
                plan = query_plan(content.query, moment)
                limit = content.query.limit if "limit" in content.query.model_fields_set else None
                source = Source(plan, view.whose, limit, None)
                rows = await write_rows(session, source, kind, file, self._pulse)
            path = f"{self._folder}/{uuid4()}.{kind}"
            stored = await self._own.put(path, chunks(file), NO_LIMIT, hashlib.sha256())
            written[key] = stored, path, rows
        stored, path, rows = written[key]
        await self._add_file(view, page, file, ReportFile(
            uuid=uuid4(), run=self._row.uuid, reader=view.whose, object=path, size=stored.size,
            sha256=stored.sha256, rows=rows,
        ))  # fmt: skip

    async def _write_page(self, document: Document, view: _View, kind: str | None, file: Path) -> Written:
        call: Callable[[], Written] = partial(
            write_page, document, self._report.name, view.language, view.zone, kind, file
        )
        return await asyncio.to_thread(call)

    async def _add_file(self, view: _View, page: Written, file: Path, row: ReportFile) -> None:
        kind = self._report.format
        attachment = None
        if row.size <= self._run.settings.report_attachment:
            data = await self._own.read_all(row.object)
            attachment = enclosure(kind, self._row.created_at, data)
        place = f"{self._folder}/{row.uuid}"
        # An HTML report is the mail itself.
        letter = make_letter(page, None if kind == "html" else attachment)
        await put_content(self._exchange, place, letter)
        for reader in view.readers:
            self._files[reader] = _File(row, place, attachment is not None)

    async def _write_letters(self) -> list[ReportRecipient]:
        """A letter for each reader; its link, where the file is too large to be attached, is theirs alone."""
        letters = []
        for reader, file in self._files.items():
            letter = _letter(self._row.uuid, reader)
            link = None
            if not file.attached:
                kind = self._report.format
                name = f"lectern-{self._row.created_at:%Y-%m-%d}.{kind}"
                of = f"report:{file.row.uuid}:{reader}"
                seconds = int(rules.LINK.total_seconds())
                link = self._own.url(file.row.object, rules.TYPES[kind], name, of, seconds)
            await put_letter(self._exchange, letter, file.content, link)
            letters.append(ReportRecipient(user=reader, letter=letter))
        return letters

    async def _finish(self, newest: datetime, letters: list[ReportRecipient]) -> None:
        """Done and mailed in one transaction."""
        now = self._run.clock()
        rows = {file.row.uuid: file.row for file in self._files.values()}
        async with self._run.db.session() as session:
            row = await self._mine(session)
            for file in rows.values():
                file.letters_until, file.expires_at = now + rules.LETTERS, now + rules.KEPT
                session.add(file)
            for letter in letters:
                session.add(
                    ReportLetter(uuid=letter.letter, user=letter.user, expires_at=now + rules.LETTERS)
                )
            for each in self._outcomes:
                if each["outcome"] == "mailed":
                    each["file"] = str(self._files[UUID(each["user"])].row.uuid)
            row.recipients = self._outcomes
            row.status, row.percent, row.ended_at, row.as_of = "done", 100, now, newest
            if letters:
                event = ReportWritten(
                    run=row.uuid, report=self._report.uuid, owner=self._report.owner,
                    format=self._report.format, as_of=newest, recipients=tuple(letters),
                )  # fmt: skip
                record(session, event, 1)

    async def _pulse(self, done: int, total: int) -> None:
        if time.monotonic() - self._said < PULSE:
            return
        async with self._run.db.session() as session:
            row = await self._mine(session)
            row.percent, row.tried_at = percent(done, total), self._run.clock()
        self._said = time.monotonic()

    async def _mine(self, session: AsyncSession) -> ReportRun:
        row = await self._wanted(session)
        if row is None:
            raise Unwanted
        return row

    async def _wanted(self, session: AsyncSession) -> ReportRun | None:
        """The run, locked, as long as it is this try's."""
        row = await session.get(ReportRun, self._row.uuid, with_for_update=True)
        mine = row is not None and row.status == "running" and row.attempts == self._attempt
        return row if mine else None

    async def fail(self, error: str) -> None:
        async with self._run.db.session() as session:
            if row := await self._wanted(session):
                row.status, row.ended_at, row.error = "failed", self._run.clock(), error
        await self.clear_if_over()

    async def release(self) -> None:
        """The next sweep may try again at once."""
        async with self._run.db.session() as session:
            if row := await self._wanted(session):
                row.tried_at = None

    async def clear_if_over(self) -> None:
        """Delete what this try has left, unless another one is at it, or it went out."""
        async with self._run.db.session() as session:
            row = await session.get(ReportRun, self._row.uuid)
            over = row is None or row.status in ("failed", "cancelled")
        if over:
            await self.clear()

    async def clear(self) -> None:
        for name in self._report.recipients:
            await self._exchange.delete(path_of(_letter(self._row.uuid, UUID(name))))
        await self._tidy()

    async def _tidy(self) -> None:
        for storage in (self._own, self._exchange):
            for path in await storage.list_folder(self._folder):
                await storage.delete(path)


def _letter(run: UUID, reader: UUID) -> UUID:
    """The same in every try, so that the next one takes its place."""
    return as_v4(uuid5(run, str(reader)))


@TASKS.task(every=30)
async def sweep_reports(run: TaskRun) -> None:
    """Start what is due, and what was lost with its writer; delete what is kept no longer."""
    for step in (start_due, start_lost, delete_expired):
        await step(run, run.clock())
