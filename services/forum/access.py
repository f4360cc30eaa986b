"""Loading and authorising forums, discussions and replies in one step.

What somebody may not enter answers NotFound, like what is not there; Forbidden is for what they may see and
not do.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, false, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from libs.common.auth import is_staff
from libs.common.errors import NotFound
from libs.common.tokens import Principal
from services.forum import errors
from services.forum.models import Course, Discussion, Enrollment, Forum, Reply
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
        instructor=who.user in (instructors or ()),
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
    instructing = select(Course.uuid).where(Course.instructors.contains([who.user]))
    return or_(course.is_(None), course.in_(learning), course.in_(instructing))


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
