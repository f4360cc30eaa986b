"""Reads of tags."""

from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.catalog.models import Course, Tag

_USED = (
    select(func.unnest(Course.tags).label("name"), func.count().label("number"))
    .where(Course.status == "published", Course.deleted_at.is_(None))
    .group_by(text("1"))
    .subquery()
)
_NUMBER = case((_USED.c.number.is_(None), 0), else_=_USED.c.number)
_TAGS = (
    select(Tag.uuid, Tag.name, Tag.slug, _NUMBER.label("courses_count"))
    .outerjoin(_USED, _USED.c.name == Tag.name)
    .order_by(_NUMBER.desc(), Tag.name)
)


async def list_tags(session: AsyncSession, search: str | None) -> list[dict[str, Any]]:
    """All tags, the most used first; `search` filters by name."""
    query = _TAGS.where(Tag.name.icontains(search, autoescape=True)) if search else _TAGS
    return [dict(row) for row in (await session.execute(query)).mappings()]


async def tag_answer(session: AsyncSession, uuid: UUID) -> dict[str, Any]:
    return dict((await session.execute(_TAGS.where(Tag.uuid == uuid))).mappings().one())
