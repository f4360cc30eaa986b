"""Reads of categories and tags."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.catalog.models import Category, Course, Tag

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
    return next(row for row in await category_tree(session) if row["uuid"] == uuid)


async def list_tags(session: AsyncSession, search: str | None) -> list[dict[str, Any]]:
    """Tags that courses carry or carried, the most used first."""
    used = (
        select(func.unnest(Course.tags).label("name"), func.count().label("number"))
        .where(*_PUBLISHED)
        .group_by(text("1"))
        .subquery()
    )
    number = case((used.c.number.is_(None), 0), else_=used.c.number)
    query = select(Tag, number).outerjoin(used, used.c.name == Tag.name).order_by(number.desc(), Tag.name)
    if search:
        query = query.where(Tag.name.icontains(search, autoescape=True))
    return [
        {"uuid": tag.uuid, "name": tag.name, "slug": tag.slug, "courses_count": count}
        for tag, count in await session.execute(query)
    ]
