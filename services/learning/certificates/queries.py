"""Reads of certificates; the name on one is the learner's present name in the replica."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.auth import at_least
from libs.common.errors import NotFound
from libs.common.paging import Paging
from libs.common.tokens import Principal
from services.learning.access import taught_by
from services.learning.certificates.rules import is_number
from services.learning.models import Certificate, Course, User


@dataclass(slots=True)
class Shown:
    """A certificate with its learner's name."""

    certificate: Certificate
    student_name: str | None


def _select() -> Select[Certificate, str]:
    return (
        select(Certificate, User.full_name)
        .outerjoin(User, User.uuid == Certificate.student)
        .outerjoin(Course, Course.uuid == Certificate.course)
    )


def _visible_to(who: Principal) -> ColumnElement[bool]:
    own = Certificate.student == who.user
    return or_(own, taught_by(who)) if at_least(who, "teacher") else own


async def access_certificate(session: AsyncSession, who: Principal, uuid: UUID) -> Shown:
    """Own ones, and those of courses that one teaches or manages. Raises NotFound."""
    row = (await session.execute(_select().where(Certificate.uuid == uuid, _visible_to(who)))).one_or_none()
    if row is None:
        raise NotFound
    return Shown(*row)


async def list_visible(
    session: AsyncSession, who: Principal, course: UUID | None, page: Paging
) -> tuple[int, list[Shown]]:
    """One's own; with `course`, for whoever teaches it, those of all its learners."""
    condition = Certificate.student == who.user
    if course is not None:
        condition = (Certificate.course == course) & _visible_to(who)
    query = _select().where(condition).order_by(Certificate.completed_at.desc(), Certificate.uuid)
    count = await session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    rows = await session.execute(query.limit(page.size).offset(page.offset))
    return count, [Shown(*row) for row in rows]


async def find_for_check(session: AsyncSession, reference: str) -> Shown:
    """By uuid or by number, for anybody who holds it. Raises NotFound."""
    condition: ColumnElement[bool]
    number = reference.strip().upper()
    if is_number(number):
        condition = Certificate.certificate_number == number
    else:
        try:
            condition = Certificate.uuid == UUID(reference)
        except ValueError as error:
            raise NotFound from error
    row = (await session.execute(_select().where(condition))).one_or_none()
    if row is None:
        raise NotFound("There is no certificate with this number.")
    return Shown(*row)
