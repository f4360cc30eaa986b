"""Tags of courses, and changes of tags.

A course's state shows its tags, so a rename is a new version of each course. Locks are taken in the order
tags, course: shared to give a course its tags, exclusive to change a tag.
"""

from uuid import UUID, uuid4

from sqlalchemy import any_, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.events.catalog import CourseUpdated
from libs.common.runtime.errors import NotFound
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.catalog.errors import TagTaken
from services.catalog.models import Course, Tag
from services.catalog.rules import slug_of
from services.catalog.search.lexemes import add_words
from services.catalog.versions import publish_version


async def share_tags(session: AsyncSession) -> None:
    """Lock all tags against a rename or deletion until the end of the transaction."""
    await session.execute(text("SELECT pg_advisory_xact_lock_shared(hashtext('course tags'))"))


async def lock_tags(session: AsyncSession) -> None:
    """Lock all tags to change one of them."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('course tags'))"))


async def get_or_create_tags(session: AsyncSession, names: list[str]) -> list[str]:
    """The names as the tags have them; unknown tags are created. The caller shares the lock of the tags."""
    if not names:
        return []
    rows = [
        {"uuid": uuid4(), "name": name, "slug": slug_of(name)} for name in sorted(names, key=str.casefold)
    ]
    await session.execute(insert(Tag).values(rows).on_conflict_do_nothing(index_elements=["name"]))
    known = await session.scalars(select(Tag.name).where(Tag.name.in_(names)))
    canonical = {name.casefold(): name for name in known}
    return [canonical.get(name.casefold(), name) for name in names]


async def create_tag(session: AsyncSession, name: str) -> Tag:
    """Create a tag. Raises TagTaken."""
    await lock_tags(session)
    await _check_name(session, name)
    tag = Tag(uuid=uuid4(), name=name, slug=slug_of(name), version=1)
    session.add(tag)
    await session.flush()
    return tag


async def change_tag(
    session: AsyncSession, who: Principal, uuid: UUID, name: str | None, if_match: Precondition
) -> Tag:
    """Rename a tag, on all courses that have it. Raises TagTaken."""
    tag = await _locked_tag(session, uuid)
    if_match.check(tag.version)
    if name is not None and name != tag.name:
        await _check_name(session, name, uuid)
        before, tag.name, tag.slug = tag.name, name, slug_of(name)
        tag.version += 1
        await _retag(session, who, before, [name])
    return tag


async def delete_tag(session: AsyncSession, who: Principal, uuid: UUID, if_match: Precondition) -> None:
    """Delete a tag, and remove it from every course."""
    tag = await _locked_tag(session, uuid)
    if_match.check(tag.version)
    await session.delete(tag)
    await _retag(session, who, tag.name, [])


async def _locked_tag(session: AsyncSession, uuid: UUID) -> Tag:
    await lock_tags(session)
    tag = await session.get(Tag, uuid, populate_existing=True)
    if tag is None:
        raise NotFound
    return tag


async def _check_name(session: AsyncSession, name: str, own: UUID | None = None) -> None:
    if await session.scalar(select(Tag.uuid).where(Tag.name == name, Tag.uuid != own)):
        raise TagTaken


async def _retag(session: AsyncSession, who: Principal, before: str, after: list[str]) -> None:
    found = await session.scalars(
        select(Course)
        .where(literal(before) == any_(Course.tags), Course.deleted_at.is_(None))
        .order_by(Course.uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    courses = found.all()
    for course in courses:
        course.tags = [tag for name in course.tags for tag in (after if name == before else [name])]
        await publish_version(session, course, who, CourseUpdated, changed=("tags",))
    await add_words(session, [course.uuid for course in courses])
