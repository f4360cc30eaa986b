"""Loading and authorising forums, discussions and replies in one step.

What somebody may not enter answers NotFound, like what is not there; Forbidden is for what they may see and
not do.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from libs.common.runtime.errors import NotFound
from libs.common.runtime.roles import STAFF
from libs.common.security.auth import at_least, is_staff
from libs.common.security.tokens import Principal
from services.forum import errors
from services.forum.models import Course, Discussion, Enrollment, Forum, Person, Reply
from services.forum.rules import LEARNING, Standing, standing


async def standing_of(session: AsyncSession, who: Principal, course: UUID | None) -> Standing:
    """What `who` is to the forum of `course`, or to a platform forum."""
    if course is None:
        return standing(staff=is_staff(who), platform=True, known=True, instructor=False, enrollment=None)
    instructors = await session.scalar(select(Course.instructors).where(Course.uuid == course))
    enrollment = await session.scalar(
        select(Enrollment.status)
        .where(Enrollment.student == who.user, Enrollment.course == course, Enrollment.status.in_(LEARNING))
        .limit(1)
    )
    return standing(
        staff=is_staff(who),
        platform=False,
        known=instructors is not None,
        instructor=at_least(who, "teacher") and who.user in (instructors or ()),
        enrollment=enrollment,
    )


def visible_to(who: Principal, course: InstrumentedAttribute[UUID | None]) -> ColumnElement[bool]:
    """The condition that `who` may enter the forum of `course`: the same rule, for lists."""
    if is_staff(who):
        return ~false()
    learning = (
        select(Enrollment.course)
        .join(Course, Course.uuid == Enrollment.course)
        .where(Enrollment.student == who.user, Enrollment.status.in_(LEARNING))
    )
    return or_(course.is_(None), course.in_(learning), course.in_(taught_by(who)))


def taught_by(who: Principal) -> Select[Any]:
    """Ids of the courses that `who` teaches; a teacher who is one no longer teaches none."""
    mine = Course.instructors.contains([who.user]) if at_least(who, "teacher") else false()
    return select(Course.uuid).where(mine)


async def readers_of(session: AsyncSession, course: UUID | None, users: Iterable[UUID | None]) -> list[UUID]:
    """Those of `users` who may enter the forum of `course` now: active, and learners, teachers or staff."""
    ids = sorted({user for user in users if user is not None})
    learning = select(Enrollment.student).where(Enrollment.course == course, Enrollment.status.in_(LEARNING))
    teaching = select(func.unnest(Course.instructors)).where(Course.uuid == course)
    may_enter = or_(
        literal(course is None),
        Person.role.in_(STAFF),
        Person.uuid.in_(learning),
        and_(Person.role == "teacher", Person.uuid.in_(teaching)),
    )
    query = select(Person.uuid).where(Person.uuid.in_(ids), Person.is_active, may_enter)
    known = await session.scalars(select(Person.uuid).where(Person.uuid.in_(ids)))
    unheard = set(ids) - set(known)  # who acts before their name has come
    return sorted({*await session.scalars(query), *unheard})


async def access_forum(session: AsyncSession, who: Principal, uuid: UUID) -> tuple[Forum, Standing]:
    forum = await session.get(Forum, uuid)
    if forum is None:
        raise NotFound
    place = await standing_of(session, who, forum.course)
    if not place.may_enter:
        raise NotFound
    return forum, place


async def access_discussion(
    session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False
) -> tuple[Discussion, Standing]:
    """A discussion that is not deleted, for those who may enter its forum."""
    discussion = await session.get(Discussion, uuid, with_for_update=lock, populate_existing=lock)
    if discussion is None or discussion.deleted_at is not None:
        raise NotFound
    place = await standing_of(session, who, discussion.course)
    if not place.may_enter:
        raise NotFound
    return discussion, place


async def access_discussion_as_moderator(session: AsyncSession, who: Principal, uuid: UUID) -> Discussion:
    """A discussion, locked, for staff and the course's instructors. Raises NotModerator for its readers."""
    discussion, place = await access_discussion(session, who, uuid, lock=True)
    if not place.may_moderate:
        raise errors.NotModerator
    return discussion


async def access_reply(
    session: AsyncSession, who: Principal, uuid: UUID, *, lock: bool = False, with_discussion: bool = False
) -> tuple[Reply, Discussion, Standing]:
    """A reply that is not deleted, with its discussion.

    `lock` locks the reply; `with_discussion` locks the discussion before it, always in this order.
    """
    found = await session.scalar(select(Reply.discussion).where(Reply.uuid == uuid))
    if found is None:
        raise NotFound
    discussion, place = await access_discussion(session, who, found, lock=with_discussion)
    reply = await session.get(Reply, uuid, with_for_update=lock or with_discussion, populate_existing=True)
    if reply is None or reply.deleted_at is not None:
        raise NotFound
    return reply, discussion, place
