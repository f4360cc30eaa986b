"""Thumbnails: made in three widths of an uploaded picture, deleted when no course uses them."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import exists
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.events.catalog import CourseUpdated
from libs.common.files.storage import Storage
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.catalog.access import access_taught_course
from services.catalog.models import Course, ThumbnailFile
from services.catalog.objects import claim_object, delete_unused, has_files, register_object
from services.catalog.pictures import WIDTHS, Pictures
from services.catalog.versions import publish_version


def path_of(uuid: UUID, width: int) -> str:
    return f"public/thumbnails/{uuid}/{width}.webp"


async def store_thumbnail(db: Database, storage: Storage, pictures: Pictures, data: bytes) -> UUID:
    """Store a picture in all widths; returns its id. Raises PictureRefused.

    The row is written first, so that a sweep finds a picture that no course gets.
    """
    variants = await pictures.make_variants(data)
    uuid = uuid4()
    await register_object(db, ThumbnailFile(uuid=uuid, url=_url(storage, uuid)))
    for width, webp in variants.items():
        await storage.put_bytes(path_of(uuid, width), webp)
    return uuid


def _url(storage: Storage, uuid: UUID) -> str:
    return storage.public_url(path_of(uuid, WIDTHS[-1]))


async def show_thumbnail(
    session: AsyncSession,
    storage: Storage,
    who: Principal,
    uuid: UUID,
    picture: UUID,
    if_match: Precondition,
) -> Course:
    """Set a stored picture as the course's thumbnail. Raises ObjectExpired."""
    course = await access_taught_course(session, who, uuid)
    if_match.check(course.edited_version)
    await claim_object(session, ThumbnailFile, picture)
    course.thumbnail = _url(storage, picture)
    await publish_version(session, course, who, CourseUpdated, changed=("thumbnail",))
    return course


async def delete_unused_thumbnails(db: Database, storage: Storage, now: datetime) -> None:
    """Delete pictures that no course uses: replaced, or left by a failed request."""
    shown = exists().where(Course.thumbnail == ThumbnailFile.url, has_files(now))
    await delete_unused(
        db, storage, ThumbnailFile.uuid, shown, now, lambda uuid: [path_of(uuid, width) for width in WIDTHS]
    )
