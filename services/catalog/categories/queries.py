"""Reads of categories."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.errors import NotFound
from services.catalog.models import Category, Course

_PUBLISHED: tuple[ColumnElement[bool], ...] = (Course.status == "published", Course.deleted_at.is_(None))


async def category_tree(session: AsyncSession) -> list[dict[str, Any]]:
    """Every category, parents before their children, siblings by order and name."""
    rows: Sequence[Category] = (
        await session.scalars(
            select(Category).where(Category.deleted_at.is_(None)).order_by(Category.position, Category.name)
        )
    ).all()
    counted = await session.execute(
        select(Course.category_uuid, func.count()).where(*_PUBLISHED).group_by(Course.category_uuid)
    )
    counts: dict[UUID | None, int] = {uuid: number for uuid, number in counted}
    below: dict[UUID | None, list[Category]] = {}
    for row in rows:
        below.setdefault(row.parent_uuid, []).append(row)
    answers: list[dict[str, Any]] = []

    def visit(row: Category, depth: int) -> int:
        children = below.get(row.uuid, [])
        answer: dict[str, Any] = {
            "uuid": row.uuid,
            "name": row.name,
            "slug": row.slug,
            "description": row.description,
            "parent": row.parent_uuid,
            "order": row.position,
            "depth": depth,
            "children": [{"uuid": child.uuid, "name": child.name, "slug": child.slug} for child in children],
        }
        answers.append(answer)
        total = counts.get(row.uuid, 0) + sum(visit(child, depth + 1) for child in children)
        answer["courses_count"] = total
        return total

    for root in below.get(None, []):
        visit(root, 0)
    return answers


async def category_answer(session: AsyncSession, uuid: UUID) -> dict[str, Any]:
    """One category as the API answers it. Raises NotFound, also when it was deleted meanwhile."""
    for row in await category_tree(session):
        if row["uuid"] == uuid:
            return row
    raise NotFound
