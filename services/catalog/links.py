"""The right to read a stored object through a signed URL, checked at each use."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.security.tokens import Principal
from services.catalog.access import access_course
from services.catalog.content.views import WHICH, find_lesson, seen_structure
from services.catalog.media.access import access_media
from services.catalog.media.queries import variant_path
from services.catalog.rules import shows_body


async def may_read(session: AsyncSession, who: Principal | None, of: str, path: str) -> bool:
    """Of `lesson:<course>:<lesson>` or `media:<file>`. Raises NotFound for what they do not see."""
    kind, *ids = of.split(":")
    if kind == "lesson":
        return await _of_lesson(session, who, UUID(ids[0]), UUID(ids[1]), path)
    if who is None:
        return False
    media = await access_media(session, who, UUID(ids[0]))
    return path in (media.path, *(variant_path(media.path, width) for width in media.variants))


async def _of_lesson(
    session: AsyncSession, who: Principal | None, course: UUID, lesson: UUID, path: str
) -> bool:
    view = await access_course(session, who, course)
    for which in WHICH if view.edits else WHICH[1:]:  # editors see both
        structure = await seen_structure(session, view, which)
        if str(lesson) not in (each["uuid"] for module in structure for each in module["lessons"]):
            continue
        found = find_lesson(structure, lesson)
        if shows_body(edits=view.edits, enrolled=view.enrolled, is_preview=found["is_preview"]) and path in (
            (found["file"] or {}).get("path"),
            *(each["path"] for each in found["resources"]),
        ):
            return True
    return False
