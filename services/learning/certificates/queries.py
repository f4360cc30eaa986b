"""Reads of certificates. The name is what the PDF says; before that, the learner's present one."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from libs.common.runtime.errors import NotFound
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from libs.common.web.paging import Paging
from services.learning.access import taught_by, teaches
from services.learning.certificates.rules import is_number
from services.learning.models import Certificate, Course, User


@dataclass(slots=True)
class CertificateRow:
    """A certificate with its learner's name and what has taken its place."""

    certificate: Certificate
    student_name: str | None
    replaced_by: UUID | None
    replaced_by_number: str | None


def _select() -> Select[Certificate, str | None, UUID, str]:
    newer = aliased(Certificate)
    name = func.coalesce(Certificate.student_name, User.full_name)
    return (
        select(Certificate, name, newer.uuid, newer.certificate_number)
        .outerjoin(User, User.uuid == Certificate.student)
        .outerjoin(newer, newer.replaces == Certificate.uuid)
        .outerjoin(Course, Course.uuid == Certificate.course)
    )


def _visible_to(who: Principal) -> ColumnElement[bool]:
    own = Certificate.student == who.user
    return or_(own, taught_by(who)) if at_least(who, "teacher") else own


async def access_certificate(session: AsyncSession, who: Principal, uuid: UUID) -> CertificateRow:
    """A certificate of one's own, or of a course that one teaches or manages. Raises NotFound."""
    row = (await session.execute(_select().where(Certificate.uuid == uuid, _visible_to(who)))).one_or_none()
    if row is None:
        raise NotFound
    return CertificateRow(*row)


async def lock_certificate(session: AsyncSession, who: Principal, uuid: UUID) -> tuple[Certificate, bool]:
    """The same under its row lock, and whether they teach or manage its course. Raises NotFound."""
    row = (
        await session.execute(
            select(Certificate, Course.instructor, Course.instructors)
            .outerjoin(Course, Course.uuid == Certificate.course)
            .where(Certificate.uuid == uuid, _visible_to(who))
            .with_for_update(of=Certificate)
            .execution_options(populate_existing=True)
        )
    ).one_or_none()
    if row is None:
        raise NotFound
    return row[0], at_least(who, "manager") or (row.instructor is not None and teaches(who, row))


async def find_newest(session: AsyncSession, uuid: UUID) -> UUID:
    """The last one of those that replace each other, from this one on."""
    while newer := await session.scalar(select(Certificate.uuid).where(Certificate.replaces == uuid)):
        uuid = newer
    return uuid


async def list_visible(
    session: AsyncSession, who: Principal, course: UUID | None, status: str | None, page: Paging
) -> tuple[int, list[CertificateRow]]:
    """Certificates of one's own; with `course`, for its teachers, those of all its learners."""
    condition = Certificate.student == who.user
    if course is not None:
        condition = (Certificate.course == course) & _visible_to(who)
    if status is not None:
        condition &= Certificate.status == status
    newest = (Certificate.status != "valid", Certificate.requested_at.desc(), Certificate.uuid)
    order = (Certificate.completed_at.desc(), *newest)
    query = _select().where(condition).order_by(*order)
    count = await session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    rows = await session.execute(query.limit(page.size).offset(page.offset))
    return count, [CertificateRow(*row) for row in rows]


async def find_for_check(session: AsyncSession, reference: str) -> CertificateRow:
    """A certificate by uuid or number, for anybody who has it. Raises NotFound."""
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
    return CertificateRow(*row)
