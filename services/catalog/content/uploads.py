"""Files of lessons: stored, attached, and deleted when neither a lesson nor a revision uses them."""

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
from services.catalog.media.queries import is_used_by_lesson
from services.catalog.media.service import check_quota
from services.catalog.models import Course, Lesson, LessonObject
from services.catalog.objects import claim_object, delete_unused, has_files, register_object
from services.catalog.versions import publish_tree_version, transaction_time


async def store_file(
    db: Database, storage: Storage, owner: UUID, lesson: UUID, chunks: AsyncIterator[bytes], limit: int
) -> dict[str, Any]:
    """Store a file for a lesson; its bytes count against the owner's quota. Raises PayloadTooLarge."""
    path = f"lessons/{lesson}/{uuid4()}"
    await register_object(db, LessonObject(path=path, owner=owner, size=0))
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
    """Attach a stored object to the lesson; the previous one stays while a revision or a copy uses it.

    Raises MediaQuotaExceeded, ObjectExpired. The caller holds the course's lock.
    """
    row = await claim_object(session, LessonObject, file["path"])
    row.size = file["size"]
    lesson.file = {**file, "uploaded_at": (await transaction_time(session)).isoformat()}
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
    """Delete files that no lesson and no revision uses: replaced, removed, or left by a failed request."""
    await delete_unused(
        db, storage, LessonObject.path, is_used_by_lesson(has_files(now)), now, lambda path: [path]
    )
