"""Thumbnails: made from what is uploaded, in three widths; those that no course shows are swept away."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.db import Database
from libs.common.events.catalog import CourseUpdated
from libs.common.storage import Storage
from libs.common.tokens import Principal
from services.catalog.access import access_taught_course
from services.catalog.models import Course, ThumbnailFile
from services.catalog.thumbnails.pictures import WIDTHS, Pictures
from services.catalog.versions import publish_version

LEFT_ALONE = timedelta(hours=1)
"""Time in which a picture may wait for the course that is to show it."""


def path_of(uuid: UUID, width: int) -> str:
    return f"public/thumbnails/{uuid}/{width}.webp"


async def store_thumbnail(
    db: Database, storage: Storage, pictures: Pictures, who: Principal, course: UUID, data: bytes
) -> str:
    """The URL of the widest variant. Raises PictureRefused.

    It is written down before it is stored: one that no course comes to show is found by the sweep.
    """
    variants = await pictures.make_variants(data)
    uuid = uuid4()
    url = storage.public_url(path_of(uuid, WIDTHS[-1]))
    async with db.session() as ledger:
        await access_taught_course(ledger, who, course)
        ledger.add(ThumbnailFile(uuid=uuid, url=url))
    for width, webp in variants.items():
        await storage.put_bytes(path_of(uuid, width), webp)
    return url


async def show_thumbnail(
    session: AsyncSession, who: Principal, uuid: UUID, url: str, check: Callable[[int], None]
) -> Course:
    """Make a stored picture the course's; `check` refuses by the version that is locked."""
    course = await access_taught_course(session, who, uuid)
    check(course.edited_version)
    course.thumbnail = url
    await publish_version(session, course, who, CourseUpdated, changed=("thumbnail",))
    return course


async def delete_unshown(db: Database, storage: Storage, now: datetime) -> None:
    """Delete pictures that no course shows any more: replaced ones, and those whose request failed."""
    async with db.session() as session:
        shown = exists().where(Course.thumbnail == ThumbnailFile.url, Course.deleted_at.is_(None))
        rows = await session.scalars(
            select(ThumbnailFile)
            .where(ThumbnailFile.created_at < now - LEFT_ALONE, ~shown)
            .with_for_update(skip_locked=True)
            .limit(500)
        )
        for row in rows.all():
            for width in WIDTHS:
                await storage.delete(path_of(row.uuid, width))
            await session.delete(row)
