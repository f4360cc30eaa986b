"""The files of lessons: stored, made a lesson's, swept away when neither a lesson nor a revision has them."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.events.catalog import LessonFileUploaded
from libs.common.files.storage import Storage
from libs.common.security.tokens import Principal
from services.catalog.content.service import lesson_fact
from services.catalog.media.models import LessonObject
from services.catalog.media.queries import is_used_by_lesson
from services.catalog.media.service import check_quota
from services.catalog.models import Course, Lesson
from services.catalog.objects import claim_object, delete_unused, keeps_files, note_object
from services.catalog.versions import moment, publish_tree_version


async def store_file(
    db: Database, storage: Storage, owner: UUID, lesson: UUID, chunks: AsyncIterator[bytes], limit: int
) -> dict[str, Any]:
    """Store a stream for a lesson of the owner's. Raises PayloadTooLarge."""
    path = f"lessons/{lesson}/{uuid4()}"
    await note_object(db, LessonObject(path=path, owner=owner, size=0))
    stored = await storage.put(path, chunks, limit)
    return {"path": path, "size": stored.size, "sha256": stored.sha256}


async def attach_file(
    session: AsyncSession,
    who: Principal,
    course: Course,
    lesson: Lesson,
    file: dict[str, Any],
    quota: int,
    now: datetime,
) -> None:
    """Make a stored object the lesson's file; the one before stays where a revision or a copy has it.

    Raises MediaQuotaExceeded, ObjectExpired. The caller holds the course's lock.
    """
    row = await claim_object(session, LessonObject, file["path"])
    row.size = file["size"]
    lesson.file = {**file, "uploaded_at": (await moment(session)).isoformat()}
    lesson.version = course.version + 1
    await publish_tree_version(
        session,
        course,
        who,
        LessonFileUploaded,
        **lesson_fact(lesson),
        media_type=file["media_type"],
        size=file["size"],
    )
    await check_quota(session, row.owner, 0, quota, now=now)


async def delete_unused_files(db: Database, storage: Storage, now: datetime) -> None:
    """Delete files that no lesson and no revision has: replaced, removed, and those whose request failed."""
    await delete_unused(
        db, storage, LessonObject.path, is_used_by_lesson(keeps_files(now)), now, lambda path: [path]
    )
