"""The archive of an export: a ZIP that is written while it is sent, so that memory stays flat."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import orjson

from libs.common.data.jobs import TaskRun
from libs.common.files.storage import EXCHANGE, Storage
from libs.common.privacy.content import as_json
from libs.common.runtime.errors import NotFound
from services.identity.models import PrivacyJob, PrivacyPart
from services.identity.privacy.queries import gather, parts_of
from services.identity.privacy.rules import archive_name

README = Path(__file__).with_name("readme.txt").read_bytes()


class JobGone(Exception):
    """The job was cancelled, or another run has finished it."""


class PartDamaged(Exception):
    """What lies in the exchange area is not what the service has announced."""


class _Sink:
    """Takes what the ZIP writes; without `seek`, so that sizes follow each file."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        return

    def close(self) -> None:
        return

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


async def zipped(
    entries: AsyncIterator[tuple[str, AsyncIterator[bytes]]], now: datetime
) -> AsyncIterator[bytes]:
    """The bytes of a ZIP with these files, each given as name and content, in pieces as they come."""
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_DEFLATED) as archive:
        async for name, content in entries:
            info = ZipInfo(name, now.timetuple()[:6])
            info.compress_type = ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as file:
                async for piece in content:
                    await asyncio.to_thread(file.write, piece)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


@dataclass
class Builder:
    """One run of building one archive."""

    run: TaskRun
    job: PrivacyJob
    rows: int = 0
    at: str = "identity"
    """The service whose part is being written."""

    def __post_init__(self) -> None:
        self.storage = Storage(self.run.settings)
        self.exchange = Storage(self.run.settings, EXCHANGE)
        self.path = f"exports/{self.job.uuid}/{self.job.attempts}.zip"

    def archive(self) -> AsyncIterator[bytes]:
        return zipped(self.entries(), self.run.clock())

    async def entries(self) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """Every file of the archive. The texts of one service at a time are in memory, files never whole."""
        yield "README.txt", _piece(README)
        async with self.run.db.sessions() as session:
            parts = [p for p in await parts_of(session, self.job.uuid) if p.service != "identity"]
            own = await gather(session, self.job.user_uuid)
        self.rows = own.rows
        files = [{"name": name, "object": path} for name, path in own.files]
        whole = {"user": self.job.user_uuid, "packed_at": self.run.clock(), "data": own.data, "files": files}
        async for entry in self.part("identity", {"service": "identity", **whole}, self.storage):
            yield entry
        for number, part in enumerate(parts, 1):
            self.at = part.service
            async for entry in self.part(part.service, await self.fetch(part), self.exchange):
                yield entry
            await self.report(100 * number // (len(parts) + 1))

    async def fetch(self, part: PrivacyPart) -> dict[str, Any]:
        """What a service has packed. Raises PartDamaged, or NotFound."""
        data = await self.exchange.read_all(part.object or "")
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise PartDamaged
        whole: dict[str, Any] = orjson.loads(data)
        return whole

    async def part(
        self, name: str, whole: dict[str, Any], storage: Storage
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """The JSON of one service, then its files; a file that is gone by now is left out."""
        taken: set[str] = set()
        found: list[tuple[str, str, int]] = []
        for file in whole["files"]:
            try:
                size = await storage.size(file["object"])
            except NotFound:
                continue
            found.append((f"files/{name}/{archive_name(file['name'], taken)}", file["object"], size))
        shown = [{"file": place, "bytes": size} for place, _, size in found]
        yield f"{name}.json", _piece(as_json({**whole, "files": shown}))
        for place, path, size in found:
            yield place, storage.read(path, 0, size)

    async def report(self, progress: int) -> None:
        """Say how far it is, which also keeps the job from being taken over. Raises JobGone."""
        async with self.run.db.session() as session:
            job = await session.get_one(PrivacyJob, self.job.uuid, with_for_update=True)
            if job.status != "open":
                raise JobGone
            job.progress = progress
            job.tried_at = self.run.clock()


async def _piece(data: bytes) -> AsyncIterator[bytes]:
    yield data
