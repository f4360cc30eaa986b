"""Files that come in parts.

A part is stored and written down before it is acknowledged: a server that is killed loses nothing that it has
acknowledged. The client asks for the offset, and goes on from there. Each byte is stored once: the file is
its parts, joined where they lie, and hashed as they came.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.files.pictures import FORMATS
from libs.common.files.storage import JOINED, Storage
from libs.common.files.uploads import HEAD, shown_name
from libs.common.runtime.errors import PayloadTooLarge, Unprocessable
from libs.common.security.tokens import Principal
from services.catalog.errors import TooManyUploads, UploadFinished, UploadIncomplete, UploadOffsetMismatch
from services.catalog.media.access import access_media, access_upload
from services.catalog.media.hashes import RunningHashes
from services.catalog.media.schemas import UploadCreate
from services.catalog.media.service import (
    StoredFile,
    check_quota,
    create_media,
    store_picture,
)
from services.catalog.media.types import library_type, most_bytes, picture_bytes, refuse_extension
from services.catalog.models import MediaFile, MediaObject, MediaPart, MediaUpload
from services.catalog.objects import claim_object, register_object
from services.catalog.pictures import Pictures

LIFETIME = timedelta(hours=24)
"""Time that an upload waits for its next part."""
MOST_OPEN = 50
MOST_PARTS = 10_000
MOST_PART = 64 * 1024 * 1024


async def begin_upload(
    session: AsyncSession, who: Principal, body: UploadCreate, limit: int, quota: int, now: datetime
) -> MediaUpload:
    """Reserve room for a file.

    Raises FileTypeRefused, PayloadTooLarge, MediaQuotaExceeded, TooManyUploads.
    """
    name = shown_name(body.name)
    refuse_extension(name)
    most = min(limit, most_bytes(name))
    if body.length > most:
        raise PayloadTooLarge(f"The file is larger than {most:,} bytes.")
    await check_quota(session, who.user, body.length, quota, now=now)
    still = (MediaUpload.owner == who.user, MediaUpload.media.is_(None), MediaUpload.expires_at > now)
    if (await session.scalar(select(func.count()).where(*still)) or 0) >= MOST_OPEN:
        raise TooManyUploads
    upload = MediaUpload(
        uuid=uuid4(), owner=who.user, title=body.title or name, name=name, length=body.length, received=0,
        created_at=now, expires_at=now + LIFETIME,
    )  # fmt: skip
    session.add(upload)
    await session.flush()
    return upload


def check_offset(upload: MediaUpload, offset: int) -> None:
    if upload.media is not None:
        raise UploadFinished
    if offset != upload.received:
        raise UploadOffsetMismatch(upload.received)


async def append_part(
    db: Database,
    storage: Storage,
    hashes: RunningHashes,
    who: Principal,
    uuid: UUID,
    offset: int,
    chunks: AsyncIterator[bytes],
    now: datetime,
) -> MediaUpload:
    """Store a part that begins at `offset`. Of two parts at one offset the second is refused.

    Raises UploadOffsetMismatch, UploadFinished; PayloadTooLarge for what passes the length or a part's limit.
    """
    async with db.session() as session:
        upload = await access_upload(session, who, uuid, now)
        check_offset(upload, offset)
        room = min(upload.length - offset, MOST_PART)
    path = f"uploads/{uuid}/{uuid4()}"
    await register_object(db, MediaObject(path=path))
    digest = hashes.at(uuid, offset)
    stored = await storage.put(path, chunks, room, digest)
    async with db.session() as session:
        upload = await access_upload(session, who, uuid, now, lock=True)
        check_offset(upload, offset)
        if stored.size:
            if await session.scalar(select(func.count()).where(MediaPart.upload_uuid == uuid)) == MOST_PARTS:
                raise Unprocessable(f"An upload has at most {MOST_PARTS:,} parts.")
            await claim_object(session, MediaObject, path)
            session.add(MediaPart(upload_uuid=uuid, start=offset, size=stored.size, path=path))
            upload.received += stored.size
            upload.expires_at = now + LIFETIME
    if stored.size and digest is not None:
        hashes.note(uuid, offset + stored.size, digest)
    return upload


async def assemble(
    db: Database,
    storage: Storage,
    pictures: Pictures,
    hashes: RunningHashes,
    who: Principal,
    uuid: UUID,
    limit: int,
    now: datetime,
) -> StoredFile | None:
    """Make one object of the parts, for `finish_upload`; None if the upload is finished already.

    The parts are joined where they lie. Only a picture is read, and stored again without its metadata.
    Raises UploadIncomplete, FileTypeRefused, PayloadTooLarge.
    """
    async with db.session() as session:
        upload = await access_upload(session, who, uuid, now)
        if upload.media is not None:
            return None
        if upload.received < upload.length:
            raise UploadIncomplete
        found = await session.scalars(
            select(MediaPart).where(MediaPart.upload_uuid == uuid).order_by(MediaPart.start)
        )
        parts, name, length = found.all(), upload.name, upload.length
    kind, media_type = library_type(name, await _head(storage, parts))
    if length > limit:
        raise PayloadTooLarge(f"The file is larger than {limit:,} bytes.")
    if media_type in FORMATS:
        data = await picture_bytes(_content(storage, parts), media_type, pictures)
        return await store_picture(
            db, storage, pictures, data, name=name, kind=kind, media_type=media_type, limit=limit
        )
    digest = hashes.at(uuid, length) or await _digest(storage, parts)
    path = await _join(db, storage, parts)
    return StoredFile(path, name, kind, media_type, length, digest.hexdigest())


async def _join(db: Database, storage: Storage, parts: Sequence[MediaPart]) -> str:
    """Join the parts into one object; returns its path. A single part is that object already."""
    if len(parts) == 1:
        return parts[0].path
    path = f"library/{uuid4()}{JOINED}"
    await register_object(db, MediaObject(path=path))
    await storage.join(path, [(part.path, part.size) for part in parts])
    return path


async def _digest(storage: Storage, parts: Sequence[MediaPart]) -> "hashlib._Hash":
    """Hash the parts of an upload that came to another process."""
    digest = hashlib.sha256()
    async for chunk in _content(storage, parts):
        digest.update(chunk)
    return digest


async def _head(storage: Storage, parts: Sequence[MediaPart]) -> bytes:
    head = b""
    async for chunk in _content(storage, parts):
        head += chunk
        if len(head) >= HEAD:
            break
    return head[:HEAD]


async def _content(storage: Storage, parts: Sequence[MediaPart]) -> AsyncIterator[bytes]:
    for part in parts:
        async for chunk in storage.read(part.path, 0, part.size):
            yield chunk


async def finish_upload(
    session: AsyncSession, who: Principal, uuid: UUID, stored: StoredFile | None, quota: int, now: datetime
) -> tuple[MediaFile, bool]:
    """Add the upload to the library; returns the file, and whether this call added it."""
    upload = await access_upload(session, who, uuid, now, lock=True)
    if upload.media is not None:
        return await access_media(session, who, upload.media), False
    if stored is None:
        raise UploadIncomplete
    upload.expires_at = now  # what was reserved for it is free for the file
    await session.flush()
    media = await create_media(session, who, stored, upload.title, quota, now)
    # From now on the parts' objects stay for as long as the file does; those of a picture are swept away.
    parts = delete(MediaPart).where(MediaPart.upload_uuid == uuid).returning(MediaPart.path)
    paths = (await session.scalars(parts)).all()
    if stored.path.endswith(JOINED):
        await session.execute(
            update(MediaObject).where(MediaObject.path.in_(paths)).values(part_of=stored.path)
        )
    upload.media, upload.expires_at = media.uuid, now + LIFETIME
    await session.flush()
    return media, True


async def drop_upload(session: AsyncSession, who: Principal, uuid: UUID, now: datetime) -> None:
    """Delete an upload; a sweep deletes its parts."""
    await session.delete(await access_upload(session, who, uuid, now, lock=True))


async def drop_expired(session: AsyncSession, now: datetime) -> None:
    await session.execute(delete(MediaUpload).where(MediaUpload.expires_at <= now))
