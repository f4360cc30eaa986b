"""The media library: files of teachers, stored under generated names, kept while a lesson has them."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict
from uuid import UUID, uuid4

from sqlalchemy import exists, or_, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.files.storage import Storage
from libs.common.runtime.errors import PayloadTooLarge
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.catalog.errors import MediaInUse, MediaQuotaExceeded, PictureRefused
from services.catalog.media.access import access_media
from services.catalog.media.queries import bytes_of, uses_of, variant_path
from services.catalog.models import MediaFile, MediaObject, MediaPart
from services.catalog.objects import claim_object, delete_unused, register_object
from services.catalog.pictures import WIDTHS, Pictures
from services.catalog.versions import transaction_time

DECODED = frozenset({"image/jpeg", "image/png", "image/webp"})


class Described(TypedDict):
    """What is known of a file before it is stored."""

    name: str
    kind: str
    media_type: str
    limit: int
    """Bytes that it may have."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object in storage that no file is yet."""

    path: str
    name: str
    kind: str
    media_type: str
    size: int
    sha256: str
    variants: tuple[int, ...] = ()


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
    """Store a stream. Raises PayloadTooLarge."""
    path = f"library/{uuid4()}"
    await register_object(db, MediaObject(path=path))
    stored = await storage.put(path, chunks, limit)
    return StoredFile(path, name, kind, media_type, stored.size, stored.sha256)


async def store_picture(
    db: Database,
    storage: Storage,
    pictures: Pictures,
    data: bytes,
    *,
    name: str,
    kind: str,
    media_type: str,
    limit: int,
) -> StoredFile:
    """Store a picture and smaller widths beside it; one with too many pixels has none.

    Raises PayloadTooLarge.
    """
    if len(data) > limit:
        raise PayloadTooLarge(f"The file is larger than {limit:,} bytes.")
    variants: dict[int, bytes] = {}
    if media_type in DECODED:
        with suppress(PictureRefused):
            variants = await pictures.make_variants(data)
    path = f"library/{uuid4()}"
    await register_object(db, MediaObject(path=path))
    stored = await storage.put_bytes(path, data)
    for width, webp in variants.items():
        await storage.put_bytes(variant_path(path, width), webp)
    return StoredFile(path, name, kind, media_type, stored.size, stored.sha256, tuple(sorted(variants)))


async def check_quota(
    session: AsyncSession, owner: UUID, size: int, quota: int, but: UUID | None = None, *, now: datetime
) -> None:
    """Raises MediaQuotaExceeded. Until the end of the transaction the owner's other uploads wait."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('media quota'), hashtext(:o))"), {"o": str(owner)}
    )
    if await bytes_of(session, owner, now, but) + size > quota:
        raise MediaQuotaExceeded


async def create_media(
    session: AsyncSession, who: Principal, stored: StoredFile, title: str, quota: int, now: datetime
) -> MediaFile:
    """Put a stored object into one's library. Raises MediaQuotaExceeded, ObjectExpired."""
    await check_quota(session, who.user, stored.size, quota, now=now)
    await claim_object(session, MediaObject, stored.path)
    media = MediaFile(uuid=uuid4(), owner=who.user, title=title, created_at=now, updated_at=now, version=1)
    _assign_object(media, stored)
    session.add(media)
    await session.flush()
    return media


def _assign_object(media: MediaFile, stored: StoredFile) -> None:
    for name in ("path", "name", "kind", "media_type", "size", "sha256"):
        setattr(media, name, getattr(stored, name))
    media.variants = list(stored.variants)


async def replace_file(
    session: AsyncSession,
    who: Principal,
    uuid: UUID,
    stored: StoredFile,
    quota: int,
    now: datetime,
    if_match: Precondition,
) -> MediaFile:
    """Other bytes under the same id; the object before is swept away. Raises MediaQuotaExceeded."""
    media = await access_media(session, who, uuid)
    await check_quota(session, media.owner, stored.size, quota, uuid, now=now)
    media = await access_media(session, who, uuid, lock=True)
    if_match.check(media.version)
    await claim_object(session, MediaObject, stored.path)
    _assign_object(media, stored)
    await _changed(session, media)
    return media


async def change_media(
    session: AsyncSession, who: Principal, uuid: UUID, title: str | None, if_match: Precondition
) -> MediaFile:
    media = await access_media(session, who, uuid, lock=True)
    if_match.check(media.version)
    if title is not None and title != media.title:
        media.title = title
        await _changed(session, media)
    return media


async def _changed(session: AsyncSession, media: MediaFile) -> None:
    media.version += 1
    media.updated_at = await transaction_time(session)
    await session.flush()


async def delete_media(session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition) -> None:
    """Raises MediaInUse, which says where. A lesson that takes the file waits, and then finds it gone."""
    media = await access_media(session, who, uuid, lock=True)
    if_match.check(media.version)
    uses = (await uses_of(session, [uuid]))[uuid]
    if uses:
        raise MediaInUse(uses)
    media.deleted_at = await transaction_time(session)
    await _changed(session, media)


async def delete_unused_media(db: Database, storage: Storage, now: datetime) -> None:
    """Delete objects that no file or part is: replaced, deleted, and those whose request failed."""
    used = or_(
        exists().where(
            MediaFile.path.in_([MediaObject.path, MediaObject.part_of]), MediaFile.deleted_at.is_(None)
        ),
        exists().where(MediaPart.path == MediaObject.path),
    )
    await delete_unused(db, storage, MediaObject.path, used, now, objects_at)


def objects_at(path: str) -> list[str]:
    """A stored file and the variants that it may have."""
    return [path, *(variant_path(path, width) for width in WIDTHS)]
