"""How a course's certificates look: saved by its teachers."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.outbox import record
from libs.common.events.learning import CertificateTemplateChanged
from libs.common.runtime.errors import NotFound
from libs.common.security.tokens import Principal
from libs.common.web.etags import Precondition
from services.learning.access import access_taught_course
from services.learning.certificates.document import PLAIN, Design
from services.learning.certificates.template_schemas import CertificateTemplateUpdate
from services.learning.models import CertificateTemplate

Picture = Literal["logo", "signature"]
WORDS = ("title", "text", "signer_name", "signer_title", "accent_color")


async def find_template(session: AsyncSession, course: UUID) -> CertificateTemplate | None:
    found: CertificateTemplate | None = await session.scalar(
        select(CertificateTemplate).where(CertificateTemplate.course == course)
    )
    return found


async def find_design(session: AsyncSession, course: UUID) -> Design:
    """The design of the course's certificates."""
    template = await find_template(session, course)
    if template is None:
        return PLAIN
    return Design(**{name: getattr(template, name) for name in (*WORDS, "logo", "signature")})


async def save_template(
    session: AsyncSession,
    who: Principal,
    course: UUID,
    body: CertificateTemplateUpdate,
    now: datetime,
    if_match: Precondition,
) -> CertificateTemplate:
    """Replace the words and the colour; pictures stay. Raises PreconditionFailed."""
    return await _change(session, who, course, body.model_dump(), now, if_match)


async def save_picture(
    session: AsyncSession,
    who: Principal,
    course: UUID,
    picture: Picture,
    png: bytes | None,
    now: datetime,
    if_match: Precondition,
) -> CertificateTemplate:
    """Put a picture on the certificates of the course, or with None take it away."""
    return await _change(session, who, course, {picture: png}, now, if_match)


async def read_picture(session: AsyncSession, who: Principal, course: UUID, picture: Picture) -> bytes:
    await access_taught_course(session, who, course)
    template = await find_template(session, course)
    png: bytes | None = None if template is None else getattr(template, picture)
    if png is None:
        raise NotFound
    return png


async def _change(
    session: AsyncSession,
    who: Principal,
    course: UUID,
    values: dict[str, Any],
    now: datetime,
    if_match: Precondition,
) -> CertificateTemplate:
    await access_taught_course(session, who, course)
    plain = {name: getattr(PLAIN, name) for name in WORDS}
    await session.execute(
        insert(CertificateTemplate)
        .values(uuid=uuid4(), course=course, version=0, updated_at=now, **plain)
        .on_conflict_do_nothing()
    )
    template = (
        await session.scalars(
            select(CertificateTemplate)
            .where(CertificateTemplate.course == course)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).one()
    if_match.check(template.version)
    changed = tuple(name for name, value in values.items() if getattr(template, name) != value)
    if not changed:
        return template
    for name in changed:
        setattr(template, name, values[name])
    template.updated_at = now
    template.version += 1
    event = CertificateTemplateChanged(template=template.uuid, course=course, changed=changed, actor=who.user)
    record(session, event, template.version)
    await session.flush()
    return template
