"""Reads that discussions, replies and moderation share: people, mentions, searches."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.runtime.roles import STAFF
from libs.common.web.richtext import own_words
from services.forum.models import Course, Enrollment, Person, Reply
from services.forum.rules import LEARNING, mentioned, mentions_of


async def people_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, Person]:
    rows = await session.scalars(select(Person).where(Person.uuid.in_(set(ids))))
    return {person.uuid: person for person in rows}


def person_answer(people: dict[UUID, Person], uuid: UUID) -> dict[str, Any]:
    """Somebody's card; without a name once they are erased or not known here yet."""
    known = people.get(uuid)
    if known is None:
        return {"uuid": uuid, "full_name": "", "avatar": None, "role": "student"}
    return {"uuid": uuid, "full_name": known.full_name, "avatar": known.avatar, "role": known.role}


def author_fields(people: dict[UUID, Person], uuid: UUID) -> dict[str, Any]:
    """The author as a card and, for simple front ends, flat."""
    card = person_answer(people, uuid)
    return {
        "author": card,
        "author_name": card["full_name"],
        "author_avatar": card["avatar"],
        "author_role": card["role"],
    }


async def find_mentions(
    session: AsyncSession, content: str, course: UUID | None, author: UUID, discussion: UUID | None
) -> list[UUID]:
    """Whom a text mentions: learners and teachers of the course, and who writes in the discussion and may
    still read it.

    Names in code and in quotations are not the author's own words, and call nobody.
    """
    names = mentioned(own_words(content))
    if not names:
        return []
    circles = []
    if course is not None:
        circles.append(
            select(Enrollment.student).where(Enrollment.course == course, Enrollment.status.in_(LEARNING))
        )
        circles.append(
            select(Person.uuid).where(
                Person.uuid.in_(select(func.unnest(Course.instructors)).where(Course.uuid == course)),
                Person.role != "student",
            )
        )
    if discussion is not None:  # of a course only the staff: learners who write there may have left
        wrote = select(Person.uuid).where(
            Person.uuid.in_(select(Reply.author).where(Reply.discussion == discussion))
        )
        circles.append(wrote if course is None else wrote.where(Person.role.in_(STAFF)))
    if not circles:
        return []
    circle = union(*circles).subquery()
    rows = await session.execute(
        select(Person.uuid, Person.folded_name, Person.folded_first_name)
        .where(
            Person.uuid.in_(select(circle.c[0])),
            Person.is_active,
            Person.uuid != author,
            or_(Person.folded_name.in_(names), Person.folded_first_name.in_(names)),
        )
        .order_by(Person.uuid)
    )
    return mentions_of(names, [(uuid, full, first) for uuid, full, first in rows])


async def find_new_mentions(
    session: AsyncSession, old: str, new: str, course: UUID | None, author: UUID, discussion: UUID
) -> tuple[UUID, ...]:
    """Whom an edited text mentions and did not mention before."""
    before = await find_mentions(session, old, course, author, discussion)
    after = await find_mentions(session, new, course, author, discussion)
    return tuple(user for user in after if user not in before)
