"""Changes of categories. A course's state shows its category, so a rename is a new version of each course."""

from uuid import UUID, uuid4

from sqlalchemy import exists, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.catalog import (
    CategoryCreated,
    CategoryDeleted,
    CategoryFact,
    CategoryUpdated,
    CourseUpdated,
)
from libs.common.runtime.errors import Unprocessable
from libs.common.security.tokens import Principal
from services.catalog.access import by_name
from services.catalog.categories.schemas import CategoryCreate, CategoryUpdate
from services.catalog.errors import CategoryCycle, CategoryInUse, CategoryTooDeep
from services.catalog.models import Category, Course
from services.catalog.rules import MOST_LEVELS, free_name, has_cycle, levels, slug_of
from services.catalog.versions import publish_version, transaction_time


async def lock_tree(session: AsyncSession) -> None:
    """Let one transaction at a time change the tree: cycles and free slugs depend on all of it."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('category tree'))"))


async def _publish(
    session: AsyncSession, who: Principal, category: Category, fact: type[CategoryFact]
) -> None:
    category.version += 1
    category.updated_at = await transaction_time(session)
    record(
        session,
        fact(
            category=category.uuid,
            title=category.name,
            slug=category.slug,
            parent=category.parent_uuid,
            actor=who.user,
        ),
        category.version,
    )
    await session.flush()


async def _parent(session: AsyncSession, name: str | None) -> UUID | None:
    if name is None:
        return None
    uuid = await session.scalar(select(Category.uuid).where(by_name(name), Category.deleted_at.is_(None)))
    if uuid is None:
        raise Unprocessable.field("parent", "there is no such category")
    return uuid


async def _free_slug(session: AsyncSession, wanted: str, own: UUID) -> str:
    """The given slug, with a number appended if it is taken. The caller holds the tree lock."""
    taken = await session.scalars(
        select(Category.slug).where(
            Category.slug.startswith(wanted[:90], autoescape=True),
            Category.deleted_at.is_(None),
            Category.uuid != own,
        )
    )
    return free_name(wanted, set(taken))


async def create_category(session: AsyncSession, who: Principal, body: CategoryCreate) -> Category:
    await lock_tree(session)
    uuid = uuid4()
    slug = await _free_slug(session, body.slug or slug_of(body.name) or "category", uuid)
    parent = await _parent(session, body.parent)
    await _check_place(session, uuid, parent)
    category = Category(
        uuid=uuid,
        version=0,
        name=body.name,
        slug=slug,
        description=body.description,
        parent_uuid=parent,
        position=body.order,
    )
    session.add(category)
    await _publish(session, who, category, CategoryCreated)
    return category


async def change_category(
    session: AsyncSession, who: Principal, category: Category, body: CategoryUpdate
) -> None:
    """Apply the fields that were sent and differ, to its courses as well. The caller holds both locks."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    if "parent" in given:
        given["parent_uuid"] = await _parent(session, given.pop("parent"))
    if "order" in given:
        given["position"] = given.pop("order")
    if given.get("slug", category.slug) != category.slug:
        given["slug"] = await _free_slug(session, given["slug"], category.uuid)
    changed = {name: value for name, value in given.items() if getattr(category, name) != value}
    if not changed:
        return
    await _check_place(session, category.uuid, changed.get("parent_uuid"))
    for name, value in changed.items():
        setattr(category, name, value)
    await _publish(session, who, category, CategoryUpdated)
    if {"name", "slug"} & set(changed):
        courses = await session.scalars(
            select(Course)
            .where(Course.category_uuid == category.uuid, Course.deleted_at.is_(None))
            .order_by(Course.uuid)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        for course in courses.all():
            await publish_version(session, course, who, CourseUpdated, changed=("category",))


async def _check_place(session: AsyncSession, own: UUID, parent: UUID | None) -> None:
    """Check that a category may have this parent. Raises CategoryCycle, CategoryTooDeep."""
    if parent is None:
        return
    rows = await session.execute(
        select(Category.uuid, Category.parent_uuid).where(
            Category.parent_uuid.is_not(None), Category.deleted_at.is_(None)
        )
    )
    above: dict[UUID, UUID] = {uuid: place for uuid, place in rows if place}
    above[own] = parent
    if has_cycle(own, {uuid: [place] for uuid, place in above.items()}):
        raise CategoryCycle
    if levels(own, above) > MOST_LEVELS:
        raise CategoryTooDeep


async def delete_category(session: AsyncSession, who: Principal, category: Category) -> None:
    """Delete an empty category; the row stays. Raises CategoryInUse. The caller holds both locks."""
    used = await session.scalar(
        select(
            exists().where(Course.category_uuid == category.uuid, Course.deleted_at.is_(None))
            | exists().where(Category.parent_uuid == category.uuid, Category.deleted_at.is_(None))
        )
    )
    if used:
        raise CategoryInUse
    category.deleted_at = await transaction_time(session)
    await _publish(session, who, category, CategoryDeleted)
