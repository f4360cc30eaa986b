"""Reads that discussions, replies and moderation share: people, and lists by keyset."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Select, func, literal, or_, select, tuple_, union
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from libs.common.runtime.errors import BadRequest
from libs.common.web.paging import Paging, encode_cursor
from libs.common.web.richtext import own_words
from services.forum.models import Course, Enrollment, Person, Reply
from services.forum.rules import LEARNING, STAFF, mentioned, mentions_of

Column = InstrumentedAttribute[Any]
_READERS: dict[type, Any] = {datetime: datetime.fromisoformat, UUID: UUID, int: int, bool: bool}


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


def ilike_pattern(search: str) -> str:
    """`search` anywhere in a text, its own wildcards taken literally."""
    return "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


async def keyset(
    session: AsyncSession, query: Select[Any], page: Paging, columns: Sequence[Column], *, descending: bool
) -> dict[str, Any]:
    """One page ordered by `columns`, of which the last is unique; `results` are the rows.

    `next` carries a cursor, so that rows written meanwhile move nothing; `page` numbers are understood too.
    """
    count = await session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    ordered = query.order_by(*(c.desc() if descending else c.asc() for c in columns))
    if page.cursor is None and page.page > 1:
        rows = (await session.scalars(ordered.limit(page.size).offset(page.offset))).all()
        return page.answer(count, rows)
    if page.cursor is not None:
        place = tuple_(*columns)
        values = tuple_(
            *(literal(v, c.type) for v, c in zip(_read(page.cursor, columns), columns, strict=True))
        )
        ordered = ordered.where(place < values if descending else place > values)
    found = (await session.scalars(ordered.limit(page.size + 1))).all()
    rows = found[: page.size]
    follow = None
    if len(found) > page.size:
        follow = page.link(cursor=encode_cursor(*(getattr(rows[-1], c.key) for c in columns)), page=None)
    return {"count": count, "next": follow, "previous": None, "results": list(rows)}


def _read(cursor: str, columns: Sequence[Column]) -> list[Any]:
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return [_READERS[c.type.python_type](value) for c, value in zip(columns, values, strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
        raise BadRequest("cursor is not one that this list, in this order, has answered.") from error
