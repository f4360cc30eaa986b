"""The library as its owners see it, and where its files are used."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from libs.common.paging import Paging, paginate
from services.catalog.media.models import MediaFile

# Working lessons and those of the published revision; a lesson that is both counts once.
_USES = text(
    "SELECT DISTINCT (r->>'media')::uuid AS media, c.uuid AS course, c.title AS course_title,"
    " l.uuid AS lesson, l.title AS lesson_title"
    " FROM (SELECT course_uuid, uuid, title, resources FROM lessons WHERE removed_at IS NULL"
    "  UNION ALL SELECT v.course_uuid, (x->>'uuid')::uuid, x->>'title', x->'resources'"
    "  FROM courses k JOIN course_revisions v ON v.course_uuid = k.uuid AND v.number = k.revision,"
    "  jsonb_array_elements(v.content) AS m, jsonb_array_elements(m->'lessons') AS x"
    "  WHERE NOT EXISTS (SELECT FROM lessons w WHERE w.uuid = (x->>'uuid')::uuid"
    "   AND w.removed_at IS NULL AND w.resources = x->'resources')) AS l"
    " JOIN courses c ON c.uuid = l.course_uuid AND c.deleted_at IS NULL,"
    " jsonb_array_elements(l.resources) AS r WHERE (r->>'media')::uuid = ANY(:media) ORDER BY 3, 5"
).bindparams(bindparam("media", type_=ARRAY(Uuid())))


async def uses_of(session: AsyncSession, media: Collection[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """By file, the lessons that have it."""
    found: dict[UUID, list[dict[str, Any]]] = {uuid: [] for uuid in media}
    if media:
        for row in (await session.execute(_USES, {"media": list(media)})).mappings():
            use = dict(row)
            found[use.pop("media")].append(use)
    return found


async def media_answers(session: AsyncSession, rows: Collection[MediaFile]) -> list[dict[str, Any]]:
    uses = await uses_of(session, [row.uuid for row in rows])
    names = (
        "uuid", "owner", "title", "name", "kind", "media_type", "size", "sha256", "created_at", "updated_at",
    )  # fmt: skip
    return [
        {name: getattr(row, name) for name in names}
        | {"usage_count": len(uses[row.uuid]), "used_in": uses[row.uuid]}
        for row in rows
    ]


async def list_media(
    session: AsyncSession, owner: UUID, page: Paging, kind: str | None, search: str | None
) -> dict[str, Any]:
    """One page of somebody's files, the newest first."""
    query = select(MediaFile).where(MediaFile.owner == owner, MediaFile.deleted_at.is_(None))
    if kind:
        query = query.where(MediaFile.kind == kind)
    if search:
        found = MediaFile.title.icontains(search, autoescape=True)
        query = query.where(found | MediaFile.name.icontains(search, autoescape=True))
    count, rows = await paginate(session, query.order_by(MediaFile.created_at.desc(), MediaFile.uuid), page)
    return page.answer(count, await media_answers(session, rows))


async def bytes_of(session: AsyncSession, owner: UUID, but: UUID | None = None) -> int:
    """Bytes that somebody's files take, `but` one."""
    query = select(func.coalesce(func.sum(MediaFile.size), 0)).where(
        MediaFile.owner == owner, MediaFile.deleted_at.is_(None)
    )
    if but is not None:
        query = query.where(MediaFile.uuid != but)
    return int(await session.scalar(query) or 0)


async def resolved(session: AsyncSession, media: Collection[UUID]) -> dict[str, MediaFile]:
    """Files by id as text, for the resources of lessons."""
    if not media:
        return {}
    rows = await session.scalars(
        select(MediaFile).where(MediaFile.uuid.in_(media), MediaFile.deleted_at.is_(None))
    )
    return {str(row.uuid): row for row in rows}
