"""The media library: files of teachers, stored under generated names, kept while a lesson has them."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import exists, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.auth import at_least
from libs.common.db import Database
from libs.common.errors import NotFound
from libs.common.storage import Storage
from libs.common.tokens import Principal
from services.catalog.errors import MediaInUse, MediaQuotaExceeded
from services.catalog.media.models import MediaFile, MediaObject
from services.catalog.media.queries import bytes_of, uses_of
from services.catalog.versions import moment

LEFT_ALONE = timedelta(hours=1)
"""Time in which a stored object may wait for the file that is to be it."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object in storage that no file is yet."""

    path: str
    name: str
    kind: str
    media_type: str
    size: int
    sha256: str


async def access_media(session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False) -> MediaFile:
    """A file of one's own; managers' are all. Raises NotFound."""
    media = await session.get(MediaFile, uuid, with_for_update=lock or None, populate_existing=lock)
    if media is None or media.deleted_at is not None:
        raise NotFound
    if media.owner != who.user and not at_least(who, "manager"):
        raise NotFound
    return media


async def store_object(
    db: Database,
    storage: Storage,
    chunks: AsyncIterator[bytes],
    *,
    name: str,
    kind: str,
    media_type: str,
    limit: int,
) -> StoredFile:
    """Store a stream. Raises PayloadTooLarge. It is written down first, so that the sweep finds it."""
    path = f"library/{uuid4()}"
    async with db.session() as ledger:
        ledger.add(MediaObject(path=path))
    stored = await storage.put(path, chunks, limit)
    return StoredFile(path, name, kind, media_type, stored.size, stored.sha256)


async def check_quota(
    session: AsyncSession, owner: UUID, size: int, quota: int, but: UUID | None = None
) -> None:
    """Raises MediaQuotaExceeded. Until the end of the transaction the owner's other uploads wait."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('media quota'), hashtext(:o))"), {"o": str(owner)}
    )
    if await bytes_of(session, owner, but) + size > quota:
        raise MediaQuotaExceeded


async def create_media(
    session: AsyncSession, who: Principal, stored: StoredFile, title: str, quota: int
) -> MediaFile:
    """Put a stored object into one's library. Raises MediaQuotaExceeded."""
    await check_quota(session, who.user, stored.size, quota)
    now = await moment(session)
    media = MediaFile(uuid=uuid4(), owner=who.user, title=title, created_at=now, updated_at=now, version=1)
    _become(media, stored)
    session.add(media)
    await session.flush()
    return media


def _become(media: MediaFile, stored: StoredFile) -> None:
    for name in ("path", "name", "kind", "media_type", "size", "sha256"):
        setattr(media, name, getattr(stored, name))


async def replace_file(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    stored: StoredFile,
    quota: int,
    check: Callable[[int], None],
) -> MediaFile:
    """Other bytes under the same id; the object before is swept away. Raises MediaQuotaExceeded."""
    media = await access_media(session, who, uuid)
    await check_quota(session, media.owner, stored.size, quota, uuid)
    media = await access_media(session, who, uuid, lock=True)
    check(media.version)
    _become(media, stored)
    await _changed(session, media)
    return media


async def change_media(
    session: AsyncSession, who: Principal, uuid: UUID, title: str | None, check: Callable[[int], None]
) -> MediaFile:
    media = await access_media(session, who, uuid, lock=True)
    check(media.version)
    if title is not None and title != media.title:
        media.title = title
        await _changed(session, media)
    return media


async def _changed(session: AsyncSession, media: MediaFile) -> None:
    media.version += 1
    media.updated_at = await moment(session)
    await session.flush()


async def delete_media(
    session: AsyncSession, who: Principal, uuid: UUID, check: Callable[[int], None]
) -> None:
    """Raises MediaInUse, which says where. A lesson that takes the file waits, and then finds it gone."""
    media = await access_media(session, who, uuid, lock=True)
    check(media.version)
    uses = (await uses_of(session, [uuid]))[uuid]
    if uses:
        raise MediaInUse(uses)
    media.deleted_at = await moment(session)
    await _changed(session, media)


async def delete_orphans(db: Database, storage: Storage, now: datetime) -> None:
    """Delete objects that no file is: replaced, deleted, and those whose request failed."""
    async with db.session() as session:
        used = exists().where(MediaFile.path == MediaObject.path, MediaFile.deleted_at.is_(None))
        rows = await session.scalars(
            select(MediaObject)
            .where(MediaObject.created_at < now - LEFT_ALONE, ~used)
            .with_for_update(skip_locked=True)
            .limit(500)
        )
        for row in rows.all():
            await storage.delete(row.path)
            await session.delete(row)
