"""Thumbnails: made from what is uploaded, in three widths; those that no course shows are swept away."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.db import Database
from libs.common.events.catalog import CourseUpdated
from libs.common.storage import Storage
from libs.common.tokens import Principal
from services.catalog.access import access_taught_course
from services.catalog.errors import ObjectExpired
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
    """Make a stored picture the course's; `check` refuses by the locked version. Raises ObjectExpired."""
    course = await access_taught_course(session, who, uuid)
    check(course.edited_version)
    picture = await session.scalar(select(ThumbnailFile).where(ThumbnailFile.url == url).with_for_update())
    if picture is None or picture.condemned_at is not None:
        raise ObjectExpired
    course.thumbnail = url
    await publish_version(session, course, who, CourseUpdated, changed=("thumbnail",))
    return course


async def delete_unshown(db: Database, storage: Storage, now: datetime) -> None:
    """Delete pictures that no course shows any more: replaced ones, and those whose request failed.

    They are condemned first, so that no course comes to show one while storage deletes it, outside of any
    transaction. What a sweep that was killed has condemned is deleted by the next one.
    """
    shown = exists().where(Course.thumbnail == ThumbnailFile.url, Course.deleted_at.is_(None))
    async with db.session() as session:
        waiting = (
            select(ThumbnailFile.uuid)
            .where(ThumbnailFile.created_at < now - LEFT_ALONE, ~shown)
            .with_for_update(skip_locked=True)
            .limit(500)
        )
        await session.execute(
            update(ThumbnailFile).where(ThumbnailFile.uuid.in_(waiting)).values(condemned_at=now)
        )
    async with db.session() as session:
        # What became something in the very moment: it is seen from here, and later ones are refused.
        condemned = ThumbnailFile.condemned_at.is_not(None)
        await session.execute(update(ThumbnailFile).where(condemned, shown).values(condemned_at=None))
        pictures = (await session.scalars(select(ThumbnailFile.uuid).where(condemned).limit(500))).all()
    for uuid in pictures:
        for width in WIDTHS:
            await storage.delete(path_of(uuid, width))
    async with db.session() as session:
        await session.execute(delete(ThumbnailFile).where(ThumbnailFile.uuid.in_(pictures)))
