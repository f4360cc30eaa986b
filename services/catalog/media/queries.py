"""The library as its owners see it, and where its files are used."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, literal_column, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.storage import Storage
from libs.common.web.paging import Paging, paginate
from services.catalog.models import Course, CourseRevision, Lesson, LessonObject, MediaFile, MediaUpload

# Working lessons and those of the published revision; a lesson that is both counts once. Both are found by
# indexes of the files that they name.
_USES = text(
    "SELECT DISTINCT (r->>'media')::uuid AS media, c.uuid AS course, c.title AS course_title,"
    " l.uuid AS lesson, l.title AS lesson_title"
    " FROM (SELECT course_uuid, uuid, title, resources FROM lessons WHERE removed_at IS NULL"
    "   AND jsonb_path_query_array(resources, '$[*].media') ?| CAST(:named AS text[])"
    "  UNION ALL SELECT v.course_uuid, (x->>'uuid')::uuid, x->>'title', x->'resources'"
    "  FROM courses k JOIN course_revisions v ON v.course_uuid = k.uuid AND v.number = k.revision,"
    "  jsonb_path_query(v.content, '$[*].lessons[*]') AS x"
    "  WHERE jsonb_path_query_array(v.content, '$[*].lessons[*].resources[*].media')"
    "   ?| CAST(:named AS text[]) AND NOT EXISTS (SELECT FROM lessons w WHERE w.uuid = (x->>'uuid')::uuid"
    "   AND w.removed_at IS NULL AND w.resources = x->'resources')) AS l"
    " JOIN courses c ON c.uuid = l.course_uuid AND c.deleted_at IS NULL,"
    " jsonb_array_elements(l.resources) AS r WHERE r->>'media' = ANY(CAST(:named AS text[])) ORDER BY 3, 5"
)


async def uses_of(session: AsyncSession, media: Collection[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """By file, the lessons that have it."""
    found: dict[UUID, list[dict[str, Any]]] = {uuid: [] for uuid in media}
    if media:
        named = [str(uuid) for uuid in media]
        for row in (await session.execute(_USES, {"named": named})).mappings():
            use = dict(row)
            found[use.pop("media")].append(use)
    return found


def variant_path(path: str, width: int) -> str:
    return f"{path}-{width}.webp"


def variants_of(media: MediaFile, storage: Storage) -> dict[str, str] | None:
    """Signed URLs of a picture by width."""
    return {
        str(width): storage.url(
            variant_path(media.path, width), "image/webp", f"{width}.webp", f"media:{media.uuid}"
        )
        for width in media.variants
    } or None


async def media_answers(
    session: AsyncSession, storage: Storage, rows: Collection[MediaFile]
) -> list[dict[str, Any]]:
    uses = await uses_of(session, [row.uuid for row in rows])
    names = (
        "uuid", "owner", "title", "name", "kind", "media_type", "size", "sha256", "created_at", "updated_at",
    )  # fmt: skip
    return [
        {name: getattr(row, name) for name in names}
        | {"variants": variants_of(row, storage)}
        | {"usage_count": len(uses[row.uuid]), "used_in": uses[row.uuid]}
        for row in rows
    ]


async def list_media(
    session: AsyncSession,
    storage: Storage,
    owner: UUID,
    page: Paging,
    kind: str | None,
    search: str | None,
) -> dict[str, Any]:
    """One page of somebody's files, the newest first."""
    query = select(MediaFile).where(MediaFile.owner == owner, MediaFile.deleted_at.is_(None))
    if kind:
        query = query.where(MediaFile.kind == kind)
    if search:
        found = MediaFile.title.icontains(search, autoescape=True)
        query = query.where(found | MediaFile.name.icontains(search, autoescape=True))
    count, rows = await paginate(session, query.order_by(MediaFile.created_at.desc(), MediaFile.uuid), page)
    return page.answer(count, await media_answers(session, storage, rows))


async def bytes_of(session: AsyncSession, owner: UUID, now: datetime, but: UUID | None = None) -> int:
    """Bytes that somebody's files take, `but` one of the library, and those of what is still coming in.

    They are the library's and those of lessons, while a course that is not deleted uses them.
    """
    query = select(func.coalesce(func.sum(MediaFile.size), 0)).where(
        MediaFile.owner == owner, MediaFile.deleted_at.is_(None)
    )
    if but is not None:
        query = query.where(MediaFile.uuid != but)
    coming = select(func.coalesce(func.sum(MediaUpload.length), 0)).where(
        MediaUpload.owner == owner, MediaUpload.media.is_(None), MediaUpload.expires_at > now
    )
    of_lessons = select(func.coalesce(func.sum(LessonObject.size), 0)).where(
        LessonObject.owner == owner, is_used_by_lesson(Course.deleted_at.is_(None))
    )
    return sum([int(await session.scalar(each) or 0) for each in (query, coming, of_lessons)])


async def resolved(session: AsyncSession, media: Collection[UUID]) -> dict[str, MediaFile]:
    """Files by id as text, for the resources of lessons."""
    if not media:
        return {}
    rows = await session.scalars(
        select(MediaFile).where(MediaFile.uuid.in_(media), MediaFile.deleted_at.is_(None))
    )
    return {str(row.uuid): row for row in rows}


_REVISED = func.jsonb_path_query_array(
    CourseRevision.content, literal_column("'$[*].lessons[*].file.path'::jsonpath")
)


def is_used_by_lesson(courses: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a working lesson or any revision of such `courses` has the object."""
    return or_(
        exists().where(
            Lesson.file["path"].astext == LessonObject.path,
            Lesson.file.is_not(None),
            Lesson.removed_at.is_(None),
            Course.uuid == Lesson.course_uuid,
            courses,
        ),
        exists().where(
            _REVISED.bool_op("?")(LessonObject.path), Course.uuid == CourseRevision.course_uuid, courses
        ),
    )
